package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tidelock.dev/tidelock/test/token"
)

func TestParse(t *testing.T) {
	full, err := parse([]string{"-baseline", "b.so"}, "/src")
	if err != nil {
		t.Fatal(err)
	}
	if full.module != "/src/bin/libtidelock.so" || len(full.ops) != len(allOps) || !slices.Equal(full.threads, []int{1, 8, 64}) || full.rounds != 7 {
		t.Errorf("default plan: %+v", full)
	}
	quick, err := parse([]string{"-quick", "-baseline", "b.so", "-threads", "3"}, "/src")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(quick.threads, []int{3}) || quick.rounds != 3 || quick.seconds >= full.seconds || len(quick.ops) >= len(full.ops) {
		t.Errorf("quick plan: %+v", quick)
	}
	for _, bad := range []string{"-ops=p257", "-ops=", "-threads=0", "-threads=x", "-rounds=0", "-seconds=0", "-objects=7", "stray"} {
		if _, err := parse([]string{"-baseline", "b.so", bad}, "/src"); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestMedian(t *testing.T) {
	rate := func(m sample) float64 { return m.Rate }
	for _, c := range []struct {
		rates []float64
		want  float64
	}{
		{[]float64{5}, 5},
		{[]float64{9, 1, 2}, 2},
		{[]float64{4, 1, 2, 100}, 3},
	} {
		var samples []sample
		for _, r := range c.rates {
			samples = append(samples, sample{Rate: r})
		}
		if got := median(samples, rate); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.rates, got, c.want)
		}
	}
}

// TestLoad runs every operation of the load tool once for a moment, so that the
// benchmark does not break unseen.
func TestLoad(t *testing.T) {
	root, err := token.Root()
	if err != nil {
		t.Fatal(err)
	}
	module := os.Getenv("TIDELOCK_TEST_MODULE")
	if module == "" {
		module = filepath.Join(root, "bin", "libtidelock.so")
	}
	load, err := compile(root, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := prepare(load, module, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.token.Close()
	p := plan{ops: allOps, threads: []int{3}, rounds: 1, seconds: 0.02}
	rows, err := compare([2]*side{s, s}, p, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		for _, f := range row.Sides {
			if f == nil {
				t.Errorf("%s is not supported", row.Op)
			} else if f.Rate <= 0 || f.P50 <= 0 || f.P99 < f.P50 || f.ClientCPU <= 0 {
				t.Errorf("%s: %+v", row.Op, *f)
			}
		}
	}
	var text strings.Builder
	if err := (&report{Machine: describeMachine(), Rows: rows}).print(&text); err != nil {
		t.Fatal(err)
	}
	for _, op := range allOps {
		if !strings.Contains(text.String(), op) {
			t.Errorf("the table lacks %s:\n%s", op, text.String())
		}
	}
}
