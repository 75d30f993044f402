package home

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/keystore/boltstore"
	"tidelock.dev/tidelock/seal"
)

// New says what an HSM is to be that its operators set up: it has an HSM SO and no
// partition.
type New struct {
	Label string
	// SOPIN is the HSM SO's; it remains the caller's.
	SOPIN secret.Bytes
	// Test makes password hashes that cost nothing, for the project's own tests.
	Test bool
	Shape
}

// Shape is what an HSM's hardware would be. What is 0 is the default.
type Shape struct {
	Firmware firmware.Level
	// Memory is in bytes.
	Memory     uint64
	Partitions uint16
}

// Make makes the HSM in a new directory.
func (n New) Make(dir string) (Home, error) {
	return create(dir, func(_ Home, store keystore.Store, rootKey secret.Bytes) error {
		mode := hsm.ModeProduction
		if n.Test {
			mode = hsm.ModeTest
		}
		return hsm.Create(store, rootKey, hsm.Creation{
			Label: n.Label, SOPIN: n.SOPIN, Level: n.Firmware, Memory: n.Memory, Licences: n.Partitions, Mode: mode, By: maker("tidelock hsm"),
		})
	})
}

// Quickstart says what a development HSM is to be.
type Quickstart struct {
	Label, SOPIN, PIN string
	// Test makes password hashes that cost nothing, for the project's own tests.
	Test bool
	// Version is the partition's; nil when nobody names one.
	Version *uint8
	Shape
}

// Make makes the HSM in a new directory.
func (q Quickstart) Make(dir string) (Home, error) {
	return create(dir, func(h Home, store keystore.Store, rootKey secret.Bytes) error {
		mode := hsm.ModeDevelopment
		if q.Test {
			mode = hsm.ModeTest
		}
		soPIN, pin := secret.Copy([]byte(q.SOPIN)), secret.Copy([]byte(q.PIN))
		defer soPIN.Wipe()
		defer pin.Wipe()
		if err := hsm.CreateDevelopment(store, rootKey, hsm.Development{
			Label: q.Label, SOPIN: soPIN, PIN: pin, Mode: mode, By: maker("tidelock quickstart"),
			Level: q.Firmware, Memory: q.Memory, Licences: q.Partitions, Version: q.Version,
		}); err != nil {
			return err
		}
		return writeNew(h.Development(), []byte("libtidelock.so may start this HSM's server by itself.\n"))
	})
}

// maker is who makes an HSM, for its audit log.
func maker(program string) audit.Actor {
	return audit.Actor{Source: audit.SourceLocal, UID: uint32(os.Getuid()), PID: int32(os.Getpid()), Program: program}
}

// create makes a directory with all that an HSM needs, and lets fill make the HSM in
// its empty store.
func create(dir string, fill func(h Home, store keystore.Store, rootKey secret.Bytes) error) (Home, error) {
	_, before := os.Stat(dir)
	h, err := Make(dir)
	if err != nil {
		return Home{}, err
	}
	if err := h.found(fill); err != nil {
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

func (h Home) found(fill func(h Home, store keystore.Store, rootKey secret.Bytes) error) error {
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
	return fill(h, store, rootKey)
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
