package audit

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/keystore/memstore"
	"tidelock.dev/tidelock/seal"
)

const testSerial = "1234567890123"

var testStart = time.Date(2026, time.November, 24, 6, 0, 0, 123456000, time.UTC)

// fixture is a log in a store, with everything that its HSM's owner has.
type fixture struct {
	*Log
	t     testing.TB
	key   *seal.HSMKey
	store *memstore.Store
	clock time.Time
}

// newLog makes a log that has only its first entry.
func newLog(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, key: seal.NewHSMKey(), store: memstore.New(), clock: testStart}
	f.Log = New(Config{Key: f.key, Serial: testSerial, Now: f.now})
	f.update(func(w keystore.Writer) error { return f.Create(w, Actor{}) })
	return f
}

// logOf makes a log of n entries.
func logOf(t testing.TB, n int) *fixture {
	t.Helper()
	f := newLog(t)
	for i := 2; i <= n; i++ {
		f.append(act(i))
	}
	return f
}

// now is a clock that every look moves.
func (f *fixture) now() time.Time {
	f.clock = f.clock.Add(time.Second)
	return f.clock
}

func (f *fixture) update(fn func(keystore.Writer) error) {
	f.t.Helper()
	if err := f.store.Update(fn); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) append(r Record) {
	f.t.Helper()
	f.update(func(w keystore.Writer) error { return f.Append(w, r) })
}

// act is the record of some act.
func act(i int) Record {
	return Record{
		Event: EventKeyGenerate, Partition: 1, Object: cryptoki.ObjectHandle(i),
		Actor:     Actor{Source: SourceLocal, Role: RoleCryptoOfficer, Application: 3, UID: 1000, PID: 4711, Program: "a program"},
		Mechanism: Some(cryptoki.CKM_AES_KEY_GEN), Class: Some(cryptoki.CKO_SECRET_KEY), Detail: fmt.Sprintf("act %d", i),
	}
}

// entries reads the whole log.
func (f *fixture) entries() []Entry {
	f.t.Helper()
	var all []Entry
	for {
		p, err := f.Read(f.store, uint64(len(all)+1), MaxPage)
		if err != nil {
			f.t.Fatal(err)
		}
		if all = append(all, p.Entries...); len(p.Entries) == 0 {
			return all
		}
	}
}

// export is the log from an entry on, as lines.
func (f *fixture) export(from uint64) [][]byte {
	f.t.Helper()
	p, err := f.Read(f.store, from, MaxPage)
	if err != nil {
		f.t.Fatal(err)
	}
	lines := [][]byte{p.Header.Line()}
	for _, e := range p.Entries {
		lines = append(lines, e.Line())
	}
	return lines
}

func (f *fixture) checkpoint(name string) NamedCheckpoint {
	f.t.Helper()
	c, err := f.Checkpoint(f.store, Actor{})
	if err != nil {
		f.t.Fatal(err)
	}
	return NamedCheckpoint{name, c}
}

// regrow is what the HSM's owner can do: it cuts the log before an entry and writes
// other entries with the right keys, up to as many as there were.
func (f *fixture) regrow(from uint64) {
	f.t.Helper()
	n := len(f.entries())
	f.truncate(from - 1)
	for range n - int(from) + 1 {
		f.append(Record{Event: EventLogout, Detail: "nothing happened here"})
	}
}

// dump is what a store holds, as one comparable text.
func dump(t testing.TB, s keystore.Store) string {
	t.Helper()
	var text string
	err := s.View(func(r keystore.Reader) error {
		for _, table := range keystore.Tables {
			err := r.Scan(table, nil, nil, func(k, v []byte) (bool, error) {
				text += fmt.Sprintf("%v %x %x\n", table, k, v)
				return true, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// verify runs lines through a verifier.
func verify(t testing.TB, lines [][]byte, checkpoints ...NamedCheckpoint) (Report, error) {
	t.Helper()
	v, err := NewVerifier(checkpoints...)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range lines {
		v.Line(text)
	}
	return v.Finish()
}

// wantFault checks that err is a fault of this kind at these entries.
func wantFault(t testing.TB, what string, err error, kind FaultKind, first, last uint64) {
	t.Helper()
	var fault *Fault
	switch {
	case !errors.As(err, &fault):
		t.Errorf("%s: %v, which is no fault", what, err)
	case fault.Kind != kind || fault.First != first || fault.Last != last:
		t.Errorf("%s: %q; want %s, entries %d to %d", what, fault, kind, first, last)
	}
}

// recordGen draws any record, known numbers and unknown ones.
var recordGen = rapid.Custom(func(t *rapid.T) Record {
	known := make([]Event, 0, len(events))
	for e := range events {
		known = append(known, e)
	}
	slices.Sort(known)
	r := Record{
		Time:   time.UnixMicro(rapid.Int64().Draw(t, "time")),
		Event:  rapid.OneOf(rapid.SampledFrom(known), rapid.Map(rapid.Uint16(), func(n uint16) Event { return Event(n) })).Draw(t, "event"),
		Result: rapid.OneOf(rapid.SampledFrom([]cryptoki.RV{cryptoki.CKR_OK, cryptoki.CKR_PIN_INCORRECT, cryptoki.CKR_LOG_FULL}), rapid.Map(rapid.Uint32(), func(n uint32) cryptoki.RV { return cryptoki.RV(n) })).Draw(t, "result"),
		Actor: Actor{
			Source:      Source(rapid.Uint8().Draw(t, "source")),
			Role:        Role(rapid.Uint8().Draw(t, "role")),
			Application: rapid.Uint64().Draw(t, "application"),
			UID:         rapid.Uint32().Draw(t, "uid"),
			PID:         rapid.Int32().Draw(t, "pid"),
			Program:     textGen.Draw(t, "program"),
		},
		Partition: rapid.Uint32().Draw(t, "partition"),
		Object:    cryptoki.ObjectHandle(rapid.Uint64().Draw(t, "object")),
		Related:   cryptoki.ObjectHandle(rapid.Uint64().Draw(t, "related")),
		Detail:    textGen.Draw(t, "detail"),
	}
	if rapid.Bool().Draw(t, "has mechanism") {
		r.Mechanism = Some(cryptoki.MechanismType(numberGen.Draw(t, "mechanism")))
	}
	if rapid.Bool().Draw(t, "has class") {
		r.Class = Some(cryptoki.ObjectClass(numberGen.Draw(t, "class")))
	}
	return r
})

// numberGen draws numbers that have names often enough.
var numberGen = rapid.OneOf(rapid.Uint64Range(0, 0x1100), rapid.Uint64(), rapid.Just(uint64(math.MaxUint64)))

// textGen draws texts with what does not print, is no UTF-8, or is too long.
var textGen = rapid.OneOf(
	rapid.String(),
	rapid.StringN(0, 400, -1),
	rapid.SampledFrom([]string{"\x1b[2J", "a\nb", "\u202e", "<&>\"\\", "\uFFFD", "\xff\xfe", "\u2028"}),
	rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
)

// copied is a copy of the store.
func (f *fixture) copied() *memstore.Store {
	f.t.Helper()
	s := memstore.New()
	err := f.store.View(func(r keystore.Reader) error {
		return s.Update(func(w keystore.Writer) error {
			for _, table := range keystore.Tables {
				err := r.Scan(table, nil, nil, func(k, v []byte) (bool, error) { return true, w.Put(table, k, v) })
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

// truncate cuts the log behind an entry, as its owner can.
func (f *fixture) truncate(last uint64) {
	f.t.Helper()
	all := f.entries()
	f.update(func(w keystore.Writer) error {
		for _, e := range all[last:] {
			if err := w.Delete(keystore.TableAudit, entryKey(e.Sequence)); err != nil {
				return err
			}
		}
		return w.Put(keystore.TableHSM, keyHead, f.encodeHead(all[last-1].Position))
	})
}
