package hostile

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestOtherUsers connects as nobody to a root's HSM. The permission bits of the socket
// come first; allowed_uids narrows whom they let in, and [] is everybody.
func TestOtherUsers(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user; serve's TestUsers shows the rest")
	}
	nobody := lookup(t, "nobody")
	tok := newToken(t)
	_, home, _ := strings.Cut(tok.Env[0], "=")
	program := copyProgram(t, filepath.Join(filepath.Dir(tok.Module), "tidelock"))
	// Everybody may go through to the socket; what lies beside it is protected by itself.
	for _, dir := range []string{home, filepath.Join(home, "run"), filepath.Dir(home), filepath.Dir(filepath.Dir(home))} {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, mode, allowed string
		refusal             string // what the refused one sees; "" lets him in
	}{
		{"mode 0600", "0600", "", "permission denied"},
		{"mode 0666, anybody", "0666", "", ""},
		{"mode 0666, another uid", "0666", strconv.Itoa(int(nobody.Uid) + 1), "hello"},
		{"mode 0666, this uid", "0666", strconv.Itoa(int(nobody.Uid)), ""},
	} {
		run := func(as *syscall.Credential, args ...string) (string, error) {
			cmd := exec.Command(program, append(args, "--home", home)...)
			if as != nil {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
			}
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		text := fmt.Sprintf("[socket]\nmode = %q\nallowed_uids = [%s]\n", c.mode, c.allowed)
		if err := os.WriteFile(filepath.Join(home, "tidelock.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := run(nil, "stop"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		// The owner is always let in; it is he who starts the server.
		if out, err := run(nil, "hsm", "show"); err != nil {
			t.Fatalf("%s: the owner: %v\n%s", c.name, err, out)
		}
		out, err := run(nobody, "partition", "list")
		switch {
		case c.refusal == "" && err != nil:
			t.Errorf("%s: %v\n%s", c.name, err, out)
		case c.refusal != "" && (err == nil || !strings.Contains(out, c.refusal)):
			t.Errorf("%s: %v, want %q\n%s", c.name, err, c.refusal, out)
		}
	}
}

func lookup(t *testing.T, name string) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// copyProgram copies a program to where everybody can run it.
func copyProgram(t *testing.T, path string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tidelock-hostile-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, filepath.Base(path))
	if err := os.WriteFile(copied, content, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return copied
}
