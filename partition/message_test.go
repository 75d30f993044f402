package partition_test

import (
	"testing"
	"time"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
)

// What policies say of a key holds for messages too: here its dates, before and after they
// are enforced.
func TestMessagesUnderPolicies(t *testing.T) {
	w := ready(t, 1<<20, nil)
	w.now = time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC)
	s := w.login(cryptoki.CKU_USER, ownerPIN)
	h, err := s.Create(partition.Token{}, cryptoki.Template{
		{Type: cryptoki.CKA_CLASS, Value: cryptoki.ULong(uint64(cryptoki.CKO_SECRET_KEY))},
		{Type: cryptoki.CKA_KEY_TYPE, Value: cryptoki.ULong(uint64(cryptoki.CKK_AES))},
		{Type: cryptoki.CKA_VALUE, Value: make([]byte, 32)},
		{Type: cryptoki.CKA_ENCRYPT, Value: cryptoki.Bool(true)},
		{Type: cryptoki.CKA_END_DATE, Value: []byte("20270114")},
	})
	if err != nil {
		t.Fatal(err)
	}
	m := cryptoki.New(cryptoki.CKM_AES_GCM)
	for enforced, want := range map[uint64]cryptoki.RV{0: cryptoki.CKR_OK, 1: cryptoki.CKR_KEY_NOT_ACTIVE} {
		w.set(map[policy.ID]uint64{policy.KeyDates: enforced})
		code(t, s.MessageInit(mech.Encrypt, &m, h), want)
		_, err := s.Message(mech.Encrypt, &m, h, &mech.Message{IV: make([]byte, 12), TagBits: 128})
		code(t, err, want)
	}
}

// A mechanism that works message by message says so.
func TestMessageFlags(t *testing.T) {
	w := newWorld(t, 1<<20, nil)
	for _, m := range mech.All() {
		const flags = cryptoki.CKF_MESSAGE_ENCRYPT | cryptoki.CKF_MESSAGE_DECRYPT
		info, err := w.p.Mechanism(m.Type)
		if err != nil {
			continue
		}
		if (info.Flags&flags == flags) != (m.Message != nil) {
			t.Errorf("%v has the flags %#x", m.Type, uint64(info.Flags))
		}
	}
}
