package home

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maxWitness bounds what is read of a witness file.
const maxWitness = 4096

// witnessFile is a witness in a file. Kept on another disk than the store, or on
// one that backups of the store do not reach, it notices that an old copy of the
// store was put back.
//
// Its directory is held open: when another home is put in the place of a server's, a
// backup say, that server must not write its own witness there.
type witnessFile struct {
	dir  *os.Root
	name string
}

// openWitness opens the directory of a witness file, which may not be there yet.
func openWitness(path string) (*witnessFile, error) {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("the directory of the witness: %w", err)
	}
	return &witnessFile{dir, filepath.Base(path)}, nil
}

func (w *witnessFile) close() error { return w.dir.Close() }

// Read implements hsm.Witness.
func (w *witnessFile) Read() ([]byte, error) {
	f, err := w.dir.Open(w.name)
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
func (w *witnessFile) Write(record []byte) error {
	next := w.name + ".new"
	f, err := w.dir.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(record)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := w.dir.Rename(next, w.name); err != nil {
		return err
	}
	dir, err := w.dir.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
