// Command timing measures whether the time of an operation tells why it was refused, or
// anything of its key:
//
//	go run ./test/timing [-n 20000] [-run NAME]
//
// Each case has classes of input that must take the same time. They are measured in
// process, in an order that chance gives, and compared by the rank-sum test of
// Wilcoxon. A case fails when two classes differ beyond chance and by more than the
// clock's grain. It belongs on a machine that does nothing else, and so to no suite.
//
// It may import mech, seal, cryptoki and internal/secret.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"
)

// What counts as a difference: beyond chance, and larger than the clock can blur.
const (
	chance = 1e-5
	grain  = 50 * time.Nanosecond
)

// timing is a case: what is measured, and its classes of input. A class runs once per
// call. A case that takes long is measured less often than others: share divides the
// number, where it is not 0.
type timing struct {
	name    string
	share   int
	classes []class
}

type class struct {
	name string
	run  func()
}

func main() {
	n := flag.Int("n", 20000, "measurements of each class, less where one takes long")
	only := flag.String("run", "", "the beginning of the names of the cases to measure")
	flag.Parse()
	cases, err := cases()
	if err != nil {
		fmt.Fprintln(os.Stderr, "timing:", err)
		os.Exit(1)
	}
	leaks := 0
	for _, c := range cases {
		if !strings.HasPrefix(c.name, *only) {
			continue
		}
		samples := c.measure(max(100, *n/max(1, c.share)))
		for i := range c.classes {
			for j := range i {
				p, shift := compare(samples[i], samples[j])
				verdict := "alike"
				if p < chance && shift.Abs() > grain {
					verdict = "DIFFERENT"
					leaks++
				}
				fmt.Printf("%-10s %-14s %-24s %-24s median %+6d ns  p %.2g\n", verdict, c.name, c.classes[j].name, c.classes[i].name, shift.Nanoseconds(), p)
			}
		}
	}
	if leaks > 0 {
		fmt.Fprintf(os.Stderr, "timing: %d pairs of classes can be told apart\n", leaks)
		os.Exit(1)
	}
}

// measure gives n durations of each class, taken in random order.
func (c timing) measure(n int) [][]time.Duration {
	samples := make([][]time.Duration, len(c.classes))
	order := make([]int, 0, n*len(c.classes))
	for i := range c.classes {
		samples[i] = make([]time.Duration, 0, n)
		for range n {
			order = append(order, i)
		}
	}
	rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for _, i := range order[:min(len(order)/10, 1000)] {
		c.classes[i].run() // warm
	}
	for _, i := range order {
		begin := time.Now()
		c.classes[i].run()
		samples[i] = append(samples[i], time.Since(begin))
	}
	return samples
}

// compare is the two-sided p of the rank-sum test, by its normal approximation with ties,
// and the difference of the medians.
func compare(a, b []time.Duration) (p float64, shift time.Duration) {
	type ranked struct {
		d     time.Duration
		first bool
	}
	all := make([]ranked, 0, len(a)+len(b))
	for _, d := range a {
		all = append(all, ranked{d, true})
	}
	for _, d := range b {
		all = append(all, ranked{d, false})
	}
	slices.SortFunc(all, func(x, y ranked) int { return cmp.Compare(x.d, y.d) })
	var sum, ties float64
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].d == all[i].d {
			j++
		}
		rank, t := float64(i+j+1)/2, float64(j-i)
		for _, r := range all[i:j] {
			if r.first {
				sum += rank
			}
		}
		ties += t*t*t - t
		i = j
	}
	m, n := float64(len(a)), float64(len(b))
	mean := m * (m + n + 1) / 2
	variance := m * n / 12 * (m + n + 1 - ties/((m+n)*(m+n-1)))
	if variance > 0 {
		p = math.Erfc(math.Abs(sum-mean) / math.Sqrt(2*variance))
	} else {
		p = 1
	}
	return p, median(a) - median(b)
}

func median(d []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[len(sorted)/2]
}
