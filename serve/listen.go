package serve

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Listen makes the socket at path with the given permission bits. The caller holds
// the store's lock, so a socket that is there already has no server behind it.
//
// The path may be longer than a socket address can be: the kernel is given the
// name below an open descriptor of its directory.
func Listen(path string, mode os.FileMode) (*net.UnixListener, error) {
	dir, name := filepath.Split(path)
	fd, err := unix.Open(filepath.Clean(dir), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("the socket's directory %s: %w", dir, err)
	}
	defer unix.Close(fd)
	short := filepath.Join("/proc/self/fd", strconv.Itoa(fd), name)
	if err := os.Remove(short); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("an old socket %s: %w", path, err)
	}
	// Nobody may connect between bind and chmod.
	mask := unix.Umask(0o177)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	unix.Umask(mask)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	// The name under /proc is gone by the time of Close; Serve's owner removes the socket.
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(short, mode); err != nil {
		l.Close()
		return nil, fmt.Errorf("permissions of %s: %w", path, err)
	}
	return l, nil
}
