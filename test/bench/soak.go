package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// soakThreads is how many sessions a soak works in, soakRound how long each
// operation's turn is, in seconds.
const (
	soakThreads = 64
	soakRound   = 10
)

// growth is how much of its memory after the first tenth of a soak the server may
// have gained by the end.
const growth = 0.05

// soak works with all operations in turn for a time, and fails when one of them
// does, or when the server's memory grows.
func soak(p plan, load, dir string, out io.Writer) error {
	s, err := prepare(load, p.module, dir)
	if err != nil {
		return err
	}
	defer s.token.Close()
	var total, first uint64
	var settled, last uint64
	begin := time.Now()
	for round := 0; time.Since(begin) < p.soak || round == 0; round++ {
		for _, op := range p.ops {
			m, err := s.measure(op, soakThreads, soakRound)
			if err != nil {
				return err
			}
			if total += m.Ops; m.ServerPID == 0 {
				return fmt.Errorf("%s serves from no process of its own, so there is no memory to watch", p.module)
			}
			if last, err = resident(m.ServerPID); err != nil {
				return err
			}
			if first == 0 {
				first = last
			}
			if settled == 0 && time.Since(begin) >= p.soak/10 && op == p.ops[len(p.ops)-1] {
				settled = last
			}
			fmt.Fprintf(out, "%8s  %-12s %10.0f/s  %6.1f MB\n", time.Since(begin).Round(time.Second), op, m.Rate, float64(last)/1e6)
		}
	}
	change := float64(last)/float64(settled) - 1
	fmt.Fprintf(out, "%d operations in %s with %d sessions, no error; the server's memory %.1f MB at first, %.1f MB settled, %.1f MB at the end (%+.1f %%)\n",
		total, time.Since(begin).Round(time.Second), soakThreads, float64(first)/1e6, float64(settled)/1e6, float64(last)/1e6, 100*change)
	if change > growth {
		return fmt.Errorf("the server's memory grew by %.1f %%, more than %.0f %%", 100*change, 100*growth)
	}
	return nil
}

// resident is the resident memory of a process, in bytes.
func resident(pid int) (uint64, error) {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			kB, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kB << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmRSS", pid)
}

// runSoak makes the directory that a soak works in.
func runSoak(p plan, load, dir string) error {
	home := filepath.Join(dir, "soak")
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	return soak(p, load, home, os.Stdout)
}
