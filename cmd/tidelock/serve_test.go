package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidelock.dev/tidelock/client"
	"tidelock.dev/tidelock/home"
	"tidelock.dev/tidelock/wire"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// program is this test's binary as the tidelock command.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "tidelock")
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), name, args...)
}

// testHome makes an HSM with a configuration.
func testHome(t *testing.T, config string) home.Home {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "hsm")
	h, err := home.Quickstart{Label: "demo", SOPIN: "12345678", PIN: "87654321", Test: true}.Make(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(h.Development()); err != nil {
		t.Fatal(err)
	}
	configure(t, h, config)
	return h
}

func configure(t *testing.T, h home.Home, config string) {
	t.Helper()
	if err := os.WriteFile(h.Config(), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

// logLines reads a server's log line by line.
type logLines struct {
	t     *testing.T
	lines chan string
}

func readLog(t *testing.T, r io.Reader) *logLines {
	l := &logLines{t, make(chan string, 1000)}
	go func() {
		defer close(l.lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			l.lines <- s.Text()
		}
	}()
	return l
}

// until returns the next line that has all of the parts.
func (l *logLines) until(parts ...string) string {
	l.t.Helper()
	timeout := time.After(patience)
	var seen []string
	for {
		select {
		case line, more := <-l.lines:
			if !more {
				l.t.Fatalf("the log ended without %q: %q", parts, seen)
			}
			seen = append(seen, line)
			if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
				return line
			}
		case <-timeout:
			l.t.Fatalf("the log does not say %q: %q", parts, seen)
		}
	}
}

// daemonProcess is a running `tidelock serve`.
type daemonProcess struct {
	*exec.Cmd
	log *logLines
}

// startServe runs `tidelock serve` until the test ends; change may alter the command.
func startServe(t *testing.T, h home.Home, change func(*exec.Cmd)) daemonProcess {
	t.Helper()
	cmd := program(t, "serve", "--home", h.Dir)
	// A file outlives the process, so its last lines are read too.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = w
	if change != nil {
		change(cmd)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		r.Close()
	})
	return daemonProcess{cmd, readLog(t, r)}
}

func TestReload(t *testing.T) {
	h := testHome(t, "[log]\nformat = \"json\"\n")
	d := startServe(t, h, nil)
	d.log.until(`"msg":"serving"`)
	refused := func() error {
		c, err := client.Dial(h.Socket(), "test")
		if err != nil {
			return err
		}
		defer c.Close()
		var p wire.SlotInfoReply
		return c.Do(wire.CallSlotInfo, 0, &wire.SlotInfoRequest{Slot: 999}, &p)
	}
	signal := func() {
		if err := d.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}

	configure(t, h, "[log]\nlevel = \"debug\"\nformat = \"text\"\n[socket]\nmode = \"0666\"\n[server]\nidle_exit = \"1h\"\n")
	signal()
	d.log.until(`"configuration read again"`)
	line := d.log.until(`"settings"`)
	var record struct{ Settings []string }
	if err := json.Unmarshal([]byte(line), &record); err != nil || !slices.Equal(record.Settings, []string{"server.idle_exit", "log.format"}) {
		t.Errorf("what needs a restart: %s, %v", line, err)
	}
	info, err := os.Stat(h.Socket())
	if err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("the socket's mode: %v, %v", info, err)
	}
	if err := refused(); err == nil {
		t.Fatal("slot 999 is there")
	}
	// The new level holds, and the record says whose request it was.
	d.log.until(`"msg":"refused"`, `"call":"SlotInfo"`, `"request":2`, `"application":`, `"connection":`)

	configure(t, h, "[log]\nlevel = \"error\"\ncolor = 7\n")
	signal()
	d.log.until("the settings stay as they were", "log.color")
	if err := refused(); err == nil {
		t.Fatal("slot 999 is there")
	}
	d.log.until(`"msg":"refused"`)

	configure(t, h, "[limits]\nconnections = 1\n[log]\nlevel = \"info\"\nformat = \"json\"\n")
	signal()
	d.log.until(`"configuration read again"`)
	first, err := client.Dial(h.Socket(), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if second, err := client.Dial(h.Socket(), "test"); err == nil {
		second.Close()
		t.Error("the new limit does not hold")
	}
	d.log.until("limits.connections")
}

// supervisor is systemd's side: it passes sockets and hears what the service tells.
type supervisor struct {
	t      *testing.T
	socket *net.UnixConn
	path   string
}

func newSupervisor(t *testing.T) *supervisor {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &supervisor{t, c, path}
}

// until hears messages until one begins with prefix.
func (s *supervisor) until(prefix string) {
	s.t.Helper()
	if err := s.socket.SetReadDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	var heard []string
	for b := make([]byte, 4096); ; {
		n, err := s.socket.Read(b)
		if err != nil {
			s.t.Fatalf("no %s, but %q: %v", prefix, heard, err)
		}
		if heard = append(heard, string(b[:n])); strings.HasPrefix(heard[len(heard)-1], prefix) {
			return
		}
	}
}

func TestUnderSystemd(t *testing.T) {
	h := testHome(t, "")
	s := newSupervisor(t)
	var sockets []*os.File
	paths := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")}
	for _, path := range paths {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		defer l.Close()
		f, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		sockets = append(sockets, f)
	}
	d := startServe(t, h, func(cmd *exec.Cmd) {
		// Only the process itself knows its number: a shell puts it in, and becomes it.
		cmd.Args = append([]string{"sh", "-c", `export LISTEN_PID=$$ WATCHDOG_PID=$$; exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
		cmd.ExtraFiles = sockets
		cmd.Env = append(os.Environ(), "LISTEN_FDS=2", "LISTEN_FDNAMES=tidelock.sock:admin.sock",
			"NOTIFY_SOCKET="+s.path, "WATCHDOG_USEC=5000000")
	})
	s.until("READY=1")
	for _, path := range paths {
		c, err := client.Dial(path, "test")
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	s.until("WATCHDOG=1")
	if err := d.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.until("RELOADING=1")
	s.until("READY=1")
	if err := d.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.until("STOPPING=1")
	if err := d.Wait(); err != nil {
		t.Errorf("the end: %v", err)
	}
	// systemd keeps the sockets, and starts the server again when somebody comes.
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(h.Socket()); err == nil {
		t.Error("the server made a socket of its own")
	}
}

func TestWrongSocketsOfSystemd(t *testing.T) {
	h := testHome(t, "")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "a"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	d := startServe(t, h, func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"sh", "-c", `export LISTEN_PID=$$; exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
		cmd.ExtraFiles = []*os.File{f}
		cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=other.sock")
	})
	d.log.until("systemd passed 1 sockets: it must be two, named tidelock.sock and admin.sock")
	if err := d.Wait(); err == nil {
		t.Error("the server ended well")
	}
}

// One signal ends the server in good order.
func TestOneSignal(t *testing.T) {
	h := testHome(t, "")
	d := startServe(t, h, nil)
	d.log.until("msg=serving")
	for path, want := range map[string]os.FileMode{h.Socket(): 0o600, h.AdminSocket(): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	if err := d.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	d.log.until("msg=stopped")
	if err := d.Wait(); err != nil {
		t.Errorf("the end: %v", err)
	}
	for _, path := range []string{h.Socket(), h.AdminSocket()} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
}

// A second signal ends a server that does not come to its end: here nobody reads what it
// has to say.
func TestSecondSignal(t *testing.T) {
	h := testHome(t, "")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	d := startServe(t, h, func(cmd *exec.Cmd) { cmd.Stderr = w })
	lines := bufio.NewScanner(r)
	for lines.Scan() && !strings.Contains(lines.Text(), "msg=serving") {
	}
	fd := int(w.Fd())
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = syscall.Write(fd, []byte{'\n'})
	}
	if err := syscall.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	if err := d.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	// The first signal has arrived when the server listens no more.
	for deadline := time.Now().Add(patience); ; {
		c, err := net.Dial("unix", h.Socket())
		if err != nil {
			break
		}
		c.Close()
		if time.Now().After(deadline) {
			t.Fatal("the first signal did nothing")
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Wait() }()
	// The first signal closes the listener and lets go of the signal in no fixed order.
	timeout, again := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer again.Stop()
	for over := false; !over; {
		select {
		case <-ended:
			over = true
		case <-again.C:
			_ = d.Process.Signal(syscall.SIGTERM)
		case <-timeout:
			t.Fatal("the second signal did nothing")
		}
	}
	if status := d.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("the end: %v", d.ProcessState)
	}
}
