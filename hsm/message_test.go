package hsm_test

import (
	"bytes"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/wire"
)

var messagesGCM = cryptoki.New(cryptoki.CKM_AES_GCM)

func (s session) messageInit(f mech.Function, m cryptoki.Mechanism, key uint64) cryptoki.RV {
	return s.do(wire.CallMessageInit, &wire.MessageInitRequest{Function: uint8(f), Mechanism: m, Key: key}, &wire.MessageInitReply{})
}

// message sends a message with an IV of 12 bytes and a tag of 16, but for what change says.
func (s session) message(f mech.Function, m cryptoki.Mechanism, key uint64, change func(*wire.MessageCryptRequest)) (wire.MessageCryptReply, cryptoki.RV) {
	q := wire.MessageCryptRequest{
		Function: uint8(f), Mechanism: m, Key: key, IV: make([]byte, 12), IVGenerator: cryptoki.CKG_GENERATE, TagBits: 128, Data: []byte("data"),
	}
	if change != nil {
		change(&q)
	}
	var p wire.MessageCryptReply
	rv := s.do(wire.CallMessageCrypt, &q, &p)
	return wire.MessageCryptReply{IV: bytes.Clone(p.IV), Output: bytes.Clone(p.Output), Tag: bytes.Clone(p.Tag)}, rv
}

func open(p wire.MessageCryptReply) func(*wire.MessageCryptRequest) {
	return func(q *wire.MessageCryptRequest) { q.IV, q.Data, q.Tag = p.IV, p.Output, p.Tag }
}

func TestMessages(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	key := s.aesKey(true, "key")
	s.must(s.messageInit(mech.Encrypt, messagesGCM, key))
	sealed, rv := s.message(mech.Encrypt, messagesGCM, key, nil)
	s.must(rv)
	if flags, _ := s.validation(cryptoki.CKS_LAST_VALIDATION_OK); flags != 1 {
		t.Error("an IV that was made here is not approved")
	}
	opened, rv := s.message(mech.Decrypt, messagesGCM, key, open(sealed))
	s.must(rv)
	if string(opened.Output) != "data" || bytes.Equal(sealed.IV, make([]byte, 12)) {
		t.Errorf("%q under the IV %x", opened.Output, sealed.IV)
	}
	_, rv = s.message(mech.Encrypt, messagesGCM, key, func(q *wire.MessageCryptRequest) { q.IVGenerator = cryptoki.CKG_NO_GENERATE })
	s.must(rv)
	if flags, _ := s.validation(cryptoki.CKS_LAST_VALIDATION_OK); flags != 0 {
		t.Error("the caller's IV is approved")
	}
	sealed.Tag[0] ^= 1
	if p, rv := s.message(mech.Decrypt, messagesGCM, key, open(sealed)); rv != cryptoki.CKR_AEAD_DECRYPT_FAILED || p.Output != nil {
		t.Errorf("a wrong tag: %v, output %q", rv, p.Output)
	}

	// An operation of the same function is another matter.
	s.mustInit(mech.Encrypt, cryptoki.New(cryptoki.CKM_AES_ECB), key)
	_, rv = s.message(mech.Encrypt, messagesGCM, key, nil)
	s.must(rv)
	s.must(s.cancel(mech.Encrypt))

	// Every message is checked anew.
	s.must(s.set(key, attrs(cryptoki.CKA_ENCRYPT, false)))
	_, rv = s.message(mech.Encrypt, messagesGCM, key, nil)
	want(t, "a key that may not encrypt any more", rv, cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED)
	s.must(s.logout())
	_, rv = s.message(mech.Decrypt, messagesGCM, key, open(sealed))
	want(t, "after the logout", rv, cryptoki.CKR_KEY_HANDLE_INVALID)
}

// The checks of a message, in the order of docs/check-order.md, two at once.
func TestCheckOrderOfMessages(t *testing.T) {
	rows := checkOrder(t)
	for _, c := range []struct {
		name           string
		earlier, later cryptoki.RV
		f              mech.Function
		m              cryptoki.Mechanism
		key            func(e *scene) uint64
	}{
		{"no messages, no key", cryptoki.CKR_MECHANISM_INVALID, cryptoki.CKR_KEY_HANDLE_INVALID,
			mech.Encrypt, cryptoki.New(cryptoki.CKM_AES_ECB), func(*scene) uint64 { return 999 }},
		{"no key, a parameter", cryptoki.CKR_KEY_HANDLE_INVALID, cryptoki.CKR_MECHANISM_PARAM_INVALID,
			mech.Encrypt, cryptoki.NewBytes(cryptoki.CKM_AES_GCM, []byte("x")), func(*scene) uint64 { return 999 }},
		{"another type, no purpose", cryptoki.CKR_KEY_TYPE_INCONSISTENT, cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED,
			mech.Encrypt, messagesGCM, func(e *scene) uint64 { public, _ := e.user.pair(false, "x"); return public }},
		{"no purpose, a parameter", cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED, cryptoki.CKR_MECHANISM_PARAM_INVALID,
			mech.Encrypt, cryptoki.NewBytes(cryptoki.CKM_AES_GCM, []byte("x")), func(e *scene) uint64 { return e.user.aes(cryptoki.CKA_ENCRYPT, false) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			inOrder(t, rows, "C_Message…Init", c.earlier, c.later)
			e := newScene(t)
			key := c.key(e)
			want(t, "MessageInit", e.user.messageInit(c.f, c.m, key), c.earlier)
			_, rv := e.user.message(c.f, c.m, key, nil)
			want(t, "MessageCrypt", rv, c.earlier)
		})
	}
	e := newScene(t)
	want(t, "a function without messages", e.user.messageInit(mech.Sign, messagesGCM, 999), cryptoki.CKR_ARGUMENTS_BAD)
}
