package boltstore

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"tidelock.dev/tidelock/keystore"
)

// BenchmarkUpdate measures durable updates of one small record, by the number of
// callers at once.
func BenchmarkUpdate(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s, err := Create(filepath.Join(b.TempDir(), "store"))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			for caller := range callers {
				wg.Go(func() {
					key := fmt.Append(nil, caller)
					for left.Add(-1) >= 0 {
						if err := s.Update(func(w keystore.Writer) error { return w.Put(keystore.TableCounter, key, key) }); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkGet measures a view that reads one record.
func BenchmarkGet(b *testing.B) {
	s, err := Create(filepath.Join(b.TempDir(), "store"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	key := []byte("key")
	if err := s.Update(func(w keystore.Writer) error { return w.Put(keystore.TableObject, key, make([]byte, 1000)) }); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := s.View(func(r keystore.Reader) error { _, err := r.Get(keystore.TableObject, key); return err }); err != nil {
			b.Fatal(err)
		}
	}
}
