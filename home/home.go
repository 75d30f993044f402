// Package home is the directory of an HSM: which files it has, how they are made
// and opened, and the configuration in it. TIDELOCK_HOME names it.
//
//	tidelock.toml        configuration
//	root.key             the root key, 32 bytes, for development
//	store.db             all that the HSM keeps, sealed
//	witness              how far the store had come, to notice an old copy of it
//	development          marks an HSM that libtidelock.so may start by itself
//	run/tidelock.sock    where the running server listens
//	run/admin.sock       where it listens to administrators
//	run/start.lock       elects one of many that want to start the server
//	log/server.log       what an automatically started server has to say
//
// It may import keystore/boltstore, seal, hsm and the standard library.
package home

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Env is the variable that names the directory.
const Env = "TIDELOCK_HOME"

// Home is an HSM's directory.
type Home struct{ Dir string }

// The files of a home.
func (h Home) Config() string      { return filepath.Join(h.Dir, "tidelock.toml") }
func (h Home) RootKey() string     { return filepath.Join(h.Dir, "root.key") }
func (h Home) Store() string       { return filepath.Join(h.Dir, "store.db") }
func (h Home) Witness() string     { return filepath.Join(h.Dir, "witness") }
func (h Home) Development() string { return filepath.Join(h.Dir, "development") }
func (h Home) Run() string         { return filepath.Join(h.Dir, "run") }
func (h Home) Socket() string      { return filepath.Join(h.Run(), "tidelock.sock") }
func (h Home) AdminSocket() string { return filepath.Join(h.Run(), "admin.sock") }
func (h Home) StartLock() string   { return filepath.Join(h.Run(), "start.lock") }
func (h Home) LogDir() string      { return filepath.Join(h.Dir, "log") }
func (h Home) Log() string         { return filepath.Join(h.LogDir(), "server.log") }

// Find returns the home that dir names, or TIDELOCK_HOME when dir is empty. It must
// hold an HSM.
func Find(dir string) (Home, error) {
	if dir == "" {
		dir = os.Getenv(Env)
	}
	if dir == "" {
		return Home{}, errors.New("no HSM named: give --home DIR, or set " + Env)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Home{}, err
	}
	h := Home{abs}
	if _, err := os.Stat(h.Store()); err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			return Home{}, fmt.Errorf("%s holds no HSM: make one with `tidelock quickstart --home %s ...`", abs, dir)
		}
		return Home{}, err
	}
	return h, nil
}

// Make creates the directory for a new HSM. It may exist, but it must be empty:
// nothing that is there is overwritten.
func Make(dir string) (Home, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Home{}, err
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return Home{}, fmt.Errorf("a directory for the HSM: %w", err)
	}
	entries, err := os.ReadDir(abs)
	if err != nil {
		return Home{}, err
	}
	if len(entries) != 0 {
		return Home{}, fmt.Errorf("%s is not empty: an HSM is made in a new directory", abs)
	}
	h := Home{abs}
	for _, d := range []string{h.Run(), h.LogDir()} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return Home{}, err
		}
	}
	return h, nil
}

// InUse tells whether a server has the store open. It gives the store's lock back at
// once.
func (h Home) InUse() (bool, error) {
	f, err := os.Open(h.Store())
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// IsDevelopment tells whether libtidelock.so and the commands may start the server.
func (h Home) IsDevelopment() bool {
	_, err := os.Stat(h.Development())
	return err == nil
}
