package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"tidelock.dev/tidelock/test/token"
)

// side is one of the two modules under comparison.
type side struct {
	token   *token.Token
	load    string
	version string
}

// sample is what the load tool prints: times in µs, CPU in seconds.
type sample struct {
	Supported  bool
	Ops        uint64
	Rate       float64
	P50, P99   float64
	ClientCPU  float64
	ServerCPU  float64
	ServerPID  int
	Errors     uint64
	FirstError uint64
}

// figures is the median of a side's samples.
type figures struct {
	Rate      float64 `json:"opsPerSecond"`
	P50       float64 `json:"p50us"`
	P99       float64 `json:"p99us"`
	ClientCPU float64 `json:"clientCPUusPerOp"`
	ServerCPU float64 `json:"serverCPUusPerOp"`
}

// row compares the sides in one operation with one number of threads. A side
// that does not support the operation is nil.
type row struct {
	Op      string      `json:"op"`
	Threads int         `json:"threads"`
	Sides   [2]*figures `json:"sides"`
}

// compile builds the load tool into dir. CC and CPPFLAGS are honoured.
func compile(root, dir string) (string, error) {
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	sources, err := filepath.Glob(filepath.Join(root, "test", "bench", "load", "*.c"))
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "load")
	args := []string{"-std=c11", "-O2", "-Wall", "-Wextra", "-I" + filepath.Join(root, "clib", "include"), "-o", program}
	args = append(args, strings.Fields(os.Getenv("CPPFLAGS"))...)
	args = append(append(args, sources...), "-pthread", "-ldl")
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("compiling the load tool: %w\n%s", err, out)
	}
	return program, nil
}

// prepare makes a token of module in home, with the keys of all operations.
func prepare(load, module, home string) (*side, error) {
	t, err := token.New(module, home, nil)
	if err != nil {
		return nil, err
	}
	s := &side{token: t, load: load}
	out, err := s.run("--prepare")
	if err != nil {
		t.Close()
		return nil, err
	}
	s.version = strings.Join(strings.Fields(string(out)), " ")
	return s, nil
}

func (s *side) run(args ...string) ([]byte, error) {
	fixed := []string{"--module", s.token.Module, "--token", token.Label, "--pin", token.PIN}
	cmd := s.token.Command(s.load, append(fixed, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("load %s with %s: %w", strings.Join(args, " "), s.token.Module, err)
	}
	return out, nil
}

func (s *side) measure(op string, threads int, seconds float64) (sample, error) {
	var m sample
	out, err := s.run("--op", op, "--threads", strconv.Itoa(threads), "--seconds", strconv.FormatFloat(seconds, 'f', -1, 64))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(out, &m); err != nil {
		return m, fmt.Errorf("the load tool printed %q: %w", out, err)
	}
	switch {
	case m.Errors > 0:
		return m, fmt.Errorf("%s: %s with %d threads failed %d times, first with 0x%x", s.token.Module, op, threads, m.Errors, m.FirstError)
	case m.Supported && m.Ops == 0:
		return m, fmt.Errorf("%s: %s with %d threads finished no operation in %g s", s.token.Module, op, threads, seconds)
	case m.Supported && s.token.Tidelock() && m.ServerPID == 0:
		return m, fmt.Errorf("%s: the server's process was not found, so its CPU time is not known", s.token.Module)
	}
	return m, nil
}

// compare measures every combination of the plan, both sides in turn.
func compare(sides [2]*side, p plan, progress io.Writer) ([]row, error) {
	var rows []row
	for _, op := range p.ops {
		for _, threads := range p.threads {
			var samples [2][]sample
			for round := range p.rounds {
				fmt.Fprintf(progress, "\r\033[K%s, %d threads, round %d of %d", op, threads, round+1, p.rounds)
				for i, s := range sides {
					m, err := s.measure(op, threads, p.seconds)
					if err != nil {
						fmt.Fprintln(progress)
						return nil, err
					}
					if m.Supported {
						samples[i] = append(samples[i], m)
					}
				}
			}
			rows = append(rows, row{op, threads, [2]*figures{summarise(samples[0]), summarise(samples[1])}})
		}
	}
	fmt.Fprint(progress, "\r\033[K")
	return rows, nil
}

func summarise(samples []sample) *figures {
	if len(samples) == 0 {
		return nil
	}
	perOp := func(cpu func(sample) float64) func(sample) float64 {
		return func(m sample) float64 { return cpu(m) / float64(m.Ops) * 1e6 }
	}
	return &figures{
		Rate:      median(samples, func(m sample) float64 { return m.Rate }),
		P50:       median(samples, func(m sample) float64 { return m.P50 }),
		P99:       median(samples, func(m sample) float64 { return m.P99 }),
		ClientCPU: median(samples, perOp(func(m sample) float64 { return m.ClientCPU })),
		ServerCPU: median(samples, perOp(func(m sample) float64 { return m.ServerCPU })),
	}
}

// median of what value gives for the samples, of which there is at least one.
func median(samples []sample, value func(sample) float64) float64 {
	values := make([]float64, len(samples))
	for i, m := range samples {
		values[i] = value(m)
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}
