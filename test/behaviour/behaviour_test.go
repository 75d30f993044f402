// Package behaviour holds scripts, each named after the row of the requirements that
// it shows, which work through the real programs and the real library.
package behaviour

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tidelock.dev/tidelock/test/token"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"p11": p11})
}

// TestRows runs the scripts beside this file, one for each row of the contract. A
// script's HSM is in $TIDELOCK_HOME, which is $WORK/hsm.
func TestRows(t *testing.T) {
	root, err := token.Root()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(root, "bin")
	module := os.Getenv("TIDELOCK_TEST_MODULE")
	if module == "" {
		module = filepath.Join(bin, "libtidelock.so")
	}
	for _, file := range []string{module, filepath.Join(bin, "tidelock")} {
		if _, err := os.Stat(file); err != nil {
			t.Fatalf("%v: \"make build\" makes it", err)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir:                 ".",
		RequireExplicitExec: true,
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("condition %s is not known", name)
			}
			return os.Geteuid() == 0, nil
		},
		Setup: func(env *testscript.Env) error {
			hsm := filepath.Join(env.WorkDir, "hsm")
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("TIDELOCK_HOME", hsm)
			env.Setenv(moduleVariable, module)
			env.Defer(func() {
				if _, err := os.Stat(hsm); err != nil {
					return
				}
				if out, err := exec.Command(filepath.Join(bin, "tidelock"), "stop", "--home", hsm).CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
			})
			return nil
		},
	})
}
