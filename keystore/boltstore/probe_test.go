package boltstore

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tidelock.dev/tidelock/keystore"
)

// A part of a record that is too long, or cannot be read, is an error.
func TestProbe(t *testing.T) {
	unreadable, err := syscall.Mmap(-1, 0, os.Getpagesize(), syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Munmap(unreadable) }()
	for _, c := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"nothing", nil, true},
		{"longest", make([]byte, 100), true},
		{"too long", make([]byte, 101), false},
		{"unreadable", unreadable[:100], false},
	} {
		if err := guarded(func() error { return probe(c.b, 100) }); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A key whose length on disk is wrong is not handed out.
func TestDamagedKeyLength(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	long := bytes.Repeat([]byte("k"), keystore.MaxKey)
	if err := s.Update(func(w keystore.Writer) error { return w.Put(keystore.TableObject, long, nil) }); err != nil {
		t.Fatal(err)
	}
	contents, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The key's length, 512, stands little-endian in the element before the key; one
	// bit makes it 4608.
	at := bytes.LastIndex(contents[:bytes.LastIndex(contents, long)], []byte{0, 2, 0, 0})
	if at < 0 {
		t.Fatal("the key's length is not where it was")
	}
	// Open would notice; the store is open already.
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{contents[at+1] | 0x10}, int64(at+1)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	err = s.View(func(r keystore.Reader) error {
		return r.Scan(keystore.TableObject, nil, nil, func(key, _ []byte) (bool, error) {
			t.Errorf("a key of %d bytes", len(key))
			return true, nil
		})
	})
	if err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("the scan returned %v", err)
	}
}
