package storetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"

	"tidelock.dev/tidelock/keystore"
)

// Numbers for the concurrent tests: enough callers that groups form.
const (
	callers = 32
	rounds  = 8
)

var (
	left  = []byte("left")
	right = []byte("right")
)

func number(r keystore.Reader, key []byte) (uint64, error) {
	b, err := r.Get(keystore.TableCounter, key)
	if err != nil || b == nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, fmt.Errorf("key %q has %d bytes", key, len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

func add(w keystore.Writer, key []byte) error {
	n, err := number(w, key)
	if err != nil {
		return err
	}
	return w.Put(keystore.TableCounter, key, binary.BigEndian.AppendUint64(nil, n+1))
}

// A view sees each update whole or not at all, and at least those that returned
// before it began.
func testConsistent(t *testing.T, open Open) {
	s := must(t, open)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range rounds {
				if err := s.Update(func(w keystore.Writer) error { return errors.Join(add(w, left), add(w, right)) }); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			var before uint64
			for range rounds {
				err := s.View(func(r keystore.Reader) error {
					l, err := number(r, left)
					if err != nil {
						return err
					}
					r2, err := number(r, right)
					if err != nil {
						return err
					}
					if l != r2 || l < before {
						return fmt.Errorf("left is %d, right %d, and both were %d before", l, r2, before)
					}
					before = l
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// Updates are serialised: none is lost, and one that fails or panics takes no other
// with it.
func testConcurrent(t *testing.T, open Open) {
	s := must(t, open)
	failure := errors.New("failure")
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			own := fmt.Appendf(nil, "own %d", caller)
			for round := range rounds {
				fails := (caller+round)%3 == 0
				panics := (caller+round)%7 == 0
				err := catch(func() error {
					return s.Update(func(w keystore.Writer) error {
						if err := errors.Join(add(w, left), add(w, own)); err != nil {
							return err
						}
						if panics {
							panic(failure)
						}
						if fails {
							return failure
						}
						return nil
					})
				})
				if fails || panics {
					if !errors.Is(err, failure) {
						t.Errorf("caller %d round %d: %v", caller, round, err)
					}
				} else if err != nil {
					t.Errorf("caller %d round %d: %v", caller, round, err)
				} else if err := s.View(func(r keystore.Reader) error {
					n, err := number(r, own)
					if err == nil && n != succeeded(caller, round) {
						err = fmt.Errorf("%s is %d after round %d", own, n, round)
					}
					return err
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var total uint64
	for caller := range callers {
		total += succeeded(caller, rounds-1)
	}
	if err := s.View(func(r keystore.Reader) error {
		n, err := number(r, left)
		if err == nil && n != total {
			err = fmt.Errorf("%d updates count as %d", total, n)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// succeeded counts a caller's updates that succeed up to a round.
func succeeded(caller, round int) (n uint64) {
	for r := range round + 1 {
		if (caller+r)%3 != 0 && (caller+r)%7 != 0 {
			n++
		}
	}
	return n
}

// catch makes an error of a panic with one.
func catch(fn func() error) (err error) {
	defer func() {
		if p, ok := recover().(error); ok {
			err = p
		}
	}()
	return fn()
}
