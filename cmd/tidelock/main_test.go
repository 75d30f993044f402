package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/client"
	"tidelock.dev/tidelock/home"
	"tidelock.dev/tidelock/wire"
)

var update = flag.Bool("update", false, "write the help files anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tidelock": main})
}

// TestScripts runs testdata/script. Each script may leave a server behind in $WORK/hsm,
// which is stopped.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv(home.Env, "")
			h := home.Home{Dir: filepath.Join(env.WorkDir, "hsm")}
			env.Defer(func() {
				if c, err := client.Dial(h.Socket(), "test"); err == nil {
					_ = c.Do(wire.CallStop, 0, &wire.StopRequest{}, &wire.StopReply{})
				}
			})
			return nil
		},
	})
}

// TestHelp compares the help of each command with testdata/help.
func TestHelp(t *testing.T) {
	seen := map[string]bool{}
	var visit func(path []string, cmd *cobra.Command)
	visit = func(path []string, cmd *cobra.Command) {
		name := strings.Join(path, "-") + ".txt"
		seen[name] = true
		root := rootCommand()
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetErr(&out)
		root.SetArgs(append(path[1:len(path):len(path)], "--help"))
		if err := root.Execute(); err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		file := filepath.Join("testdata", "help", name)
		if *update {
			if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%v: go test -run TestHelp -update writes it", err)
		} else if !bytes.Equal(out.Bytes(), want) {
			t.Errorf("%s: the help is\n%s\nand was\n%s", name, out.Bytes(), want)
		}
		for _, sub := range cmd.Commands() {
			if sub.Name() != "help" && sub.Name() != "completion" {
				visit(append(path[:len(path):len(path)], sub.Name()), sub)
			}
		}
	}
	visit([]string{"tidelock"}, rootCommand())
	entries, err := os.ReadDir(filepath.Join("testdata", "help"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !seen[e.Name()] {
			t.Errorf("testdata/help/%s is of no command", e.Name())
		}
	}
}

// Every command that people see says what it is for and how it is used.
func TestEveryCommandIsDescribed(t *testing.T) {
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: the short text is %q", cmd.CommandPath(), cmd.Short)
		}
		if cmd.Example == "" && !cmd.Hidden {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(rootCommand())
}
