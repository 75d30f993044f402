package home

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// maxWitness bounds what is read of a witness file.
const maxWitness = 4096

// witnessFile is a witness in a file. Kept on another disk than the store, or on
// one that backups of the store do not reach, it notices that an old copy of the
// store was put back.
type witnessFile struct{ path string }

// Read implements hsm.Witness.
func (w witnessFile) Read() ([]byte, error) {
	f, err := os.Open(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, maxWitness)
	n, err := f.Read(b)
	if n == 0 {
		return nil, errors.Join(errors.New("the witness file is empty"), err)
	}
	return b[:n], nil
}

// Write implements hsm.Witness: the new record takes the old one's place at once.
func (w witnessFile) Write(record []byte) error {
	next := w.path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(record)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, w.path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(w.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
