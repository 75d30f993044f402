package main

import (
	"os"
	"runtime/debug"
)

// garbagePercent is how much the heap may grow before it is collected, in percent of
// what is alive. A server's live heap is small, so that Go's 100 collects often for little:
// with 400 a P-256 signature takes a tenth less of the processor (docs/benchmarks.md).
const garbagePercent = 400

// relaxGarbage sets the collector for a server, unless GOGC does.
func relaxGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}
