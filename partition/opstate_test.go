package partition_test

import (
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/partition"
)

// digestState is the saved state of a digest of some data.
func digestState(t testing.TB, s *partition.Session, typ cryptoki.MechanismType) []byte {
	t.Helper()
	m := cryptoki.New(typ)
	if _, err := s.Init(mech.Digest, &m, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(mech.Digest, []byte("some data"), 0); err != nil {
		t.Fatal(err)
	}
	o, err := s.OperationState(1 << 10)
	if err != nil {
		t.Fatal(err)
	}
	s.Cancel(mech.Digest)
	return o.Data
}

// A state is good in its partition alone, and not beyond an erasure or a start.
func TestStateOfAnotherPartition(t *testing.T) {
	w := ready(t, 1<<20, nil)
	s := w.login(cryptoki.CKU_USER, ownerPIN)
	state := digestState(t, s, cryptoki.CKM_SHA256)
	restore := func(s *partition.Session) error {
		_, _, err := s.SetOperationState(state, 0, 0)
		return err
	}
	code(t, restore(w.login(cryptoki.CKU_USER, ownerPIN)), cryptoki.CKR_OK)
	w.open() // the same partition, at the same start
	code(t, restore(w.login(cryptoki.CKU_USER, ownerPIN)), cryptoki.CKR_OK)
	w.config.Boot++
	w.open()
	code(t, restore(w.login(cryptoki.CKU_USER, ownerPIN)), cryptoki.CKR_SAVED_STATE_INVALID)
	other := ready(t, 1<<20, nil)
	code(t, restore(other.login(cryptoki.CKU_USER, ownerPIN)), cryptoki.CKR_SAVED_STATE_INVALID)
	s.Close()
	code(t, restore(s), cryptoki.CKR_SESSION_HANDLE_INVALID)
}

// Another level may not have the hash function; where it has, the digest counts as before.
func TestStateAtAnotherLevel(t *testing.T) {
	w := ready(t, 1<<20, nil)
	state := digestState(t, w.login(cryptoki.CKU_USER, ownerPIN), cryptoki.CKM_SHA3_256)
	level := firmware.Newest
	w.config.Level = func() firmware.Level { return level }
	w.open()
	s := w.login(cryptoki.CKU_USER, ownerPIN)
	_, _, err := s.SetOperationState(state, 0, 0)
	code(t, err, cryptoki.CKR_OK)
	if _, err := s.Final(mech.Digest, nil, 32); err != nil || !s.Approved() {
		t.Errorf("approved: %t, %v", s.Approved(), err)
	}
	level = firmware.Level{Major: 7, Minor: 4}
	w.open()
	_, _, err = w.login(cryptoki.CKU_USER, ownerPIN).SetOperationState(state, 0, 0)
	code(t, err, cryptoki.CKR_SAVED_STATE_INVALID)
}

// FuzzOperationState restores what is no state, and states with a byte changed.
func FuzzOperationState(f *testing.F) {
	f.Add([]byte{}, uint16(0), byte(1))
	f.Add([]byte{}, uint16(200), byte(0x80))
	f.Add(make([]byte, 300), uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, b []byte, at uint16, change byte) {
		w := newWorld(t, 1<<20, nil)
		if err := w.initialize("fuzz", officerPIN); err != nil {
			t.Fatal(err)
		}
		s := w.session()
		state := digestState(t, s, cryptoki.CKM_SHA256)
		want := cryptoki.CKR_SAVED_STATE_INVALID
		if len(b) > 0 {
			state = b
		} else if state[int(at)%len(state)] ^= change; change == 0 {
			want = cryptoki.CKR_OK
		}
		_, _, err := s.SetOperationState(state, 0, 0)
		code(t, err, want)
	})
}
