package crash

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/keystore/boltstore"
)

// traces are bytes by which a destroyed thing would be known in a file: of its sealed
// records, or of its value in the clear.
type traces map[[traceSize]byte]bool

const traceSize = 16

func (x traces) add(b []byte) {
	if len(b) >= traceSize {
		x[[traceSize]byte(b[len(b)-traceSize:])] = true
	}
}

// sealedIn takes the traces of a store that no server has open: of every object in an area
// of slot 0's partition, which is the one with the most of them.
func sealedIn(home string) (x traces, err error) {
	s, err := boltstore.Open(filepath.Join(home, "store.db"))
	if err != nil {
		return nil, err
	}
	defer s.Close()
	areas := make(map[uint32]traces)
	err = s.View(func(r keystore.Reader) error {
		return r.Scan(keystore.TableObject, nil, nil, func(key, value []byte) (bool, error) {
			area := binary.BigEndian.Uint32(key)
			if areas[area] == nil {
				areas[area] = make(traces)
			}
			areas[area].add(value[8:32]) // of the metadata: an update of the firmware carries values as they are
			return true, nil
		})
	})
	for _, area := range areas {
		if len(area) > len(x) {
			x = area
		}
	}
	return x, err
}

// in counts the traces in the files of a directory.
func (x traces) in(dir string) (n int, err error) {
	var begins [1 << 16]bool
	for t := range x {
		begins[binary.BigEndian.Uint16(t[:])] = true
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a file on its way
		}
		for ; len(b) >= traceSize; b = b[1:] {
			if begins[binary.BigEndian.Uint16(b)] && x[[traceSize]byte(b)] {
				n++
			}
		}
		return err
	})
	return n, err
}

// none checks that no trace is in a directory.
func (x traces) none(dir string) error {
	n, err := x.in(dir)
	if err == nil && n > 0 {
		err = fmt.Errorf("%d traces of what was destroyed are in the files of the HSM", n)
	}
	return err
}
