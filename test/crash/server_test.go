package crash

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	soPIN = "officer-3141"
	coPIN = "user-2718"
)

// quickstart is the command that makes the HSM of a home.
func quickstart(home string) *exec.Cmd {
	return exec.Command(program, "quickstart", "--home", home, "--label", "crash", "--so-pin", soPIN, "--pin", coPIN, "--kdf", "test")
}

func makeHome(home string) error {
	if out, err := quickstart(home).CombinedOutput(); err != nil {
		return fmt.Errorf("quickstart: %w\n%s", err, out)
	}
	return nil
}

func socketOf(home string) string { return filepath.Join(home, "run", "tidelock.sock") }

func serveCommand(home string) *exec.Cmd {
	cmd := exec.Command(program, "serve", "--home", home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// command runs a command on the running HSM of a home.
func command(home string, args ...string) (out []byte, err error) {
	cmd := exec.Command(program, append(args, "--home", home)...)
	var fault strings.Builder
	cmd.Stderr = &fault
	if out, err = cmd.Output(); err != nil {
		err = fmt.Errorf("tidelock %s: %w: %s", strings.Join(args, " "), err, &fault)
	}
	return out, err
}

// stateOf is what `hsm show` says that the HSM is.
func stateOf(home string) (string, error) {
	out, err := command(home, "hsm", "show", "-o", "json")
	if err != nil {
		return "", err
	}
	var show struct{ State string }
	if err := json.Unmarshal(out, &show); err != nil {
		return "", fmt.Errorf("hsm show says %q: %w", out, err)
	}
	return show.State, nil
}

// server is a running `tidelock serve`.
type server struct {
	home   string
	cmd    *exec.Cmd
	log    bytes.Buffer // readable when ended is closed
	ended  chan struct{}
	result error // valid when ended is closed
}

// startLimit is how long a start may take on a busy machine.
const startLimit = 30 * time.Second

// start runs the server of a home until it listens.
func start(home string) (*server, error) {
	s := &server{home: home, cmd: serveCommand(home), ended: make(chan struct{})}
	ready, tell, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	s.cmd.Stderr = &s.log
	s.cmd.Args = append(s.cmd.Args, "--ready-fd", "3")
	s.cmd.ExtraFiles = []*os.File{tell}
	err = s.cmd.Start()
	tell.Close()
	if err != nil {
		return nil, err
	}
	go func() {
		s.result = s.cmd.Wait()
		close(s.ended)
	}()
	if err := ready.SetReadDeadline(time.Now().Add(startLimit)); err != nil {
		return nil, err
	}
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		s.kill()
		return nil, fmt.Errorf("the server did not start: %w: %v\n%s", err, s.result, &s.log)
	}
	return s, nil
}

// kill ends the server as nothing else does: it cannot finish anything.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// stop ends the server in good order.
func (s *server) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
		return s.result
	case <-time.After(startLimit):
		s.kill()
		return fmt.Errorf("the server did not stop\n%s", &s.log)
	}
}
