package home

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/keystore/boltstore"
	"tidelock.dev/tidelock/seal"
)

// Opened is an HSM with the store below it.
type Opened struct {
	HSM     *hsm.HSM
	store   keystore.Store
	witness *witnessFile // nil where there is none
}

// Close closes the store. The HSM is not used any more.
func (o *Opened) Close() error {
	return errors.Join(o.HSM.Close(), o.closeFiles())
}

func (o *Opened) closeFiles() error {
	err := o.store.Close()
	if o.witness != nil {
		err = errors.Join(err, o.witness.close())
	}
	return err
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
	if errors.Is(err, boltstore.ErrInUse) {
		return nil, fmt.Errorf("a server has this HSM open already (`tidelock stop --home %s` ends it): %w", h.Dir, err)
	}
	if err != nil {
		return nil, err
	}
	opened := &Opened{store: store}
	config := hsm.Config{
		Store: store, Answers: []secret.Bytes{rootKey}, Now: time.Now, Log: o.Log, Server: o.Server, Memory: o.Memory, TicketLife: life,
		AcceptRollback: o.AcceptRollback,
	}
	if path := h.witnessPath(c); path != "" {
		if opened.witness, err = openWitness(path); err != nil {
			return nil, errors.Join(err, store.Close())
		}
		config.Witness = opened.witness
	}
	opened.HSM, err = hsm.Open(config)
	if err != nil {
		_ = opened.closeFiles()
		if errors.Is(err, seal.ErrWrongSecret) {
			return nil, fmt.Errorf("%s does not open %s: one of them belongs to another HSM, or was changed", h.RootKey(), h.Store())
		}
		if errors.Is(err, hsm.ErrRolledBack) {
			return nil, fmt.Errorf("the HSM in %s: %w. If you put an old copy back on purpose, `tidelock serve --accept-rollback` starts it; "+
				"what was destroyed or changed since then is back too", h.Dir, err)
		}
		return nil, fmt.Errorf("the HSM in %s: %w", h.Dir, err)
	}
	return opened, nil
}

// witnessPath is where the witness is; empty where there is none.
func (h Home) witnessPath(c Config) string {
	path := h.Witness()
	if c.Witness.File != nil {
		path = *c.Witness.File
	}
	if path != "" && !filepath.IsAbs(path) {
		path = filepath.Join(h.Dir, path)
	}
	return path
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
