package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"tidelock.dev/tidelock/client"
	"tidelock.dev/tidelock/home"
)

const (
	// idleTime is how long a server that nobody started by hand outlives its last
	// application.
	idleTime = 10 * time.Minute
	// readyDescriptor is where libtidelock.so waits for a byte.
	readyDescriptor = 3
)

// autostartCommand is what libtidelock.so runs when no server listens.
func autostartCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "autostart",
		Short:  "Start the server of a development HSM in the background, if none runs",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := homeOf(cmd)
			if err != nil {
				return err
			}
			if err := autostart(h); err != nil {
				return err
			}
			// Without a waiting library the descriptor is not there, which is no fault.
			_, _ = syscall.Write(readyDescriptor, []byte{1})
			return nil
		},
	}
}

// autostart starts the server unless one answers already. A lock file elects one
// of many programs that start at once; the others find the server running.
func autostart(h home.Home) error {
	if !h.IsDevelopment() {
		return fmt.Errorf("%s is no development HSM: start its server with `tidelock serve --home %s`", h.Dir, h.Dir)
	}
	lock, err := os.OpenFile(h.StartLock(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := flock(lock); err != nil {
		return err
	}
	if c, err := client.Dial(h.Socket(), "tidelock autostart"); err == nil {
		return c.Close()
	}
	return spawn(h)
}

func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// spawn starts `tidelock serve` in a session of its own and waits until it listens.
func spawn(h home.Home) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	logFile, err := os.OpenFile(h.Log(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	ready, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	server := exec.Command(self, "serve", "--home", h.Dir, "--idle-exit", idleTime.String(), "--ready-fd", "3")
	server.Dir = "/"
	server.Env = []string{"PATH=/usr/bin:/bin"}
	server.Stdout, server.Stderr = logFile, logFile
	server.ExtraFiles = []*os.File{tell}
	server.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = server.Start()
	tell.Close()
	if err != nil {
		return fmt.Errorf("starting the server: %w", err)
	}
	// Opening the store of a large HSM takes seconds, not minutes.
	if err := ready.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("the server did not start: see %s", filepath.Join(h.Log()))
	}
	return server.Process.Release()
}
