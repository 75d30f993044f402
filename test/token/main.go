package token

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Module finds the PKCS#11 library under test: the one that TIDELOCK_TEST_MODULE names, or
// that of bin.
func Module() (string, error) {
	if path := os.Getenv("TIDELOCK_TEST_MODULE"); path != "" {
		return path, nil
	}
	root, err := Root()
	return filepath.Join(root, "bin", "libtidelock.so"), err
}

// parallel is how many tests run at once: each spends its time waiting for the server.
const parallel = "8"

// Main is a TestMain for suites that load Module into their own process: it runs them with a
// fresh token, to which the environment leads, and does not return.
func Main(run func(module string) (code int, err error)) {
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err)
	}
	code, err := with(run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// with runs something with a fresh token, which is gone when it returns.
func with(run func(module string) (int, error)) (code int, err error) {
	module, err := Module()
	if err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "tidelock-test-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	t, err := New(module, dir, nil)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	for _, variable := range t.Env {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			return 1, err
		}
	}
	return run(t.Module)
}
