// Command bench compares Tidelock's speed with that of another PKCS#11 module,
// by default SoftHSM, on the machine that it runs on:
//
//	go run ./test/bench -soak 30m
//	go run ./test/bench -objects 100000
//	go run ./test/bench [-quick] [-ops p256,rsa2048] [-threads 1,8] [-seconds 2]
//
// Both modules get a fresh token in a temporary directory and the same keys. The
// load tool (test/bench/load) is compiled and run against one and the other in
// turn, so that a machine that slows down slows both down; every number is the
// median of the rounds. docs/benchmarks.md says how to read them.
//
// It may import the standard library, miekg/pkcs11 and test/token.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidelock.dev/tidelock/test/token"
)

// The operations that the load tool knows, and those that -quick runs.
var (
	allOps   = []string{"session-info", "random", "p256", "p384", "ed25519", "rsa2048", "hmac", "gcm"}
	quickOps = []string{"session-info", "p256", "rsa2048", "gcm"}
)

// plan is what one run of this program measures.
type plan struct {
	module, baseline string
	ops              []string
	threads          []int
	rounds           int
	seconds          float64
	output           string
	// soak is how long to work on one module alone; 0 is to compare two.
	soak time.Duration
	// objects is how many keys to measure a token with; 0 is to compare two modules.
	objects int
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(1)
	}
}

func run(args []string) error {
	root, err := token.Root()
	if err != nil {
		return err
	}
	p, err := parse(args, root)
	if err != nil {
		return err
	}
	// An interrupt ends the load tool, and by its error this program, so that the
	// servers are stopped and the directory is removed.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	dir, err := os.MkdirTemp("", "tidelock-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	if p.objects > 0 {
		return large(p, dir, p.objects, os.Stdout)
	}
	load, err := compile(root, dir)
	if err != nil {
		return err
	}
	if p.soak > 0 {
		return runSoak(p, load, dir)
	}
	var sides [2]*side
	for i, module := range []string{p.module, p.baseline} {
		home := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(home, 0o700); err != nil {
			return err
		}
		s, err := prepare(load, module, home)
		if err != nil {
			return err
		}
		defer s.token.Close()
		sides[i] = s
	}
	result := report{Machine: describeMachine(), Rounds: p.rounds, Seconds: p.seconds}
	for i, s := range sides {
		result.Modules[i] = s.version
	}
	result.Rows, err = compare(sides, p, progressTo(os.Stderr))
	if err != nil {
		return err
	}
	if p.output != "" {
		text, err := json.MarshalIndent(result, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(p.output, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	return result.print(os.Stdout)
}

// progressTo gives progress to a terminal and keeps it out of logs.
func progressTo(f *os.File) io.Writer {
	if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		return f
	}
	return io.Discard
}

func parse(args []string, root string) (plan, error) {
	softhsm, missing := token.SoftHSM()
	var p plan
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&p.module, "module", filepath.Join(root, "bin", "libtidelock.so"), "PKCS#11 library to measure")
	flags.StringVar(&p.baseline, "baseline", softhsm, "PKCS#11 library to compare with")
	flags.StringVar(&p.output, "o", "", "also write the result as JSON to this file")
	ops := flags.String("ops", strings.Join(allOps, ","), "operations")
	threads := flags.String("threads", "1,8,64", "numbers of threads")
	flags.IntVar(&p.rounds, "rounds", 7, "rounds; each number is their median")
	flags.Float64Var(&p.seconds, "seconds", 1, "length of one measurement")
	flags.IntVar(&p.objects, "objects", 0, "make so many keys on -module alone, and measure what such a token asks of its users")
	flags.DurationVar(&p.soak, "soak", 0, "work for so long with 64 sessions on -module alone, and watch the server's memory")
	quick := flags.Bool("quick", false, "a rough answer in half a minute: fewer operations, 3 short rounds")
	if err := flags.Parse(args); err != nil {
		return p, err
	}
	if flags.NArg() > 0 {
		return p, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if *quick {
		if !given["ops"] {
			*ops = strings.Join(quickOps, ",")
		}
		if !given["threads"] {
			*threads = "1,8"
		}
		if !given["rounds"] {
			p.rounds = 3
		}
		if !given["seconds"] {
			p.seconds = 0.3
		}
	}
	if p.soak < 0 {
		return p, errors.New("-soak must not be less than 0")
	}
	if p.objects < 0 || p.objects > 0 && p.objects < 101 {
		return p, errors.New("-objects must be at least 101")
	}
	if p.baseline == "" && p.soak == 0 && p.objects == 0 {
		return p, missing
	}
	if p.rounds < 1 || p.seconds <= 0 {
		return p, errors.New("-rounds and -seconds must be more than 0")
	}
	for name := range strings.SplitSeq(*ops, ",") {
		if !slices.Contains(allOps, name) {
			return p, fmt.Errorf("-ops: no operation is called %q; there are %s", name, strings.Join(allOps, ", "))
		}
		p.ops = append(p.ops, name)
	}
	for text := range strings.SplitSeq(*threads, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return p, fmt.Errorf("-threads: %q is not a number of threads", text)
		}
		p.threads = append(p.threads, n)
	}
	return p, nil
}
