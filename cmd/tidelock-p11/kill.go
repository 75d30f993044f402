package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// killServer ends the server of $TIDELOCK_HOME without a warning, and waits until it
// has gone.
func killServer() error {
	pid, err := serverOf(os.Getenv("TIDELOCK_HOME"))
	if err != nil {
		return err
	}
	// A name of the process that tells when all of its threads have ended: until then
	// its sockets may be open, and a call may be sent that nobody answers.
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(process)
	if err := unix.PidfdSendSignal(process, unix.SIGKILL, nil, 0); err != nil {
		return err
	}
	for end := time.Now().Add(10 * time.Second); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}, 1000)
		switch {
		case n > 0:
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return err
		case time.Now().After(end):
			return fmt.Errorf("the server %d does not end", pid)
		}
	}
}

// serverOf finds out who listens on the applications' socket of a home.
func serverOf(home string) (pid int, err error) {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(socket)
	if err := unix.Connect(socket, &unix.SockaddrUnix{Name: filepath.Join(home, "run", "tidelock.sock")}); err != nil {
		return 0, fmt.Errorf("no server runs: %w", err)
	}
	peer, err := unix.GetsockoptUcred(socket, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, err
	}
	return int(peer.Pid), nil
}
