package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
)

// report is the whole result; -o writes it as JSON.
type report struct {
	Machine machine   `json:"machine"`
	Modules [2]string `json:"modules"`
	Rounds  int       `json:"rounds"`
	Seconds float64   `json:"seconds"`
	Rows    []row     `json:"rows"`
}

// machine says where the numbers come from.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	OS     string `json:"os"`
	Go     string `json:"go"`
}

func describeMachine() machine {
	return machine{
		CPU:    field("/proc/cpuinfo", "model name", ":"),
		Cores:  runtime.NumCPU(),
		Kernel: strings.TrimSpace(read("/proc/sys/kernel/osrelease")),
		OS:     strings.Trim(field("/etc/os-release", "PRETTY_NAME", "="), `"`),
		Go:     runtime.Version(),
	}
}

// print writes the report as a table; rows of CPU are µs per operation, client
// and server together.
func (r *report) print(w io.Writer) error {
	fmt.Fprintf(w, "%s, %d cores; %s, Linux %s; %s\n", r.Machine.CPU, r.Machine.Cores, r.Machine.OS, r.Machine.Kernel, r.Machine.Go)
	fmt.Fprintf(w, "A: %s\nB: %s\n", r.Modules[0], r.Modules[1])
	fmt.Fprintf(w, "median of %d rounds of %g s, A and B in turn; latencies and CPU in µs, CPU per operation (A: client + server)\n\n", r.Rounds, r.Seconds)

	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "operation\tthreads\tA ops/s\tB ops/s\tA/B\tA p50\tB p50\tA p99\tB p99\tA CPU\tB CPU\t")
	for _, row := range r.Rows {
		a, b := row.Sides[0], row.Sides[1]
		ratio := "n/a"
		if a != nil && b != nil {
			ratio = fmt.Sprintf("%.2f", a.Rate/b.Rate)
		}
		cells := []string{row.Op, fmt.Sprint(row.Threads), a.rate(), b.rate(), ratio, a.p50(), b.p50(), a.p99(), b.p99(), a.cpu(), b.cpu()}
		fmt.Fprintln(t, strings.Join(cells, "\t")+"\t")
	}
	return t.Flush()
}

func (f *figures) rate() string {
	if f == nil {
		return "n/a"
	}
	return fmt.Sprintf("%.0f", f.Rate)
}

func (f *figures) p50() string {
	if f == nil {
		return "n/a"
	}
	return fmt.Sprintf("%.1f", f.P50)
}

func (f *figures) p99() string {
	if f == nil {
		return "n/a"
	}
	return fmt.Sprintf("%.1f", f.P99)
}

func (f *figures) cpu() string {
	switch {
	case f == nil:
		return "n/a"
	case f.ServerCPU == 0:
		return fmt.Sprintf("%.1f", f.ClientCPU)
	}
	return fmt.Sprintf("%.1f + %.1f", f.ClientCPU, f.ServerCPU)
}

// field returns what follows name and the separator in the first line of a file
// that begins with name, or "unknown".
func field(file, name, separator string) string {
	for line := range strings.Lines(read(file)) {
		if key, value, ok := strings.Cut(line, separator); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func read(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return string(text)
}
