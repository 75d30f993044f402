package behaviour_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tidelock.dev/tidelock/compare"
	"tidelock.dev/tidelock/test/token"
)

// installed copies the programs into a directory in which nothing else is, and makes
// the command's scratch directory. With a script, that is what runs PKCS#11 calls.
func installed(t *testing.T, script string) func(args ...string) *exec.Cmd {
	t.Helper()
	root, err := token.Root()
	if err != nil {
		t.Fatal(err)
	}
	p := programs(t, root)
	dir, scratch := t.TempDir(), t.TempDir()
	for from, to := range map[string]string{p.Tidelock: "tidelock", p.P11: "tidelock-p11", p.Module: "libtidelock.so"} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if to == "tidelock-p11" && script != "" {
			data = []byte(script)
		}
		if err := os.WriteFile(filepath.Join(dir, to), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if left, err := os.ReadDir(scratch); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	return func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "tidelock"), append([]string{"compare"}, args...)...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + scratch}
		return cmd
	}
}

func TestCommand(t *testing.T) {
	command := installed(t, "")
	cmd := command("TOK-4", "KST-1", "-o", "json", "--html", "page.html")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() != 0 {
		t.Fatalf("%v\n%s%s", err, out, &stderr)
	}
	var rows []compare.RowReport
	if err := json.Unmarshal(out, &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 || rows[0].ID != "KST-1" || rows[0].Result != compare.Open || rows[1].Result != compare.Pass || len(rows[1].Cells[0].Observed) == 0 {
		t.Errorf("it is %s", out)
	}
	page, err := os.ReadFile(filepath.Join(cmd.Dir, "page.html"))
	if err != nil || !bytes.Contains(page, []byte("CKR_USER_ANOTHER_ALREADY_LOGGED_IN login second so")) {
		t.Errorf("%v, the page is\n%s", err, page)
	}
}

func TestCommandTellsFailures(t *testing.T) {
	command := installed(t, "#!/bin/sh\necho broken >&2\nexit 1\n")
	out, err := command("TOK-4", "TOK-5").CombinedOutput()
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 1 ||
		!bytes.Contains(out, []byte("0 pass, 0 partly, 2 fail")) || !bytes.Contains(out, []byte("2 of 2 rows failed: TOK-4, TOK-5")) || !bytes.Contains(out, []byte("exit status 1: broken")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// An interrupt ends the running scenarios, and leaves nothing.
func TestCommandIsInterrupted(t *testing.T) {
	command := installed(t, "#!/bin/sh\nkill -INT $PPID\nexec sleep 1000\n")
	out, err := command().CombinedOutput()
	if err == nil || !strings.Contains(string(out), "interrupted") {
		t.Errorf("%v\n%s", err, out)
	}
}
