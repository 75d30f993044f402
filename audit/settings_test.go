package audit

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
)

func (f *fixture) set(s Settings) {
	f.t.Helper()
	if err := f.Set(f.store, s, Actor{Role: RoleAuditor}); err != nil {
		f.t.Fatal(err)
	}
}

// What the Auditor sets is in the log, holds at once and after a restart, and is his alone
// to have written.
func TestSettings(t *testing.T) {
	f := newLog(t)
	if got := f.Settings(); got != defaultSettings {
		t.Errorf("a new log has %v", got)
	}
	want := Settings{ClassAccess | ClassSuccess | AlwaysRecorded, 1000}
	f.set(Settings{ClassAccess | ClassSuccess, 1000})
	f.append(act(3)) // not recorded any more
	f.append(Record{Event: EventLogin})
	f.append(Record{Event: EventLogin, Result: cryptoki.CKR_PIN_INCORRECT})
	all := f.entries()
	if len(all) != 3 || all[1].Record.Event != EventLogConfig || all[1].Record.Detail != want.String() || all[2].Record.Event != EventLogin {
		t.Errorf("the log is %v", all)
	}
	again := New(Config{Key: f.key, Serial: testSerial, Now: f.now})
	if err := f.store.View(again.Load); err != nil || again.Settings() != want {
		t.Errorf("after a restart: %v, %v", again.Settings(), err)
	}
	f.update(f.Reset)
	if err := f.store.View(again.Load); err != nil || again.Settings() != defaultSettings {
		t.Errorf("after a reset: %v, %v", again.Settings(), err)
	}
}

func TestSetRefuses(t *testing.T) {
	f := newLog(t)
	before := dump(t, f.store)
	for _, s := range []Settings{
		{DefaultClasses, MinLimit - 1}, {DefaultClasses, MaxLimit + 1}, {DefaultClasses, 0}, {AllClasses + 1, MinLimit}, {^Classes(0), MinLimit},
	} {
		if err := f.Set(f.store, s, Actor{}); cryptoki.Code(err) != cryptoki.CKR_ARGUMENTS_BAD {
			t.Errorf("%v: %v", s, err)
		}
	}
	if dump(t, f.store) != before || f.Settings() != defaultSettings {
		t.Error("what was refused left something")
	}
}

// A log is not made smaller than what it holds: what goes on in a full one would at once be
// beyond the reserve, and unrecorded.
func TestSetKeepsRoom(t *testing.T) {
	f := logOf(t, MinLimit+10)
	if err := f.Set(f.store, Settings{DefaultClasses, MinLimit + 9}, Actor{}); cryptoki.Code(err) != cryptoki.CKR_ARGUMENTS_BAD {
		t.Errorf("smaller than what it holds: %v", err)
	}
	f.set(Settings{DefaultClasses, MinLimit + 10})
	if !f.isFull() {
		t.Error("not full with as many entries as there may be")
	}
	// One that is full already changes its classes, but not its room for the worse.
	f.set(Settings{AllClasses, MinLimit + 10})
	if err := f.Set(f.store, Settings{AllClasses, MinLimit + 9}, Actor{}); cryptoki.Code(err) != cryptoki.CKR_ARGUMENTS_BAD {
		t.Errorf("a full log becomes smaller: %v", err)
	}
	f.set(Settings{AllClasses, MaxLimit})
}

// Settings that somebody else wrote are not taken.
func TestLoadRefuses(t *testing.T) {
	f := newLog(t)
	f.set(Settings{AllClasses, 1000})
	var genuine []byte
	f.replace(keystore.TableHSM, keySettings, func(b []byte) []byte { genuine = b; return b })
	for i := range genuine {
		b := slices.Clone(genuine)
		b[i] ^= 1
		f.replace(keystore.TableHSM, keySettings, func([]byte) []byte { return b })
		if err := f.store.View(f.Load); cryptoki.Code(err) != cryptoki.CKR_DEVICE_ERROR {
			t.Errorf("byte %d: %v", i, err)
		}
	}
}

func FuzzSettings(f *testing.F) {
	log := newLog(f)
	genuine := log.encodeSettings(defaultSettings)
	f.Add(genuine)
	f.Add(genuine[:settingsBody])
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := log.parseSettings(b); err == nil && string(log.encodeSettings(s)) != string(b) {
			t.Errorf("%x is %v", b, s)
		}
	})
}

func (f *fixture) isFull() bool {
	f.t.Helper()
	full, err := f.Full(f.store)
	if err != nil {
		f.t.Fatal(err)
	}
	return full
}

func TestFull(t *testing.T) {
	const limit = 5
	f := logOf(t, limit-1)
	f.settings.Store(&Settings{DefaultClasses, limit})
	if f.isFull() {
		t.Error("full with one place left")
	}
	// An act that is undone does not fill the log.
	undone := errors.New("undone")
	err := f.store.Update(func(w keystore.Writer) error { return errors.Join(f.Append(w, act(limit)), undone) })
	if !errors.Is(err, undone) || f.isFull() {
		t.Errorf("full by what was undone: %v", err)
	}
	f.append(act(limit))
	if !f.isFull() {
		t.Error("not full with no place left")
	}
	before := dump(t, f.store)
	for _, r := range []Record{act(limit + 1), {Event: EventRoleCreate, Partition: 1}, {Event: EventHSMPolicy}, {Event: EventKeyUse}} {
		err := f.store.Update(func(w keystore.Writer) error { return f.Require(w, r) })
		if !errors.Is(err, ErrFull) || cryptoki.Code(err) != cryptoki.CKR_LOG_FULL {
			t.Errorf("%v in a full log: %v", r.Event, err)
		}
	}
	if dump(t, f.store) != before {
		t.Error("a refused act left something")
	}
	// There is a reserve for what leads out of this state.
	spared := []Record{
		{Event: EventHSMStart}, {Event: EventOpenSession}, {Event: EventLogin}, {Event: EventCloseSession}, {Event: EventLogout},
		{Event: EventRoleLock}, {Event: EventHSMStop}, {Event: EventRoleCreate}, {Event: EventHSMReset}, {Event: EventPartitionInit, Partition: 1},
	}
	for _, r := range spared {
		f.append(r)
	}
	f.checkpoint("when full")
	if n := uint64(len(f.entries())); n != limit+uint64(len(spared))+1 || !f.isFull() {
		t.Errorf("there are %d entries", n)
	}
	if _, err := f.Verify(f.store); err != nil {
		t.Error(err)
	}
}

// When the reserve is used up too, what has to be possible is, unrecorded, and the Auditor
// still drains the log.
func TestReserveEnds(t *testing.T) {
	const limit = 5
	f := logOf(t, limit)
	f.settings.Store(&Settings{DefaultClasses, limit})
	f.update(func(w keystore.Writer) error {
		return w.Put(keystore.TableHSM, keyHead, f.encodeHead(Position{Sequence: limit + Reserve - 1}))
	})
	f.append(Record{Event: EventLogin})
	full := dump(t, f.store)
	f.append(Record{Event: EventLogin})
	f.append(Record{Event: EventHSMStart})
	if dump(t, f.store) != full {
		t.Error("something was written behind the reserve")
	}
	if _, err := f.Checkpoint(f.store, Actor{}); !errors.Is(err, ErrFull) {
		t.Errorf("a checkpoint: %v", err)
	}
	if g, err := f.Export(f.store, Actor{}); err != nil || !strings.Contains(g.entries(), "entries 1 to") {
		t.Errorf("an export: %v, %v", g.entries(), err)
	}
}
