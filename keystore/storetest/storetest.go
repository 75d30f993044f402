// Package storetest is the suite of the keystore contract: every engine passes it,
// through nothing but the contract.
//
// It may import keystore, rapid and the standard library; only tests import it.
package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidelock.dev/tidelock/keystore"
)

// Open opens the store on one disk, or makes it there the first time. The suite
// closes a store before it opens its disk again.
type Open func() (keystore.Store, error)

// RunSuite runs the suite. disk makes a new, empty disk, which it cleans up by
// itself.
func RunSuite(t *testing.T, disk func(t *testing.T) Open) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Open)
	}{
		{"Records", testRecords},
		{"Tables", testTables},
		{"Ownership", testOwnership},
		{"Limits", testLimits},
		{"Scan", testScan},
		{"ScanStops", testScanStops},
		{"ScanWhileWriting", testScanWhileWriting},
		{"ErrorUndoes", testErrorUndoes},
		{"PanicUndoes", testPanicUndoes},
		{"Reopen", testReopen},
		{"Closed", testClosed},
		{"Consistent", testConsistent},
		{"Concurrent", testConcurrent},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, disk(t)) })
	}
	t.Run("Model", func(t *testing.T) { testModel(t, disk) })
}

// must opens a store that is closed when the test ends.
func must(t *testing.T, open Open) keystore.Store {
	t.Helper()
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, keystore.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

func update(t *testing.T, s keystore.Store, fn func(keystore.Writer) error) {
	t.Helper()
	if err := s.Update(fn); err != nil {
		t.Fatal(err)
	}
}

// put is an update that writes one record.
func put(t *testing.T, s keystore.Store, table keystore.Table, key, value string) {
	t.Helper()
	update(t, s, func(w keystore.Writer) error { return w.Put(table, []byte(key), []byte(value)) })
}

// want compares a value that the store holds; the text "absent" stands for none.
func want(t *testing.T, s keystore.Store, table keystore.Table, key, value string) {
	t.Helper()
	err := s.View(func(r keystore.Reader) error { return expect(r, table, key, value) })
	if err != nil {
		t.Error(err)
	}
}

const absent = "absent"

func expect(r keystore.Reader, table keystore.Table, key, value string) error {
	got, err := r.Get(table, []byte(key))
	if err != nil {
		return err
	}
	text := absent
	if got != nil {
		text = string(got)
	}
	if text != value {
		return fmt.Errorf("%s %q is %q, not %q", table, key, text, value)
	}
	return nil
}

// keys lists the keys that a scan gives.
func keys(r keystore.Reader, table keystore.Table, prefix, after []byte) ([]string, error) {
	var list []string
	err := r.Scan(table, prefix, after, func(key, _ []byte) (bool, error) {
		list = append(list, string(key))
		return true, nil
	})
	return list, err
}

func testRecords(t *testing.T, open Open) {
	s := must(t, open)
	want(t, s, keystore.TableHSM, "a", absent)
	put(t, s, keystore.TableHSM, "a", "1")
	want(t, s, keystore.TableHSM, "a", "1")
	put(t, s, keystore.TableHSM, "a", "two")
	want(t, s, keystore.TableHSM, "a", "two")
	put(t, s, keystore.TableHSM, "a", "")
	want(t, s, keystore.TableHSM, "a", "")
	update(t, s, func(w keystore.Writer) error {
		for range 2 {
			if err := w.Delete(keystore.TableHSM, []byte("a")); err != nil {
				return err
			}
			if err := expect(w, keystore.TableHSM, "a", absent); err != nil {
				return err
			}
		}
		if err := w.Put(keystore.TableHSM, []byte("b"), nil); err != nil {
			return err
		}
		return expect(w, keystore.TableHSM, "b", "")
	})
	want(t, s, keystore.TableHSM, "a", absent)
	want(t, s, keystore.TableHSM, "b", "")
}

func testTables(t *testing.T, open Open) {
	s := must(t, open)
	for _, table := range keystore.Tables {
		put(t, s, table, "same key", table.String())
	}
	for _, table := range keystore.Tables {
		want(t, s, table, "same key", table.String())
	}
	update(t, s, func(w keystore.Writer) error { return w.Delete(keystore.TableIndex, []byte("same key")) })
	for _, table := range keystore.Tables {
		if table == keystore.TableIndex {
			want(t, s, table, "same key", absent)
		} else {
			want(t, s, table, "same key", table.String())
		}
	}
}

// The caller may do what it likes with its buffers once Put has returned, and a
// value that was read stays as it was while the transaction goes on.
func testOwnership(t *testing.T, open Open) {
	s := must(t, open)
	update(t, s, func(w keystore.Writer) error {
		key, value := []byte("key"), []byte("value")
		if err := w.Put(keystore.TableObject, key, value); err != nil {
			return err
		}
		clear(key)
		clear(value)
		return nil
	})
	want(t, s, keystore.TableObject, "key", "value")
	update(t, s, func(w keystore.Writer) error {
		got, err := w.Get(keystore.TableObject, []byte("key"))
		if err != nil {
			return err
		}
		if err := w.Put(keystore.TableObject, []byte("key"), []byte("VALUE")); err != nil {
			return err
		}
		if err := w.Delete(keystore.TableObject, []byte("key")); err != nil {
			return err
		}
		if string(got) != "value" {
			return fmt.Errorf("a value that was read became %q", got)
		}
		return nil
	})
}

func testLimits(t *testing.T, open Open) {
	s := must(t, open)
	longKey := bytes.Repeat([]byte{0xff}, keystore.MaxKey)
	longValue := bytes.Repeat([]byte{7}, keystore.MaxValue)
	update(t, s, func(w keystore.Writer) error { return w.Put(keystore.TableObject, longKey, longValue) })
	want(t, s, keystore.TableObject, string(longKey), string(longValue))

	behind := keystore.Table(len(keystore.Tables) + 1)
	scan := func(w keystore.Writer, table keystore.Table) error {
		return w.Scan(table, nil, nil, func(_, _ []byte) (bool, error) { return true, nil })
	}
	for _, c := range []struct {
		name string
		fn   func(w keystore.Writer) error
		want error
	}{
		{"get, no key", func(w keystore.Writer) error { _, err := w.Get(keystore.TableHSM, nil); return err }, keystore.ErrKeySize},
		{"get, long key", func(w keystore.Writer) error { _, err := w.Get(keystore.TableHSM, append(longKey, 1)); return err }, keystore.ErrKeySize},
		{"get, table 0", func(w keystore.Writer) error { _, err := w.Get(0, longKey); return err }, keystore.ErrTable},
		{"put, no key", func(w keystore.Writer) error { return w.Put(keystore.TableHSM, []byte{}, nil) }, keystore.ErrKeySize},
		{"put, long key", func(w keystore.Writer) error { return w.Put(keystore.TableHSM, append(longKey, 1), nil) }, keystore.ErrKeySize},
		{"put, long value", func(w keystore.Writer) error { return w.Put(keystore.TableHSM, longKey, append(longValue, 1)) }, keystore.ErrValueSize},
		{"put, table behind the last", func(w keystore.Writer) error { return w.Put(behind, longKey, nil) }, keystore.ErrTable},
		{"delete, no key", func(w keystore.Writer) error { return w.Delete(keystore.TableHSM, nil) }, keystore.ErrKeySize},
		{"delete, table 255", func(w keystore.Writer) error { return w.Delete(255, longKey) }, keystore.ErrTable},
		{"scan, table 0", func(w keystore.Writer) error { return scan(w, 0) }, keystore.ErrTable},
		{"scan, table behind the last", func(w keystore.Writer) error { return scan(w, behind) }, keystore.ErrTable},
	} {
		if err := s.Update(c.fn); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, not %v", c.name, err, c.want)
		}
	}
	if err := s.Failed(); err != nil {
		t.Errorf("a caller's mistake failed the store: %v", err)
	}
}

func testScan(t *testing.T, open Open) {
	s := must(t, open)
	stored := []string{"\x00", "a", "ab", "ab\x00", "ab\xff", "ac", "b", "\xff", "\xff\xff"}
	update(t, s, func(w keystore.Writer) error {
		for _, key := range slices.Backward(stored) {
			if err := w.Put(keystore.TableIndex, []byte(key), []byte("of "+key)); err != nil {
				return err
			}
		}
		return nil
	})
	probes := append([]string{"", "aa", "aba", "ad", "\xff\xfe", strings.Repeat("\xff", keystore.MaxKey)}, stored...)
	check := func(r keystore.Reader) error {
		for _, prefix := range probes {
			for i := -1; i < len(probes); i++ {
				var after []byte
				if i >= 0 {
					after = []byte(probes[i])
				}
				var expected []string
				for _, key := range stored {
					if strings.HasPrefix(key, prefix) && (after == nil || key > string(after)) {
						expected = append(expected, key)
					}
				}
				got, err := keys(r, keystore.TableIndex, []byte(prefix), after)
				if err != nil {
					return err
				}
				if !slices.Equal(got, expected) {
					return fmt.Errorf("prefix %q after %q gives %q, not %q", prefix, after, got, expected)
				}
			}
		}
		return r.Scan(keystore.TableIndex, nil, nil, func(key, value []byte) (bool, error) {
			if string(value) != "of "+string(key) {
				return false, fmt.Errorf("key %q comes with value %q", key, value)
			}
			return true, nil
		})
	}
	if err := s.View(check); err != nil {
		t.Errorf("view: %v", err)
	}
	if err := s.Update(func(w keystore.Writer) error { return check(w) }); err != nil {
		t.Errorf("update: %v", err)
	}
}

func testScanStops(t *testing.T, open Open) {
	s := must(t, open)
	for _, key := range []string{"a", "b", "c"} {
		put(t, s, keystore.TableIndex, key, "")
	}
	stop := errors.New("stop")
	for _, c := range []struct {
		more bool
		err  error
	}{{false, nil}, {false, stop}, {true, stop}} {
		var seen []string
		err := s.View(func(r keystore.Reader) error {
			return r.Scan(keystore.TableIndex, nil, nil, func(key, _ []byte) (bool, error) {
				seen = append(seen, string(key))
				if len(seen) == 2 {
					return c.more, c.err
				}
				return true, nil
			})
		})
		if !errors.Is(err, c.err) || len(seen) != 2 {
			t.Errorf("after (%v, %v) the scan gave %q and returned %v", c.more, c.err, seen, err)
		}
	}
}

// A scan goes on behind the key that its function was given, whatever the function
// did to the table.
func testScanWhileWriting(t *testing.T, open Open) {
	s := must(t, open)
	for _, key := range []string{"a", "b", "c", "d", "e"} {
		put(t, s, keystore.TableIndex, key, "")
	}
	var seen []string
	update(t, s, func(w keystore.Writer) error {
		seen = nil
		return w.Scan(keystore.TableIndex, nil, nil, func(key, _ []byte) (bool, error) {
			seen = append(seen, string(key))
			switch string(key) {
			case "a": // the next one goes, one behind it comes, so does one before
				return true, errors.Join(
					w.Delete(keystore.TableIndex, []byte("b")),
					w.Put(keystore.TableIndex, []byte("cc"), nil),
					w.Put(keystore.TableIndex, []byte("\x01"), nil))
			case "c": // the current one goes
				return true, w.Delete(keystore.TableIndex, []byte("c"))
			case "e": // the last one goes, and one comes at the end
				return true, errors.Join(
					w.Delete(keystore.TableIndex, []byte("e")),
					w.Put(keystore.TableIndex, []byte("f"), nil))
			}
			return true, nil
		})
	})
	if expected := []string{"a", "c", "cc", "d", "e", "f"}; !slices.Equal(seen, expected) {
		t.Errorf("the scan gave %q, not %q", seen, expected)
	}
}

func testErrorUndoes(t *testing.T, open Open) {
	s := must(t, open)
	put(t, s, keystore.TableHSM, "kept", "old")
	put(t, s, keystore.TableHSM, "empty", "")
	put(t, s, keystore.TableHSM, "deleted", "old")
	failure := errors.New("failure")
	err := s.Update(func(w keystore.Writer) error {
		return errors.Join(scribble(w), failure)
	})
	if !errors.Is(err, failure) {
		t.Errorf("Update returned %v", err)
	}
	wantUndone(t, s)
}

func testPanicUndoes(t *testing.T, open Open) {
	s := must(t, open)
	put(t, s, keystore.TableHSM, "kept", "old")
	put(t, s, keystore.TableHSM, "empty", "")
	put(t, s, keystore.TableHSM, "deleted", "old")
	func() {
		defer func() {
			if p := recover(); p != "oops" {
				t.Errorf("Update panics with %v", p)
			}
		}()
		_ = s.Update(func(w keystore.Writer) error {
			if err := scribble(w); err != nil {
				return err
			}
			panic("oops")
		})
	}()
	wantUndone(t, s)
	put(t, s, keystore.TableHSM, "next", "1")
	want(t, s, keystore.TableHSM, "next", "1")
}

// scribble writes each key twice, so that undoing in the wrong order shows.
func scribble(w keystore.Writer) error {
	return errors.Join(
		w.Put(keystore.TableHSM, []byte("kept"), []byte("new")),
		w.Put(keystore.TableHSM, []byte("kept"), []byte("newer")),
		w.Put(keystore.TableHSM, []byte("empty"), []byte("new")),
		w.Delete(keystore.TableHSM, []byte("empty")),
		w.Delete(keystore.TableHSM, []byte("deleted")),
		w.Put(keystore.TableHSM, []byte("deleted"), []byte("new")),
		w.Put(keystore.TableHSM, []byte("added"), []byte("new")),
		w.Put(keystore.TableHSM, []byte("added"), []byte("newer")))
}

func wantUndone(t *testing.T, s keystore.Store) {
	t.Helper()
	want(t, s, keystore.TableHSM, "kept", "old")
	want(t, s, keystore.TableHSM, "empty", "")
	want(t, s, keystore.TableHSM, "deleted", "old")
	want(t, s, keystore.TableHSM, "added", absent)
}

func testReopen(t *testing.T, open Open) {
	s := must(t, open)
	put(t, s, keystore.TableHSM, "a", "1")
	for i := range 5 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = must(t, open)
		for j := range i {
			want(t, s, keystore.TableObject, fmt.Sprint(j), fmt.Sprint(j))
		}
		want(t, s, keystore.TableObject, fmt.Sprint(i), absent)
		put(t, s, keystore.TableObject, fmt.Sprint(i), fmt.Sprint(i))
	}
	want(t, s, keystore.TableHSM, "a", "1")
}

func testClosed(t *testing.T, open Open) {
	s := must(t, open)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	called := false
	for name, err := range map[string]error{
		"View":   s.View(func(keystore.Reader) error { called = true; return nil }),
		"Update": s.Update(func(keystore.Writer) error { called = true; return nil }),
		"Scrub":  s.Scrub(),
		"Close":  s.Close(),
	} {
		if !errors.Is(err, keystore.ErrClosed) {
			t.Errorf("%s after Close returns %v", name, err)
		}
	}
	if called {
		t.Error("a function ran in a closed store")
	}
	if err := s.Failed(); err != nil {
		t.Errorf("Failed after Close returns %v", err)
	}
}
