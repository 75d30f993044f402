package main

import (
	"fmt"
	"strconv"
	"strings"
)

// parseBytes reads a number of bytes above 0, or one of K, M or G, of 1024 of the one
// before; a B may follow.
func parseBytes(text string) (n uint64, ok bool) {
	number, unit := strings.ToUpper(text), uint64(1)
	for i, letter := range []string{"K", "M", "G"} {
		if before, has := strings.CutSuffix(strings.TrimSuffix(number, "B"), letter); has {
			number, unit = before, 1<<(10*(i+1))
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n == 0 || n > ^uint64(0)/unit {
		return 0, false
	}
	return n * unit, true
}

// counted is a number of things, whose plural has an s.
func counted(n uint64, thing string) string {
	switch n {
	case 0:
		return "no " + thing + "s"
	case 1:
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
