package home

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/keystore/boltstore"
	"tidelock.dev/tidelock/seal"
)

// Opened is an HSM with the store below it.
type Opened struct {
	HSM   *hsm.HSM
	store keystore.Store
}

// Close closes the store. The HSM is not used any more.
func (o *Opened) Close() error {
	return errors.Join(o.HSM.Close(), o.store.Close())
}

// Options are what the program, not the configuration, says about a start.
type Options struct {
	// AcceptRollback lets the HSM start though its witness has seen a later state.
	AcceptRollback bool
	// Server is what the server calls itself, Memory how it protects its memory.
	Server string
	Memory func() string
	Log    *slog.Logger
}

// Open starts the home's HSM. The store's lock keeps a second server out.
func (h Home) Open(c Config, o Options) (*Opened, error) {
	life, err := c.TicketLife()
	if err != nil {
		return nil, err
	}
	rootKey, err := h.readRootKey()
	if err != nil {
		return nil, err
	}
	defer rootKey.Wipe()
	store, err := boltstore.Open(h.Store())
	if err != nil {
		return nil, err
	}
	core, err := hsm.Open(hsm.Config{
		Store: store, Answers: []secret.Bytes{rootKey}, Now: time.Now, Log: o.Log, Server: o.Server, Memory: o.Memory, TicketLife: life,
		Witness: h.witness(c), AcceptRollback: o.AcceptRollback,
	})
	if err != nil {
		store.Close()
		if errors.Is(err, seal.ErrWrongSecret) {
			return nil, fmt.Errorf("%s does not open %s: one of them belongs to another HSM, or was changed", h.RootKey(), h.Store())
		}
		if errors.Is(err, hsm.ErrRolledBack) {
			return nil, fmt.Errorf("the HSM in %s: %w. If you put an old copy back on purpose, `tidelock serve --accept-rollback` starts it; "+
				"what was destroyed or changed since then is back too", h.Dir, err)
		}
		return nil, fmt.Errorf("the HSM in %s: %w", h.Dir, err)
	}
	return &Opened{core, store}, nil
}

// witness is the configured one, nil where there is none.
func (h Home) witness(c Config) hsm.Witness {
	path := h.Witness()
	if c.Witness.File != nil {
		path = *c.Witness.File
	}
	switch {
	case path == "":
		return nil
	case !filepath.IsAbs(path):
		path = filepath.Join(h.Dir, path)
	}
	return witnessFile{path}
}

// readRootKey reads the key file, which nobody else may be able to read.
func (h Home) readRootKey() (secret.Bytes, error) {
	f, err := os.Open(h.RootKey())
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("the root key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("the root key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return secret.Bytes{}, fmt.Errorf("the root key %s can be read by others (mode %04o): chmod 600", h.RootKey(), info.Mode().Perm())
	}
	if info.Size() != seal.KeyFileSize {
		return secret.Bytes{}, fmt.Errorf("the root key %s has %d bytes, not %d", h.RootKey(), info.Size(), seal.KeyFileSize)
	}
	key := secret.New(seal.KeyFileSize)
	if _, err := f.ReadAt(key.Expose(), 0); err != nil {
		return secret.Bytes{}, fmt.Errorf("the root key: %w", err)
	}
	return key, nil
}

// Quickstart says what a development HSM is to be.
type Quickstart struct {
	Label, SOPIN, PIN string
	// Test makes password hashes that cost nothing, for the project's own tests.
	Test bool
}

// Make makes the HSM in a new directory.
func (q Quickstart) Make(dir string) (Home, error) {
	_, before := os.Stat(dir)
	h, err := Make(dir)
	if err != nil {
		return Home{}, err
	}
	if err := q.fill(h); err != nil {
		// Nothing was there before: a half-made HSM helps nobody.
		for _, path := range []string{h.Store(), h.RootKey(), h.Config(), h.Development(), h.Run(), h.LogDir()} {
			os.Remove(path)
		}
		if errors.Is(before, fs.ErrNotExist) {
			os.Remove(h.Dir)
		}
		return Home{}, err
	}
	return h, nil
}

func (q Quickstart) fill(h Home) error {
	rootKey := secret.New(seal.KeyFileSize)
	defer rootKey.Wipe()
	rand.Read(rootKey.Expose())
	if err := writeNew(h.RootKey(), rootKey.Expose()); err != nil {
		return err
	}
	if err := writeNew(h.Config(), []byte(DefaultConfig)); err != nil {
		return err
	}
	store, err := boltstore.Create(h.Store())
	if err != nil {
		return err
	}
	defer store.Close()
	mode := hsm.ModeDevelopment
	if q.Test {
		mode = hsm.ModeTest
	}
	soPIN, pin := secret.Copy([]byte(q.SOPIN)), secret.Copy([]byte(q.PIN))
	defer soPIN.Wipe()
	defer pin.Wipe()
	if err := hsm.CreateDevelopment(store, rootKey, hsm.Development{
		Label: q.Label, SOPIN: soPIN, PIN: pin, Mode: mode,
		By: audit.Actor{Source: audit.SourceLocal, UID: uint32(os.Getuid()), PID: int32(os.Getpid()), Program: "tidelock quickstart"},
	}); err != nil {
		return err
	}
	return writeNew(h.Development(), []byte("libtidelock.so may start this HSM's server by itself.\n"))
}

// writeNew writes a file that must not exist, for its owner alone, and makes it
// durable.
func writeNew(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}
