package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"tidelock.dev/tidelock/test/token"
)

// server is the process that serves a token.
type server struct {
	t    *testing.T
	home string
}

// serverOf is the server of a token of Tidelock's; SoftHSM has none to kill.
func serverOf(t *testing.T, tok *token.Token) server {
	t.Helper()
	for _, variable := range tok.Env {
		if home, found := strings.CutPrefix(variable, "TIDELOCK_HOME="); found {
			return server{t, home}
		}
	}
	t.Skip("this token has no server")
	return server{}
}

// kill ends the server with no chance to put anything in order, and returns when it
// has gone. The next program that needs it starts another.
func (s server) kill() {
	s.t.Helper()
	var victim int
	err := eventually(func() (ok bool, err error) {
		victim, err = s.find()
		return victim != 0, err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	err = eventually(func() (bool, error) {
		pid, err := s.find()
		return err == nil && pid != victim, fmt.Errorf("server %d lives (%v)", victim, err)
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// find returns the server's process, or 0.
func (s server) find() (int, error) {
	out, err := exec.Command("pgrep", "-f", "tidelock serve --home "+s.home+"( |$)").Output()
	if exit, ok := err.(*exec.ExitError); ok && exit.ExitCode() == 1 {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("pgrep (Debian's package procps): %w", err)
	}
	// A second one is a loser in the race to start, which the store's lock keeps out.
	return strconv.Atoi(strings.Fields(string(out))[0])
}

// turnTicketsOff holds from the next start of the server on.
func (s server) turnTicketsOff() {
	s.t.Helper()
	err := os.WriteFile(filepath.Join(s.home, "tidelock.toml"), []byte("[login]\nticket_lifetime = \"0\"\n"), 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
}
