package tally

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/keystore/memstore"
	"tidelock.dev/tidelock/seal"
)

func create(t testing.TB, below keystore.Store) *Store {
	t.Helper()
	s := New(below, seal.NewHSMKey())
	if err := s.Create(func(w keystore.Writer) error {
		return w.Put(keystore.TableHSM, []byte("first"), []byte("value"))
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

// filled has records in every table, some of them replaced and removed.
func filled(t testing.TB) (*Store, keystore.Store) {
	t.Helper()
	below := memstore.New()
	s := create(t, below)
	for i := range 40 {
		err := s.Update(func(w keystore.Writer) error {
			for _, table := range keystore.Tables {
				k := fmt.Appendf(nil, "key %d", i%13)
				if err := w.Put(table, k, fmt.Appendf(nil, "%s %d", table, i)); err != nil {
					return err
				}
				if err := w.Delete(table, fmt.Appendf(nil, "key %d", i*7%17)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Verify(); err != nil {
		t.Fatal(err)
	}
	return s, below
}

func wantDamaged(t testing.TB, what string, s *Store) {
	t.Helper()
	if err := s.Verify(); !errors.Is(err, Error) || cryptoki.Code(err) != cryptoki.CKR_DEVICE_ERROR {
		t.Errorf("%s: Verify returns %v", what, err)
	}
}

// Whatever is done past the tally to one record, in whichever table, shows.
func TestVerify(t *testing.T) {
	for _, table := range counted {
		for what, spoil := range map[string]func(w keystore.Writer, key, value []byte) error{
			"lost":    func(w keystore.Writer, key, _ []byte) error { return w.Delete(table, key) },
			"added":   func(w keystore.Writer, key, value []byte) error { return w.Put(table, append(key, 'x'), value) },
			"changed": func(w keystore.Writer, key, value []byte) error { return w.Put(table, key, append(value, 'x')) },
			"put back": func(w keystore.Writer, key, _ []byte) error {
				return w.Put(table, key, fmt.Appendf(nil, "%s 0", table))
			},
			"tally cut": func(w keystore.Writer, _, _ []byte) error { return w.Put(keystore.TableHSM, []byte("tally"), nil) },
			"tally gone": func(w keystore.Writer, _, _ []byte) error {
				return w.Delete(keystore.TableHSM, []byte("tally"))
			},
			"renamed": func(w keystore.Writer, key, value []byte) error {
				return errors.Join(w.Delete(table, key), w.Put(table, append(key, 'x'), value))
			},
			"in another table": func(w keystore.Writer, key, value []byte) error {
				other := counted[0]
				if table == other {
					other = counted[1]
				}
				return errors.Join(w.Delete(table, key), w.Put(other, append(key, 'x'), value))
			},
		} {
			s, below := filled(t)
			if err := below.Update(func(w keystore.Writer) error {
				return w.Scan(table, []byte("key"), nil, func(k, v []byte) (bool, error) {
					return false, spoil(w, bytes.Clone(k), bytes.Clone(v))
				})
			}); err != nil {
				t.Fatal(err)
			}
			wantDamaged(t, fmt.Sprintf("%s, %s", table, what), s)
			// Later updates do not make it good.
			_ = s.Update(func(w keystore.Writer) error { return w.Put(table, []byte("more"), nil) })
			wantDamaged(t, fmt.Sprintf("%s, %s, and an update", table, what), s)
		}
	}
}

// Two records that exchange their values, and an old tally with new records, show
// too.
func TestVerifyExchanged(t *testing.T) {
	s, below := filled(t)
	var old []byte
	_ = s.View(func(r keystore.Reader) error {
		b, err := r.Get(keystore.TableHSM, key)
		old = bytes.Clone(b)
		return err
	})
	if err := s.Update(func(w keystore.Writer) error { return w.Put(keystore.TableObject, []byte("a"), []byte("1")) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(func(w keystore.Writer) error { return w.Put(keystore.TableObject, []byte("b"), []byte("2")) }); err != nil {
		t.Fatal(err)
	}
	if err := below.Update(func(w keystore.Writer) error {
		return errors.Join(w.Put(keystore.TableObject, []byte("a"), []byte("2")), w.Put(keystore.TableObject, []byte("b"), []byte("1")))
	}); err != nil {
		t.Fatal(err)
	}
	wantDamaged(t, "exchanged", s)
	s, below = filled(t)
	if err := below.Update(func(w keystore.Writer) error { return w.Put(keystore.TableHSM, key, old) }); err != nil {
		t.Fatal(err)
	}
	wantDamaged(t, "an old tally", s)
}

// An update that fails leaves the tally as it was, and so does a record that is
// written as it is.
func TestUndone(t *testing.T) {
	s, _ := filled(t)
	failure := errors.New("failure")
	err := s.Update(func(w keystore.Writer) error {
		return errors.Join(w.Put(keystore.TableObject, []byte("undone"), []byte("x")), failure)
	})
	if !errors.Is(err, failure) {
		t.Errorf("Update returns %v", err)
	}
	if err := s.Verify(); err != nil {
		t.Error(err)
	}
}

// What the store below refuses, the one above does.
func TestClosed(t *testing.T) {
	s := create(t, memstore.New())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(); !errors.Is(err, keystore.ErrClosed) {
		t.Errorf("Verify of a closed store returns %v", err)
	}
}

func BenchmarkVerify(b *testing.B) {
	s := create(b, memstore.New())
	const records = 10_000
	if err := s.Update(func(w keystore.Writer) error {
		for i := range records {
			if err := w.Put(keystore.TableIndex, fmt.Appendf(nil, "a key of thirty-six bytes %09d", i), nil); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := s.Verify(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/records, "ns/record")
}
