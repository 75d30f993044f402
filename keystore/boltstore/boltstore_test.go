package boltstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/keystore/storetest"
)

func TestSuite(t *testing.T) {
	storetest.RunSuite(t, func(t *testing.T) storetest.Open {
		return opener(filepath.Join(t.TempDir(), "store"))
	})
}

// opener creates the store the first time and opens it later.
func opener(path string) storetest.Open {
	return func() (keystore.Store, error) {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return Create(path)
		}
		return Open(path)
	}
}
