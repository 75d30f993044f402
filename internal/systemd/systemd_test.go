package systemd

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pass puts n listening sockets at descriptors from 100 on, as systemd does from 3 on.
func pass(t *testing.T, network string, n int) (first int, addresses []string) {
	t.Helper()
	const base = 100
	for i := range n {
		address := "127.0.0.1:0"
		if network == "unix" {
			address = filepath.Join(t.TempDir(), "socket")
		}
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		if u, ok := l.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
		if err := unix.Dup2(int(f.Fd()), base+i); err != nil {
			t.Fatal(err)
		}
		f.Close()
		l.Close()
		addresses = append(addresses, address)
	}
	return base, addresses
}

func passedEnvironment(t *testing.T, pid int, fds, names string) {
	t.Helper()
	t.Setenv("LISTEN_PID", strconv.Itoa(pid))
	t.Setenv("LISTEN_FDS", fds)
	t.Setenv("LISTEN_FDNAMES", names)
}

func TestListeners(t *testing.T) {
	first, addresses := pass(t, "unix", 2)
	passedEnvironment(t, os.Getpid(), "2", "tidelock.sock:admin.sock")
	got, err := listeners(first)
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	for i, name := range []string{"tidelock.sock", "admin.sock"} {
		c, err := net.Dial("unix", addresses[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := got[name].Accept(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
		got[name].Close()
		if _, err := os.Stat(addresses[i]); err != nil {
			t.Errorf("systemd's socket is gone: %v", err)
		}
	}
	if _, set := os.LookupEnv("LISTEN_FDS"); set {
		t.Error("children would take the sockets too")
	}
	if again, err := listeners(first); again != nil || err != nil {
		t.Errorf("a second time: %v, %v", again, err)
	}
}

func TestListenersOfAnotherProcess(t *testing.T) {
	passedEnvironment(t, os.Getpid()+1, "2", "a:b")
	if got, err := listeners(firstDescriptor); got != nil || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

func TestBadListeners(t *testing.T) {
	for name, c := range map[string]struct{ network, fds, names, says string }{
		"no number":      {"unix", "two", "a:b", `LISTEN_FDS="two"`},
		"below zero":     {"unix", "-1", "a", `LISTEN_FDS="-1"`},
		"too many":       {"unix", "65", "a", `LISTEN_FDS="65"`},
		"too few names":  {"unix", "2", "a", `LISTEN_FDNAMES="a"`},
		"a name twice":   {"unix", "2", "a:a", `"a"`},
		"a TCP socket":   {"tcp", "1", "a", "no Unix socket"},
		"not descriptor": {"", "1", "a", `socket "a"`},
	} {
		t.Run(name, func(t *testing.T) {
			first := 500
			if c.network != "" {
				first, _ = pass(t, c.network, 2)
			}
			passedEnvironment(t, os.Getpid(), c.fds, c.names)
			if got, err := listeners(first); err == nil || got != nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func TestNotifier(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	n := NewNotifier()
	if _, set := os.LookupEnv("NOTIFY_SOCKET"); set {
		t.Error("children would speak for the service")
	}
	for want, tell := range map[string]func() error{
		"READY=1\nSTATUS=serves":       func() error { return n.Ready("serves") },
		"STOPPING=1":                   n.Stopping,
		"WATCHDOG=1":                   n.Alive,
		"RELOADING=1\nMONOTONIC_USEC=": n.Reloading,
	} {
		if err := tell(); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 200)
		k, err := l.Read(b)
		if got := string(b[:k]); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	if err := (Notifier{}).Ready(""); err != nil {
		t.Errorf("without systemd: %v", err)
	}
	if err := (Notifier{path + "x"}).Ready(""); err == nil {
		t.Error("nobody heard, and no error")
	}
}

func TestWatchdog(t *testing.T) {
	mine, other := strconv.Itoa(os.Getpid()), strconv.Itoa(os.Getpid()+1)
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
		fails     bool
	}{
		{"", "", 0, false},
		{"30000000", mine, 30 * time.Second, false},
		{"30000000", "", 30 * time.Second, false},
		{"30000000", other, 0, false},
		{"0", mine, 0, true},
		{"soon", mine, 0, true},
	} {
		t.Setenv("WATCHDOG_USEC", c.usec)
		t.Setenv("WATCHDOG_PID", c.pid)
		if got, err := Watchdog(); got != c.want || (err != nil) != c.fails {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
}
