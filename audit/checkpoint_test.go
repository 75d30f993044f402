package audit

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"tidelock.dev/tidelock/keystore"
)

func TestCheckpoint(t *testing.T) {
	f := logOf(t, 3)
	by := Actor{Source: SourceLocal, UID: 5}
	c, err := f.Checkpoint(f.store, by)
	if err != nil {
		t.Fatal(err)
	}
	all := f.entries()
	newest := all[len(all)-1]
	if c.Position != newest.Position || c.Sequence != 4 || c.Serial != testSerial || c.Time != newest.Record.Time {
		t.Errorf("the checkpoint is %+v, the newest entry %+v", c, newest)
	}
	if newest.Record.Event != EventCheckpoint || newest.Record.Actor != by {
		t.Errorf("the newest entry is %v", newest)
	}
	if all[0].Record.Detail != c.Key.String() {
		t.Errorf("the first entry names the key %s, the checkpoint %v", all[0].Record.Detail, c.Key)
	}
	got, err := ParseCheckpoint(c.Text())
	if err != nil || got != c {
		t.Errorf("%s became %+v: %v", c.Text(), got, err)
	}
}

// The key is the same at every start.
func TestCheckpointsHaveOneKey(t *testing.T) {
	f := logOf(t, 2)
	first := f.checkpoint("first")
	f.Log = New(Config{Key: f.key, Serial: testSerial, Now: f.now})
	if second := f.checkpoint("second"); second.Key != first.Key {
		t.Errorf("the keys are %v and %v", first.Key, second.Key)
	}
}

// A change of any byte, and of any value, is noticed.
func TestParseCheckpointRefuses(t *testing.T) {
	text := logOf(t, 3).checkpoint("").Text()
	for i := range text {
		changed := bytes.Clone(text)
		changed[i] ^= 1
		if c, err := ParseCheckpoint(changed); err == nil {
			t.Errorf("with byte %d changed: accepted as %+v", i, c)
		}
		if _, err := ParseCheckpoint(text[:i]); err == nil {
			t.Errorf("the first %d bytes were accepted", i)
		}
	}
	for _, test := range []struct{ name, old, with string }{
		{"another format", "checkpoint", "log"},
		{"another version", `"version": 1`, `"version": 2`},
		{"entry 0", `"sequence": 4`, `"sequence": 0`},
		{"another entry", `"sequence": 4`, `"sequence": 5`},
		{"a field twice", `"sequence": 4`, `"sequence": 5, "sequence": 4`},
		{"another time", `"time": "2026`, `"time": "2027`},
		{"another kind of key", "ed25519", "ed448"},
		{"more behind it", "}\n", "}\n{}"},
		{"too long", "{", "{" + strings.Repeat(" ", MaxCheckpoint)},
	} {
		if !strings.Contains(string(text), test.old) {
			t.Fatalf("%s is not in %s", test.old, text)
		}
		if c, err := ParseCheckpoint([]byte(strings.Replace(string(text), test.old, test.with, 1))); err == nil {
			t.Errorf("%s: accepted as %+v", test.name, c)
		}
	}
}

// Without its key there is no checkpoint, and no entry about one.
func TestCheckpointNeedsItsKey(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"missing": func([]byte) []byte { return nil },
		"changed": func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
	} {
		f := logOf(t, 3)
		f.replace(keystore.TableHSM, keySigningKey, change)
		if c, err := f.Checkpoint(f.store, Actor{}); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
		if n := len(f.entries()); n != 3 {
			t.Errorf("%s: %d entries", name, n)
		}
	}
}

// A text that is accepted is the one that its checkpoint has.
func FuzzParseCheckpoint(f *testing.F) {
	f.Add(logOf(f, 3).checkpoint("").Text())
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseCheckpoint(text)
		if err == nil && (!bytes.Equal(c.Text(), text) || !json.Valid(text)) {
			t.Errorf("%q was accepted as %q", text, c.Text())
		}
	})
}
