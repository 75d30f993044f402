package wire

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// buildC builds a program out of the C codec and main, below clib, under the
// address and undefined-behaviour sanitizers. It skips the test without the compiler.
func buildC(t *testing.T, compiler, sanitizers, main string) string {
	t.Helper()
	path, err := exec.LookPath(compiler)
	if err != nil {
		t.Skipf("no %s", compiler)
	}
	readSources(t)
	program := filepath.Join(t.TempDir(), "program")
	build := exec.Command(path, "-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-Wconversion",
		"-Wshadow", "-fsanitize="+sanitizers, "-fno-sanitize-recover=all", "-DTL_HEAP", "-Iinclude", "-o", program,
		"buffer.c", "native.c", "memory.c", "gen/wire.c", main)
	build.Dir = "../clib"
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return program
}

// readSources reads what the compiler will read: go test would otherwise not know
// that a cached result is stale.
func readSources(t *testing.T) {
	t.Helper()
	for _, pattern := range []string{"*.[ch]", "gen/*", "test/*.c", "fuzz/*.c", "include/tidelock/*.h"} {
		files, err := filepath.Glob("../clib/" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if _, err := os.ReadFile(file); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestCCodec runs the C codec on the golden vectors.
func TestCCodec(t *testing.T) {
	program := buildC(t, "cc", "address,undefined", "test/codec_test.c")
	if output, err := exec.Command(program, goldenFile).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}

// TestCFuzzTargets runs the fuzz targets of the C codec for a moment, from the
// golden vectors on.
func TestCFuzzTargets(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	corpus := t.TempDir()
	seeds := 0
	// The targets choose the call by the first byte: its place among those with a body.
	places := map[string]byte{}
	for _, g := range readGoldens(t) {
		words := strings.Fields(g.name)
		if callNamed(words[0]) == 0 || len(g.body) == 0 {
			continue
		}
		name := words[0] + words[1]
		if _, found := places[name]; !found {
			places[name] = byte(countSuffix(places, words[1]))
		}
		seed := append([]byte{places[name]}, g.body...)
		if err := os.WriteFile(filepath.Join(corpus, fmt.Sprint(seeds)), seed, 0o644); err != nil {
			t.Fatal(err)
		}
		seeds++
	}
	for _, target := range []string{"replies", "requests"} {
		t.Run(target, func(t *testing.T) {
			program := buildC(t, "clang", "fuzzer,address,undefined", "fuzz/fuzz_"+target+".c")
			run := exec.Command(program, "-runs=20000", "-seed=1", "-timeout=10", corpus)
			run.Dir = t.TempDir()
			if output, err := run.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
		})
	}
}

func countSuffix(m map[string]byte, suffix string) (n int) {
	for name := range m {
		if strings.HasSuffix(name, suffix) {
			n++
		}
	}
	return n
}
