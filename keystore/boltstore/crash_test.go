package boltstore

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tidelock.dev/tidelock/keystore"
)

// sector is the unit that a disk writes whole, in bytes.
const sector = 512

// disk is a file as a power cut finds it: what was flushed is there, of what was
// written since then any part may be.
//
// bbolt flushes before and after it writes a meta page, which is one of the first two
// pages; TestFaults shows that it notices when those flushes fail.
type disk struct {
	flushed []byte
	pending []pending
}

type pending struct {
	offset int64
	data   []byte
}

func (d *disk) write(b []byte, offset int64) {
	meta := offset < int64(2*os.Getpagesize())
	if meta {
		d.flush()
	}
	d.pending = append(d.pending, pending{offset, slices.Clone(b)})
}

func (d *disk) flush() {
	for _, p := range d.pending {
		d.flushed = apply(d.flushed, p)
	}
	d.pending = nil
}

func apply(image []byte, p pending) []byte {
	if short := int(p.offset) + len(p.data) - len(image); short > 0 {
		image = append(image, make([]byte, short)...)
	}
	copy(image[p.offset:], p.data)
	return image
}

// crash gives an image of the disk after a power cut. size is the size of the file,
// which is flushed before it is used.
func (d *disk) crash(rng *rand.Rand, size int64) []byte {
	image := slices.Clone(d.flushed)
	odds := rng.Float64() // from next to nothing to next to all
	for _, p := range d.pending {
		for at := 0; at < len(p.data); at += sector {
			if rng.Float64() < odds {
				image = apply(image, pending{p.offset + int64(at), p.data[at:min(at+sector, len(p.data))]})
			}
		}
	}
	return append(image, make([]byte, max(0, size-int64(len(image))))...)
}

// After a power cut at any write, whichever of the sectors that were not flushed yet
// are lost, the store opens with every acknowledged update, whole, and at most the
// one more that was under way.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	path, crashed := filepath.Join(dir, "store"), filepath.Join(dir, "crashed")
	s, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var d disk
	if d.flushed, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	var acknowledged uint64
	old, new := 0, 0
	check := func() error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(crashed, d.crash(rng, info.Size()), 0o600); err != nil {
			return err
		}
		c, err := Open(crashed)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		return c.View(func(r keystore.Reader) error {
			n, err := readTwins(r, 0)
			switch {
			case err != nil:
				return err
			case n == acknowledged:
				old++
			case n == acknowledged+1:
				new++
			default:
				return fmt.Errorf("found %d after %d was acknowledged", n, acknowledged)
			}
			return nil
		})
	}
	onWrite(s.db, func(write writeFunc, b []byte, offset int64) (int, error) {
		d.write(b, offset)
		for range 2 {
			if err := check(); err != nil {
				t.Errorf("a power cut in update %d: %v", acknowledged+1, err)
			}
		}
		return write(b, offset)
	})
	for n := uint64(1); n <= 40 && !t.Failed(); n++ {
		if err := s.Update(func(w keystore.Writer) error { return writeTwins(w, 0, n) }); err != nil {
			t.Fatal(err)
		}
		d.flush() // the commit's last act
		acknowledged = n
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if old == 0 || new == 0 {
		t.Errorf("of the crashes %d found the old state and %d the new one", old, new)
	}
}
