package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	bolt "go.etcd.io/bbolt"

	"tidelock.dev/tidelock/keystore"
)

// writeFunc is how bbolt writes to its file.
type writeFunc = func(b []byte, offset int64) (int, error)

// field reaches a field of bbolt's DB that is not exported, and panics when bbolt has
// it no longer.
func field[T any](db *bolt.DB, path ...string) *T {
	v := reflect.ValueOf(db).Elem()
	for _, name := range path {
		v = v.FieldByName(name)
	}
	if v.Type() != reflect.TypeFor[T]() {
		panic(fmt.Sprintf("bbolt's %v is a %v", path, v.Type()))
	}
	return (*T)(unsafe.Pointer(v.UnsafeAddr()))
}

// onWrite puts a hook before bbolt's writing to its file.
func onWrite(db *bolt.DB, hook func(write writeFunc, b []byte, offset int64) (int, error)) {
	p := field[writeFunc](db, "ops", "writeAt")
	write := *p
	*p = func(b []byte, offset int64) (int, error) { return hook(write, b, offset) }
}

// fault is how the n-th access fails.
type fault int

const (
	refused fault = iota // the write does nothing
	torn                 // the write stops half way
	lost                 // the write succeeds, and whatever comes next fails: a write, a sync, growing
	faults
)

var errInjected = errors.New("injected")

// inject makes the n-th write from now on fail, and tells through hit that it came to
// that.
func inject(t *testing.T, db *bolt.DB, how fault, n int) (hit *atomic.Bool) {
	hit = new(atomic.Bool)
	onWrite(db, func(write writeFunc, b []byte, offset int64) (int, error) {
		if n--; n != 0 {
			return write(b, offset)
		}
		hit.Store(true)
		switch how {
		case refused:
			return 0, errInjected
		case torn:
			wrote, _ := write(b[:len(b)/2], offset)
			return wrote, errInjected
		}
		wrote, err := write(b, offset)
		unplug(t, *field[*os.File](db, "file"))
		return wrote, err
	})
	return hit
}

// unplug puts a pipe in the place of an open file, so that each further access by the
// descriptor fails.
func unplug(t *testing.T, f *os.File) {
	var pipe [2]int
	if err := errors.Join(syscall.Pipe(pipe[:]), syscall.Dup3(pipe[0], int(f.Fd()), 0), syscall.Close(pipe[0]), syscall.Close(pipe[1])); err != nil {
		t.Error(err)
	}
}

// callers update at the same time, each its own two records.
const callers = 3

// twins are the two records of a caller.
func twins(caller int) (a, b []byte) {
	return fmt.Appendf(nil, "%d a", caller), fmt.Appendf(nil, "%d b", caller)
}

// writeTwins sets both records to the number n, with a length that follows from n and
// is now and then enough for the file to grow.
func writeTwins(w keystore.Writer, caller int, n uint64) error {
	value := binary.BigEndian.AppendUint64(nil, n)
	value = append(value, make([]byte, n*577%20_000)...)
	a, b := twins(caller)
	return errors.Join(w.Put(keystore.TableObject, a, value), w.Put(keystore.TableCounter, b, value))
}

// readTwins returns the number that both records have.
func readTwins(r keystore.Reader, caller int) (uint64, error) {
	a, b := twins(caller)
	x, errX := r.Get(keystore.TableObject, a)
	y, errY := r.Get(keystore.TableCounter, b)
	if err := errors.Join(errX, errY); err != nil || x == nil && y == nil {
		return 0, err
	}
	if string(x) != string(y) {
		return 0, fmt.Errorf("caller %d: one record has %d bytes, the other %d", caller, len(x), len(y))
	}
	n := binary.BigEndian.Uint64(x)
	if len(x) != 8+int(n*577%20_000) {
		return 0, fmt.Errorf("caller %d: number %d has %d bytes", caller, n, len(x))
	}
	return n, nil
}

// Whatever access to the file fails, the store then refuses everything, and the next
// opening finds every acknowledged update, whole, and at most the one more that each
// caller had under way.
func TestFaults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var acknowledged [callers]uint64
	survived := 0
	const total = 500
	for i := range total {
		// The places reach over several commits; the kinds go round with another period.
		hit := inject(t, s.db, fault(i)%faults, 1+i/int(faults)%11)
		var wg sync.WaitGroup
		for caller := range callers {
			wg.Go(func() {
				for range 100 {
					n := acknowledged[caller] + 1
					err := s.Update(func(w keystore.Writer) error { return writeTwins(w, caller, n) })
					if err == nil {
						acknowledged[caller] = n
						continue
					}
					if !errors.Is(err, keystore.ErrFailed) || !hit.Load() {
						t.Errorf("fault %d: Update returned %v", i, err)
					}
					return
				}
				t.Errorf("fault %d: no update failed", i)
			})
		}
		wg.Wait()
		wantFailed(t, s)
		_ = s.Close()
		if t.Failed() {
			return
		}

		if s, err = Open(path); err != nil {
			t.Fatalf("fault %d: %v", i, err)
		}
		if err := s.View(func(r keystore.Reader) error {
			for caller := range callers {
				n, err := readTwins(r, caller)
				if err != nil {
					return err
				}
				switch n {
				case acknowledged[caller]:
				case acknowledged[caller] + 1:
					acknowledged[caller] = n
					survived++
				default:
					return fmt.Errorf("caller %d finds %d after %d was acknowledged", caller, n, acknowledged[caller])
				}
			}
			return nil
		}); err != nil {
			t.Fatalf("fault %d: %v", i, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if survived == 0 || survived >= total*callers {
		t.Errorf("%d updates survived unacknowledged: the faults are not where they should be", survived)
	}
}

// wantFailed checks that a failed store refuses everything.
func wantFailed(t *testing.T, s *Store) {
	t.Helper()
	called := false
	for name, err := range map[string]error{
		"Update": s.Update(func(keystore.Writer) error { called = true; return nil }),
		"View":   s.View(func(keystore.Reader) error { called = true; return nil }),
		"Failed": s.Failed(),
	} {
		if !errors.Is(err, keystore.ErrFailed) {
			t.Errorf("%s of a failed store returns %v", name, err)
		}
	}
	if called {
		t.Error("a failed store ran a function")
	}
}

// The error of an update that failed by itself counts for nothing when its group was
// not committed: what it read may be gone.
func TestErrorInFailedGroup(t *testing.T) {
	s := create(t)
	inject(t, s.db, refused, 1)
	failure := errors.New("failure")
	s.mu.Lock()
	var wg sync.WaitGroup
	for _, result := range []error{nil, failure} {
		wg.Go(func() {
			err := s.Update(func(w keystore.Writer) error {
				return errors.Join(w.Put(keystore.TableHSM, []byte("key"), nil), result)
			})
			if !errors.Is(err, keystore.ErrFailed) || !errors.Is(err, errInjected) {
				t.Errorf("Update returned %v", err)
			}
		})
	}
	for s.waiting.Load() != 2 {
		runtime.Gosched()
	}
	s.mu.Unlock()
	wg.Wait()
}
