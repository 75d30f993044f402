package wire

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// codec are the sources of the C codec, below clib.
var codec = []string{"buffer.c", "native.c", "memory.c", "gen/wire.c"}

// buildC builds a program out of sources below clib, under sanitizers. It skips the
// test without the compiler.
func buildC(t *testing.T, compiler, sanitizers string, sources ...string) string {
	t.Helper()
	path, err := exec.LookPath(compiler)
	if err != nil {
		t.Skipf("no %s", compiler)
	}
	readSources(t)
	program := filepath.Join(t.TempDir(), "program")
	build := exec.Command(path, append([]string{"-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Werror",
		"-Wconversion", "-Wshadow", "-fsanitize=" + sanitizers, "-fno-sanitize-recover=all", "-DTL_HEAP", "-DTL_RETURN_SECONDS=0", "-DTL_SHARE_FROM=1",
		"-Iinclude", "-I.", "-o", program}, sources...)...)
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
	for _, pattern := range []string{"*.[ch]", "gen/*", "test/*.c", "fuzz/*.[ch]", "include/tidelock/*.h"} {
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
	program := buildC(t, "cc", "address,undefined", append(codec, "test/codec_test.c")...)
	if output, err := exec.Command(program, goldenFile).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}
