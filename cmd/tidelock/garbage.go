package main

import (
	"os"
	"runtime/debug"
)

// garbagePercent is how much the heap may grow before it is collected, in percent of
// what is alive. A server's live heap is small, so that Go's 100 collects often for
// little; with 400, two thousand bad connections made it grow by 145 MiB, which is
// more than neighbours may cost (test/hostile).
const garbagePercent = 200

// relaxGarbage sets the collector for a server, unless GOGC does.
func relaxGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}
