package storetest

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tidelock.dev/tidelock/keystore"
)

// model is what a store should hold.
type model map[keystore.Table]map[string]string

func newModel() model {
	m := model{}
	for _, t := range keystore.Tables {
		m[t] = map[string]string{}
	}
	return m
}

func (m model) clone() model {
	c := model{}
	for t, records := range m {
		c[t] = maps.Clone(records)
	}
	return c
}

// scan is the model's answer to a Scan.
func (m model) scan(t keystore.Table, prefix string, after []byte) []string {
	var list []string
	for key := range m[t] {
		if strings.HasPrefix(key, prefix) && (after == nil || key > string(after)) {
			list = append(list, key)
		}
	}
	slices.Sort(list)
	return list
}

// Short keys of few letters, so that they meet; values around the size of a page.
var (
	tableGen = rapid.SampledFrom(keystore.Tables[:2])
	keyGen   = rapid.StringOfN(rapid.SampledFrom([]rune("ab\x00")), 1, 4, -1)
	valueGen = rapid.Custom(func(t *rapid.T) []byte {
		size := rapid.SampledFrom([]int{0, 1, 40, 1000, 5000}).Draw(t, "size")
		return bytes.Repeat([]byte{rapid.Byte().Draw(t, "fill")}, size)
	})
)

var errAbort = errors.New("abort")

// testModel does random updates, in which random things happen, and compares the
// store to a map: within the update, after it, and after reopening.
func testModel(t *testing.T, disk func(t *testing.T) Open) {
	rapid.Check(t, func(rt *rapid.T) {
		open := disk(t)
		s, err := open()
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		m := newModel()
		rt.Repeat(map[string]func(*rapid.T){
			"update": func(rt *rapid.T) {
				next := m.clone()
				abort := rapid.Bool().Draw(rt, "abort")
				steps := rapid.IntRange(0, 8).Draw(rt, "steps")
				err := s.Update(func(w keystore.Writer) error {
					for range steps {
						step(rt, w, next)
					}
					if abort {
						return errAbort
					}
					return nil
				})
				switch {
				case abort && !errors.Is(err, errAbort), !abort && err != nil:
					rt.Fatalf("Update (abort %v) returned %v", abort, err)
				case !abort:
					m = next
				}
			},
			"scrub": func(rt *rapid.T) {
				if err := s.Scrub(); err != nil {
					rt.Fatal(err)
				}
			},
			"reopen": func(rt *rapid.T) {
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				if s, err = open(); err != nil {
					rt.Fatal(err)
				}
			},
			"": func(rt *rapid.T) {
				err := s.View(func(r keystore.Reader) error {
					for _, table := range keystore.Tables {
						compare(rt, r, m, table, "", nil)
					}
					return nil
				})
				if err != nil {
					rt.Fatal(err)
				}
			},
		})
	})
}

// step does one thing in an update.
func step(rt *rapid.T, w keystore.Writer, m model) {
	table, key := tableGen.Draw(rt, "table"), keyGen.Draw(rt, "key")
	switch rapid.IntRange(0, 4).Draw(rt, "action") {
	case 0, 1:
		value := valueGen.Draw(rt, "value")
		if err := w.Put(table, []byte(key), value); err != nil {
			rt.Fatal(err)
		}
		m[table][key] = string(value)
	case 2:
		if err := w.Delete(table, []byte(key)); err != nil {
			rt.Fatal(err)
		}
		delete(m[table], key)
	case 3:
		got, err := w.Get(table, []byte(key))
		value, present := m[table][key]
		if err != nil || string(got) != value || (got != nil) != present {
			rt.Fatalf("Get of %q gives %d bytes (present %v) and %v", key, len(got), got != nil, err)
		}
	case 4:
		var after []byte
		if rapid.Bool().Draw(rt, "has after") {
			after = []byte(keyGen.Draw(rt, "after"))
		}
		compare(rt, w, m, table, key[:len(key)-1], after)
	}
}

// compare scans and compares keys and values.
func compare(rt *rapid.T, r keystore.Reader, m model, table keystore.Table, prefix string, after []byte) {
	expected := m.scan(table, prefix, after)
	i := 0
	err := r.Scan(table, []byte(prefix), after, func(key, value []byte) (bool, error) {
		if i >= len(expected) || string(key) != expected[i] || string(value) != m[table][string(key)] {
			rt.Fatalf("%s: record %d of prefix %q after %q is %q of %d bytes; expected keys are %q", table, i, prefix, after, key, len(value), expected)
		}
		i++
		return true, nil
	})
	if err != nil || i != len(expected) {
		rt.Fatalf("%s: prefix %q after %q gave %d records and %v; expected keys are %q", table, prefix, after, i, err, expected)
	}
}
