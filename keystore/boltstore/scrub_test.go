package boltstore

import (
	"bytes"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"tidelock.dev/tidelock/keystore"
)

func newStore(t *testing.T) (*Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store")
	s, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, path
}

// unique writes records whose values nobody else has, some of them longer than a page.
func unique(t *testing.T, s *Store, n int) (values [][]byte) {
	t.Helper()
	err := s.Update(func(w keystore.Writer) error {
		for i := range n {
			value := make([]byte, 64)
			_, _ = rand.Read(value)
			if i%10 == 0 {
				value = bytes.Repeat(value, 200)
			}
			values = append(values, value)
			if err := w.Put(keystore.TableObject, fmt.Appendf(nil, "%06d", i), value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// remove deletes the records from one number on.
func remove(t *testing.T, s *Store, from, n int) {
	t.Helper()
	err := s.Update(func(w keystore.Writer) error {
		for i := from; i < n; i++ {
			if err := w.Delete(keystore.TableObject, fmt.Appendf(nil, "%06d", i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func scrub(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Scrub(); err != nil {
		t.Fatal(err)
	}
}

// What was deleted is in the file until it is scrubbed, and then nowhere; what is kept
// stays, and the disk gets its space back.
func TestScrub(t *testing.T) {
	s, path := newStore(t)
	const n, kept = 20000, 5000 // more than one step scrubs
	values := unique(t, s, n)
	remove(t, s, kept, n)
	left := func() (count int) {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values[kept:] {
			if bytes.Contains(file, v[:48]) {
				count++
			}
		}
		return count
	}
	blocks := func() int64 {
		var st syscall.Stat_t
		if err := syscall.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks
	}
	values = append(values[:kept], values[n-300:]...) // a search for each takes its time
	if left() == 0 {
		t.Fatal("there is nothing to scrub")
	}
	before := blocks()
	scrub(t, s)
	if n := left(); n != 0 {
		t.Errorf("%d deleted records are in the file", n)
	}
	if now := blocks(); now > before/2 {
		t.Errorf("the file takes %d blocks, and took %d", now, before)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.View(func(r keystore.Reader) error {
		for i, want := range values[:kept] {
			if got, err := r.Get(keystore.TableObject, fmt.Appendf(nil, "%06d", i)); err != nil || !bytes.Equal(got, want) {
				return fmt.Errorf("record %d is %.16x, %v", i, got, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	unique(t, s, n) // into what was given back
}

// A view reads to its end what was deleted meanwhile.
func TestScrubBesideViews(t *testing.T) {
	s, _ := newStore(t)
	values := unique(t, s, 500)
	read, scrubbed := make(chan struct{}), make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = s.View(func(r keystore.Reader) error {
			read <- struct{}{}
			<-read
			// Until Scrub waits for this view, or has not waited for it.
			for len(scrubbed) == 0 && s.closing.TryRLock() {
				s.closing.RUnlock()
				runtime.Gosched()
			}
			for i, want := range values {
				if got, err := r.Get(keystore.TableObject, fmt.Appendf(nil, "%06d", i)); err != nil || !bytes.Equal(got, want) {
					t.Errorf("record %d of the view is %.16x, %v", i, got, err)
				}
			}
			return nil
		})
	})
	<-read
	remove(t, s, 0, 500)
	go func() { scrubbed <- s.Scrub() }()
	read <- struct{}{}
	wg.Wait()
	if err := <-scrubbed; err != nil {
		t.Error(err)
	}
	for n := uint64(1); n < 50; n++ {
		wg.Go(func() {
			if err := s.Update(func(w keystore.Writer) error { return writeTwins(w, 0, n) }); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() { scrub(t, s) })
	}
	wg.Wait()
	if err := check(s.db); err != nil {
		t.Error(err)
	}
}

// A power cut in the middle of a step, with any part of the zeros on the disk, leaves the
// store as it was.
func TestScrubCut(t *testing.T) {
	s, path := newStore(t)
	unique(t, s, 2000)
	remove(t, s, 100, 2000)
	rng := mathrand.New(mathrand.NewPCG(5, 6))
	var d disk
	var err error
	if d.flushed, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	_, dirty, _, _, err := s.look(0)
	if err != nil || len(dirty) == 0 {
		t.Fatalf("%d spans are dirty, %v", len(dirty), err)
	}
	size := int64(s.db.Info().PageSize)
	for _, at := range dirty {
		d.pending = append(d.pending, pending{int64(at.first) * size, make([]byte, int64(at.end-at.first)*size)})
	}
	cut := filepath.Join(t.TempDir(), "cut")
	for range 20 {
		if err := os.WriteFile(cut, d.crash(rng, int64(len(d.flushed))), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Open(cut)
		if err != nil {
			t.Fatal(err)
		}
		records := 0
		err = c.View(func(r keystore.Reader) error {
			return r.Scan(keystore.TableObject, nil, nil, func(_, _ []byte) (bool, error) { records++; return true, nil })
		})
		if err != nil || records != 100 {
			t.Errorf("%d records are left, %v", records, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A store that cannot write zeros has failed, as one that cannot write records.
func TestScrubFails(t *testing.T) {
	s, path := newStore(t)
	unique(t, s, 100)
	remove(t, s, 0, 100)
	readOnly, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	s.file = readOnly
	if err := s.Scrub(); err == nil || s.Failed() == nil {
		t.Errorf("%v, and the store is %v", err, s.Failed())
	}
}

// An update that a crash cut off has written pages behind all that the store reaches, with
// copies of records that were there before. When these are deleted, the copies go too.
func TestScrubBehindTheEnd(t *testing.T) {
	s, path := newStore(t)
	values := unique(t, s, 500)
	var cut []byte
	onWrite(s.db, func(write writeFunc, b []byte, offset int64) (int, error) {
		if offset < int64(2*os.Getpagesize()) { // a meta page, behind all others
			var err error
			if cut, err = os.ReadFile(path); err != nil {
				t.Error(err)
			}
		}
		return write(b, offset)
	})
	// It writes every page anew, and there is no free room for that.
	err := s.Update(func(w keystore.Writer) error {
		for i := range 500 {
			if err := w.Put(keystore.TableObject, fmt.Appendf(nil, "%06d+", i), make([]byte, 100)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "cut")
	if err := os.WriteFile(path, cut, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	remove(t, c, 0, 500)
	scrub(t, c)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		if bytes.Contains(file, v) {
			t.Fatalf("record %d was deleted and is in the file", i)
		}
	}
	unique(t, c, 2000) // the store grows into what was given back
}

// On a full disk Scrub works: it writes where blocks are, and needs none to look at holes.
func TestScrubOnFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("mounting a small file system needs root: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, 0) })
	s, err := Create(filepath.Join(disk, "store"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	unique(t, s, 2000)
	remove(t, s, 0, 2000)
	scrub(t, s) // leaves holes
	unique(t, s, 100)
	remove(t, s, 0, 100)
	filler, err := os.Create(filepath.Join(disk, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer filler.Close()
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	scrub(t, s)
	if err := s.View(func(keystore.Reader) error { return nil }); err != nil {
		t.Error(err)
	}
}
