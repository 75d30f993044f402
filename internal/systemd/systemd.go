// Package systemd is a service's side of what systemd passes to it and wants to hear from
// it: sockets (sd_listen_fds), states (sd_notify) and signs of life (sd_watchdog_enabled).
// Without systemd all of it does nothing.
//
// It may import the standard library and x/sys/unix.
package systemd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// firstDescriptor is that of the first socket that is passed.
const firstDescriptor = 3

// Listeners takes the Unix sockets that systemd passed, by their FileDescriptorName. It
// takes them once: the environment no longer names them, and children do not get them.
func Listeners() (map[string]*net.UnixListener, error) {
	return listeners(firstDescriptor)
}

func listeners(first int) (map[string]*net.UnixListener, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(name)
	}
	if pid != strconv.Itoa(os.Getpid()) || count == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > 64 {
		return nil, fmt.Errorf("LISTEN_FDS=%q is no number of sockets", count)
	}
	named := strings.Split(names, ":")
	if n > 0 && len(named) != n {
		return nil, fmt.Errorf("LISTEN_FDNAMES=%q does not name %d sockets", names, n)
	}
	taken := make(map[string]*net.UnixListener, n)
	for i := range n {
		l, err := listener(first+i, named[i])
		if err == nil && taken[named[i]] != nil {
			l.Close()
			err = fmt.Errorf("two sockets are named %q", named[i])
		}
		if err != nil {
			for _, other := range taken {
				other.Close()
			}
			return nil, err
		}
		taken[named[i]] = l
	}
	return taken, nil
}

func listener(fd int, name string) (*net.UnixListener, error) {
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), name)
	defer f.Close() // FileListener has a copy
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("the passed socket %q: %w", name, err)
	}
	u, ok := l.(*net.UnixListener)
	if !ok {
		l.Close()
		return nil, fmt.Errorf("the passed socket %q is no Unix socket", name)
	}
	u.SetUnlinkOnClose(false)
	return u, nil
}

// Notifier tells systemd the service's state.
type Notifier struct{ address string }

// NewNotifier finds out where systemd listens, and takes that out of the environment.
func NewNotifier() Notifier {
	n := Notifier{os.Getenv("NOTIFY_SOCKET")}
	os.Unsetenv("NOTIFY_SOCKET")
	return n
}

func (n Notifier) tell(state string) error {
	if n.address == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.address, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("telling systemd: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("telling systemd: %w", err)
	}
	return nil
}

// Ready says that the service serves; status is for people.
func (n Notifier) Ready(status string) error { return n.tell("READY=1\nSTATUS=" + status) }

// Stopping says that it ends.
func (n Notifier) Stopping() error { return n.tell("STOPPING=1") }

// Alive is a sign of life for the watchdog.
func (n Notifier) Alive() error { return n.tell("WATCHDOG=1") }

// Reloading says that it reads its configuration again; Ready ends that.
func (n Notifier) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	return n.tell(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000))
}

// Watchdog is how long systemd waits for a sign of life; 0 is for ever.
func Watchdog() (time.Duration, error) {
	usec, pid := os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	os.Unsetenv("WATCHDOG_USEC")
	os.Unsetenv("WATCHDOG_PID")
	if usec == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil
	}
	n, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || n <= 0 || n > int64(24*time.Hour/time.Microsecond) {
		return 0, fmt.Errorf("WATCHDOG_USEC=%q is no time in microseconds", usec)
	}
	return time.Duration(n) * time.Microsecond, nil
}
