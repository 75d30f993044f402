package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	bolt "go.etcd.io/bbolt"

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

// create makes a store that is closed when the test ends.
func create(t *testing.T) *Store {
	t.Helper()
	s, err := Create(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// records is the number of records that fill writes to each table: enough for a tree
// of two levels.
const records = 60

func fill(t *testing.T, s *Store) {
	t.Helper()
	for _, table := range keystore.Tables {
		err := s.Update(func(w keystore.Writer) error {
			for i := range records {
				if err := w.Put(table, fmt.Appendf(nil, "key %d", i), make([]byte, 200)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	if _, err := Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second Create gives %v", err)
	}
	if _, err := Open(path); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("a second Open gives %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create after Close gives %v", err)
	}
	if s, err = Open(path); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if _, err := Create(filepath.Join(t.TempDir(), "missing", "store")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Create without a directory gives %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	s, err := Create(whole)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s)
	var size int64
	if err := s.db.View(func(tx *bolt.Tx) error { size = tx.Size(); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	contents, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	write := func(b []byte) func(string) error {
		return func(path string) error { return os.WriteFile(path, b, 0o600) }
	}
	change := func(fn func(*bolt.Tx) error) func(string) error {
		return func(path string) error {
			if err := os.WriteFile(path, contents, 0o600); err != nil {
				return err
			}
			db, err := bolt.Open(path, 0o600, nil)
			if err != nil {
				return err
			}
			return errors.Join(db.Update(fn), db.Close())
		}
	}
	for _, c := range []struct {
		name, says string
		make       func(path string) error
	}{
		{"missing", "no such file", func(string) error { return nil }},
		{"empty", "the file is empty", write(nil)},
		{"text", "invalid", write([]byte(strings.Repeat("not a keystore\n", 1000)))},
		{"short", "invalid", write([]byte("x"))},
		{"cut", "damaged", write(contents[:size/4])},
		{"cut a little", "cut short", write(contents[:size-1])},
		{"directory", "is a directory", func(path string) error { return os.Mkdir(path, 0o700) }},
		{"interrupted", "creation was interrupted", func(path string) error {
			db, err := bolt.Open(path, 0o600, nil)
			if err != nil {
				return err
			}
			return db.Close()
		}},
		{"no format", "no format record", change(func(tx *bolt.Tx) error { return tx.Bucket(headerBucket).Delete(headerKey) })},
		{"newer", "format 2, this program reads format 1", change(func(tx *bolt.Tx) error {
			return tx.Bucket(headerBucket).Put(headerKey, binary.BigEndian.AppendUint32([]byte(string(magic)), 2))
		})},
		{"no table", "table index is missing", change(func(tx *bolt.Tx) error { return tx.DeleteBucket(bucketName(keystore.TableIndex)) })},
	} {
		path := filepath.Join(dir, c.name)
		if err := c.make(path); err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadFile(path)
		s, err := Open(path)
		if err == nil {
			_ = s.Close()
			t.Errorf("%s: opens", c.name)
			continue
		}
		if !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", c.name, err)
		}
		if after, _ := os.ReadFile(path); string(before) != string(after) {
			t.Errorf("%s: opening changed the file", c.name)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open made a file: %v", err)
	}
}

// Updates that wait together are one commit, failing ones among them.
func TestGroup(t *testing.T) {
	const callers = 64
	s := create(t)
	failure := errors.New("failure")
	before := transaction(t, s)
	s.mu.Lock()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			err := s.Update(func(w keystore.Writer) error {
				if err := w.Put(keystore.TableHSM, fmt.Appendf(nil, "%d", i), nil); err != nil || i%2 == 0 {
					return err
				}
				return failure
			})
			if i%2 == 0 && err != nil || i%2 == 1 && !errors.Is(err, failure) {
				t.Errorf("caller %d: %v", i, err)
			}
		})
	}
	for s.waiting.Load() != callers {
		runtime.Gosched()
	}
	s.mu.Unlock()
	wg.Wait()
	if n := transaction(t, s) - before; n != 1 {
		t.Errorf("%d callers made %d commits", callers, n)
	}
	if err := s.Update(func(keystore.Writer) error { return nil }); err != nil {
		t.Error(err)
	}
	if n := transaction(t, s) - before; n != 1 {
		t.Error("an update that wrote nothing was flushed")
	}
}

// A failing update's writes are undone though its group is committed.
func TestUndo(t *testing.T) {
	s := create(t)
	put := func(key, value string) func(keystore.Writer) error {
		return func(w keystore.Writer) error { return w.Put(keystore.TableHSM, []byte(key), []byte(value)) }
	}
	for _, key := range []string{"changed", "deleted", "empty"} {
		value := "old"
		if key == "empty" {
			value = ""
		}
		if err := s.Update(put(key, value)); err != nil {
			t.Fatal(err)
		}
	}
	failure := errors.New("failure")
	s.mu.Lock()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Update(put("other", "new")); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		// Each record twice, so that undoing in the wrong order shows.
		err := s.Update(func(w keystore.Writer) error {
			return errors.Join(
				put("changed", "new")(w), put("changed", "newer")(w),
				w.Delete(keystore.TableHSM, []byte("deleted")), put("deleted", "new")(w),
				put("empty", "new")(w), w.Delete(keystore.TableHSM, []byte("empty")),
				put("added", "new")(w), put("added", "newer")(w),
				failure)
		})
		if !errors.Is(err, failure) {
			t.Error(err)
		}
	})
	for s.waiting.Load() != 2 {
		runtime.Gosched()
	}
	s.mu.Unlock()
	wg.Wait()
	got := map[string]string{}
	if err := s.View(func(r keystore.Reader) error {
		return r.Scan(keystore.TableHSM, nil, nil, func(key, value []byte) (bool, error) {
			got[string(key)] = string(value)
			return true, nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"changed": "old", "deleted": "old", "empty": "", "other": "new"}; !maps.Equal(got, want) {
		t.Errorf("the store has %v, not %v", got, want)
	}
}

// A group does not wait for ever when others keep coming.
func TestGroupIsBounded(t *testing.T) {
	s := create(t)
	before := transaction(t, s)
	s.waiting.Add(1) // somebody who is about to come, and never does
	var wg sync.WaitGroup
	for i := range maxGroup {
		wg.Go(func() {
			if err := s.Update(func(w keystore.Writer) error { return w.Put(keystore.TableHSM, fmt.Append(nil, i), nil) }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s.waiting.Add(-1)
	if n := transaction(t, s) - before; n != 1 {
		t.Errorf("a full group made %d commits", n)
	}
}

// transaction is the number of the last commit.
func transaction(t *testing.T, s *Store) (n int) {
	t.Helper()
	if err := s.db.View(func(tx *bolt.Tx) error { n = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// A file with damaged pages gives errors; it neither ends the process nor hangs.
func TestDamage(t *testing.T) {
	s := create(t)
	fill(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	contents, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	pageSize := os.Getpagesize()
	rng := rand.New(rand.NewPCG(1, 2))
	failed := 0
	for page := range len(contents) / pageSize {
		for _, fill := range []byte{0, 0xff} {
			damaged := []byte(string(contents))
			// The header, where a page says what it is, and some of what follows.
			for i := range rng.IntN(200) {
				damaged[page*pageSize+i] = fill
			}
			if err := os.WriteFile(s.path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := exercise(s.path); err != nil {
				failed++
			}
		}
	}
	if failed == 0 {
		t.Error("no damage was noticed")
	}
}

// exercise reads and writes everything.
func exercise(path string) error {
	s, err := Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	scan := func(r keystore.Reader) error {
		for _, table := range keystore.Tables {
			err := r.Scan(table, nil, nil, func(key, value []byte) (bool, error) {
				// Read as any caller does, outside of the store's protection.
				_, _ = crc32.ChecksumIEEE(key), crc32.ChecksumIEEE(value)
				return true, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.View(scan); err != nil {
		return err
	}
	return s.Update(func(w keystore.Writer) error {
		for _, table := range keystore.Tables {
			for i := range records {
				if err := w.Delete(table, fmt.Appendf(nil, "key %d", i)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
