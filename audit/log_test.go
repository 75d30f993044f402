package audit

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/seal"
)

func TestAppend(t *testing.T) {
	f := newLog(t)
	f.append(act(2))
	f.append(Record{Event: EventLogin, Result: cryptoki.CKR_PIN_INCORRECT, Actor: Actor{Source: SourceLocal, Program: "a\x00b"}})
	all := f.entries()
	if len(all) != 3 {
		t.Fatalf("%d entries", len(all))
	}
	if r := all[0].Record; r.Event != EventLogCreate || !strings.HasPrefix(r.Detail, "ed25519:") {
		t.Errorf("the first entry is %v", all[0])
	}
	want := act(2)
	want.Time = testStart.Add(2 * time.Second)
	if all[1].Record != want {
		t.Errorf("got  %+v\nwant %+v", all[1].Record, want)
	}
	if r := all[2].Record; r.Result != cryptoki.CKR_PIN_INCORRECT || r.Actor.Program != "a\uFFFDb" {
		t.Errorf("the third entry is %v", all[2])
	}
	head, err := f.DurableHead(f.store)
	if err != nil || head != all[2].Position {
		t.Errorf("the log ends at %v: %v", head, err)
	}
}

// Of a transaction that fails nothing is left, and of one that is run twice one
// entry.
func TestAppendIsPartOfTheTransaction(t *testing.T) {
	f := logOf(t, 3)
	before := dump(t, f.store)
	cause := errors.New("the act failed")
	err := f.store.Update(func(w keystore.Writer) error {
		if err := f.Append(w, act(4)); err != nil {
			return err
		}
		return cause
	})
	if !errors.Is(err, cause) {
		t.Fatal(err)
	}
	if after := dump(t, f.store); after != before {
		t.Errorf("before the failed transaction:\n%safter it:\n%s", before, after)
	}
	runs := 0
	act := func(w keystore.Writer) error {
		runs++
		if err := f.Append(w, act(4)); err != nil {
			return err
		}
		if runs == 1 {
			return cause
		}
		return f.Append(w, act(5))
	}
	_ = f.store.Update(act)
	f.update(act)
	if n := len(f.entries()); n != 5 {
		t.Errorf("%d entries, not 5", n)
	}
	if _, err := f.Verify(f.store); err != nil {
		t.Error(err)
	}
}

// A log whose end is not known is not gone on with.
func TestAppendChecksTheHead(t *testing.T) {
	for name, change := range map[string]func(head []byte) []byte{
		"missing":         func([]byte) []byte { return nil },
		"cut short":       func(b []byte) []byte { return b[:headSize-1] },
		"another version": func(b []byte) []byte { b[0]++; return b },
		"another number":  func(b []byte) []byte { b[8]++; return b },
		"another hash":    func(b []byte) []byte { b[9] ^= 1; return b },
		"another MAC":     func(b []byte) []byte { b[headSize-1] ^= 1; return b },
	} {
		f := logOf(t, 3)
		f.replace(keystore.TableHSM, keyHead, change)
		err := f.store.Update(func(w keystore.Writer) error { return f.Append(w, act(4)) })
		wantFault(t, name, err, FaultHead, 0, 0)
		if cryptoki.Code(err) != cryptoki.CKR_DEVICE_ERROR {
			t.Errorf("%s: %v", name, cryptoki.Code(err))
		}
	}
}

// The chain and the keys are the HSM's own.
func TestAnotherHSM(t *testing.T) {
	f := logOf(t, 3)
	for name, c := range map[string]Config{
		"another key":    {Key: seal.NewHSMKey(), Serial: testSerial, Now: f.now},
		"another serial": {Key: f.key, Serial: "9999999999999", Now: f.now},
	} {
		if _, err := New(c).Verify(f.store); err == nil {
			t.Errorf("%s: the log holds", name)
		}
		if _, err := New(c).Checkpoint(f.store, Actor{}); err == nil {
			t.Errorf("%s: a checkpoint was signed", name)
		}
	}
}

func TestPasses(t *testing.T) {
	f := logOf(t, 3)
	seen := f.entries()[1].Position
	other := seen
	other.Hash[0] ^= 1
	err := f.store.View(func(r keystore.Reader) error {
		for _, test := range []struct {
			name string
			p    Position
			want bool
		}{
			{"an entry", seen, true},
			{"the beginning", Position{Hash: origin(testSerial)}, true},
			{"another beginning", Position{}, false},
			{"another hash", other, false},
			{"a later entry", Position{4, seen.Hash}, false},
		} {
			if got, err := f.Passes(r, test.p); err != nil || got != test.want {
				t.Errorf("%s: %v, %v", test.name, got, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// An entry that was altered is never shown as if it were genuine.
func TestReadNamesWhatIsDamaged(t *testing.T) {
	f := logOf(t, 5)
	genuine := f.stored(3)
	for i := range genuine {
		f.replace(keystore.TableAudit, entryKey(3), func([]byte) []byte {
			b := slices.Clone(genuine)
			b[i] ^= 1
			return b
		})
		_, err := f.Read(f.store, 1, MaxPage)
		wantFault(t, fmt.Sprintf("byte %d", i), err, FaultAltered, 3, 3)
		if cryptoki.Code(err) != cryptoki.CKR_DEVICE_ERROR {
			t.Errorf("byte %d: %v", i, cryptoki.Code(err))
		}
	}
	f.replace(keystore.TableAudit, entryKey(3), func([]byte) []byte { return nil })
	for _, from := range []uint64{1, 4} {
		_, err := f.Read(f.store, from, MaxPage)
		wantFault(t, "reading", err, FaultMissing, 3, 3)
	}
	if p, err := f.Read(f.store, 5, MaxPage); err != nil || len(p.Entries) != 1 {
		t.Errorf("behind it: %v, %v", p, err)
	}
}

// replace changes one record of the store behind the log's back; nil deletes it.
func (f *fixture) replace(table keystore.Table, key []byte, change func([]byte) []byte) {
	f.t.Helper()
	f.update(func(w keystore.Writer) error {
		b, err := w.Get(table, key)
		if err != nil {
			return err
		}
		if b = change(append([]byte{}, b...)); b == nil {
			return w.Delete(table, key)
		}
		return w.Put(table, key, b)
	})
}

// stored is an entry as it lies in the store.
func (f *fixture) stored(n uint64) (b []byte) {
	f.t.Helper()
	err := f.store.View(func(r keystore.Reader) error {
		v, err := f.Log.stored(r, n)
		b = slices.Clone(v)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// BenchmarkAppend is what an entry costs beside the transaction.
func BenchmarkAppend(b *testing.B) {
	f := newLog(b)
	f.settings.Store(&Settings{DefaultClasses, MaxLimit})
	r := act(1)
	b.ReportAllocs()
	err := f.store.Update(func(w keystore.Writer) error {
		for b.Loop() {
			if err := f.Append(w, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkVerify(b *testing.B) {
	const n = 10_000
	f := newLog(b)
	f.update(func(w keystore.Writer) error {
		for i := range n {
			if err := f.Append(w, act(i)); err != nil {
				return err
			}
		}
		return nil
	})
	for b.Loop() {
		if _, err := f.Verify(f.store); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(n+1), "ns/entry")
}
