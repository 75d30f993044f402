package boltstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"tidelock.dev/tidelock/keystore"
)

// churned makes a store whose tree has grown and shrunk at random, several levels
// deep, and inspects it now and then.
func churned(t *testing.T) (contents []byte, pageSize int) {
	t.Helper()
	s := create(t)
	s.db.NoSync = true
	rng := rand.New(rand.NewPCG(5, 6))
	for round := range 300 {
		if err := s.Update(func(w keystore.Writer) error {
			for range 200 {
				key := binary.BigEndian.AppendUint64(nil, rng.Uint64N(20_000)*0x9e3779b97f4a7c15)
				key = append(key, make([]byte, rng.IntN(100))...)
				// Rounds of growing and of shrinking.
				if rng.IntN(10) < 3+round/50%2*4 {
					if err := w.Scan(keystore.TableIndex, key[:2], nil, func(k, _ []byte) (bool, error) {
						return true, w.Delete(keystore.TableIndex, bytes.Clone(k))
					}); err != nil {
						return err
					}
				} else if err := w.Put(keystore.TableIndex, key, make([]byte, rng.IntN(2000)*rng.IntN(2))); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := inspectFile(s.db); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	pageSize = s.db.Info().PageSize
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	contents, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	return contents, pageSize
}

// An inspection passes what bbolt writes, and finds each kind of damage.
func TestInspect(t *testing.T) {
	contents, pageSize := churned(t)
	root, freelist, end, err := newestMeta(bytes.NewReader(contents), pageSize)
	if err != nil {
		t.Fatal(err)
	}
	page := func(b []byte, id uint64) []byte { return b[id*uint64(pageSize):] }
	// A branch of a table, and a leaf below it that another page follows.
	var branch, leaf uint64
	for id := uint64(2); id < end && branch == 0; id++ {
		p := page(contents, id)
		if order.Uint16(p[8:]) != branchPage || order.Uint16(p[10:]) < 3 {
			continue
		}
		child := order.Uint64(p[pageHeader+8:])
		if child < end-1 && order.Uint16(page(contents, child)[8:]) == leafPage && !freed(contents, pageSize, freelist, id) {
			branch, leaf = id, child
		}
	}
	if branch == 0 {
		t.Fatal("the tree has one level")
	}
	for _, c := range []struct {
		name  string
		spoil func(b []byte)
		want  string
	}{
		{"nothing", func([]byte) {}, ""},
		{"first meta page", func(b []byte) { b[pageHeader+50] ^= 1 }, "meta page 0"},
		{"second meta page", func(b []byte) { b[pageSize+pageHeader+50] ^= 1 }, "meta page 1"},
		{"number of a page", func(b []byte) { page(b, leaf)[0] ^= 4 }, "damaged header"},
		{"kind of a page", func(b []byte) { page(b, leaf)[8] ^= 4 }, "another kind"},
		{"overflow", func(b []byte) { page(b, leaf)[12]++ }, "two places"},
		{"overflow behind the end", func(b []byte) { page(b, leaf)[15]++ }, "damaged header"},
		{"pointer to a page", func(b []byte) { page(b, branch)[pageHeader+8]-- }, "page"},
		{"pointer behind the end", func(b []byte) { page(b, branch)[pageHeader+15]++ }, "behind the end"},
		{"cycle", func(b []byte) { order.PutUint64(page(b, branch)[pageHeader+8:], branch) }, "two places"},
		{"key of a branch", func(b []byte) {
			e := page(b, branch)[pageHeader+elementHeader:]
			e[order.Uint32(e)+order.Uint32(e[4:])-1]++
		}, "not where a search"},
		{"length in a branch", func(b []byte) { page(b, branch)[pageHeader+7]++ }, "out of its page"},
		{"length in a leaf", func(b []byte) { page(b, leaf)[pageHeader+11]++ }, "out of its page"},
		{"place in a leaf", func(b []byte) { order.PutUint32(page(b, leaf)[pageHeader+4:], 3) }, "out of its page"},
		{"kind of a record", func(b []byte) { page(b, leaf)[pageHeader] ^= bucketElement }, "another kind"},
		{"number of records", func(b []byte) { order.PutUint16(page(b, leaf)[10:], 0xffff) }, "page"},
		{"free list has a page in use", func(b []byte) { order.PutUint64(page(b, freelist)[pageHeader:], root) }, "free pages"},
		{"free list lacks a page", func(b []byte) { page(b, freelist)[10]-- }, "belongs to nothing"},
		{"free list too long", func(b []byte) { order.PutUint16(page(b, freelist)[10:], 0xfffe) }, "longer than"},
		{"free list is none", func(b []byte) { page(b, freelist)[8] = leafPage }, "not the list"},
	} {
		damaged := bytes.Clone(contents)
		c.spoil(damaged)
		err := inspect(bytes.NewReader(damaged), int64(len(damaged)), pageSize)
		if got := fmt.Sprint(err); (err == nil) != (c.want == "") || !strings.Contains(got, c.want) && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := inspect(bytes.NewReader(contents), int64(len(contents)/2), pageSize); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("half a file: %v", err)
	}
}

// freed tells whether the free list has a page.
func freed(contents []byte, pageSize int, freelist, id uint64) bool {
	b := contents[freelist*uint64(pageSize):]
	for n := range uint64(order.Uint16(b[10:])) {
		if order.Uint64(b[pageHeader+8*n:]) == id {
			return true
		}
	}
	return false
}

// FuzzInspect: whatever is in a file, an inspection ends with an answer.
func FuzzInspect(f *testing.F) {
	f.Add(uint32(0), uint64(0))
	path := f.TempDir() + "/store"
	s, err := Create(path)
	if err != nil {
		f.Fatal(err)
	}
	if err := s.Update(func(w keystore.Writer) error {
		for i := range 500 {
			if err := w.Put(keystore.TableObject, fmt.Append(nil, i), make([]byte, 50)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		f.Fatal(err)
	}
	pageSize := s.db.Info().PageSize
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	contents, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(_ *testing.T, at uint32, value uint64) {
		damaged := bytes.Clone(contents)
		order.PutUint64(damaged[int(at)%(len(damaged)-8):], value)
		_ = inspect(bytes.NewReader(damaged), int64(len(damaged)), pageSize)
	})
}
