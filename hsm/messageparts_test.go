package hsm_test

import (
	"bytes"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/wire"
)

func (s session) messageBegin(f mech.Function, key uint64, iv []byte, generator uint64) ([]byte, cryptoki.RV) {
	q := wire.MessageBeginRequest{Function: uint8(f), Mechanism: messagesGCM, Key: key, IV: iv, IVGenerator: generator, TagBits: 128, AAD: []byte("aad")}
	var p wire.MessageBeginReply
	rv := s.do(wire.CallMessageBegin, &q, &p)
	return bytes.Clone(p.IV), rv
}

func (s session) messageNext(f mech.Function, part []byte, last bool, tag []byte) (wire.MessageNextReply, cryptoki.RV) {
	var p wire.MessageNextReply
	rv := s.do(wire.CallMessageNext, &wire.MessageNextRequest{Function: uint8(f), Data: part, Last: last, Tag: tag}, &p)
	return p, rv
}

// inParts sends a message in two parts and takes all of its output.
func (s session) inParts(f mech.Function, data, tag []byte) (output, madeTag []byte, rv cryptoki.RV) {
	const frame = 1<<20 - 1024
	for len(data) > frame {
		s.must(only(s.messageNext(f, data[:frame], false, nil)))
		data = data[frame:]
	}
	half := len(data) / 2
	p, rv := s.messageNext(f, data[:half], false, nil)
	if rv != cryptoki.CKR_OK || len(p.Output) > 0 {
		return nil, nil, rv
	}
	if p, rv = s.messageNext(f, data[half:], true, tag); rv != cryptoki.CKR_OK {
		return nil, nil, rv
	}
	output, madeTag = bytes.Clone(p.Output), bytes.Clone(p.Tag)
	for left := p.Length - uint64(len(output)); left > 0; {
		d, rv := s.drain(f + 13)
		s.must(rv)
		output, left = append(output, d.Output...), left-uint64(len(d.Output))
	}
	return output, madeTag, rv
}

func TestMessageInParts(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	key := s.aesKey(true, "key")
	for _, n := range []int{0, 1, 100, 3 << 20} {
		data := bytes.Repeat([]byte{5}, n)
		iv, rv := s.messageBegin(mech.Encrypt, key, make([]byte, 12), uint64(cryptoki.CKG_GENERATE))
		s.must(rv)
		sealed, tag, rv := s.inParts(mech.Encrypt, data, nil)
		s.must(rv)
		if flags, _ := s.validation(cryptoki.CKS_LAST_VALIDATION_OK); flags != 0 {
			t.Error("an encryption in parts is approved")
		}
		if n < 1<<20 {
			whole, rv := s.message(mech.Decrypt, messagesGCM, key, func(q *wire.MessageCryptRequest) {
				q.IV, q.Data, q.Tag, q.AAD = iv, sealed, tag, []byte("aad")
			})
			s.must(rv)
			if !bytes.Equal(whole.Output, data) {
				t.Errorf("%d bytes: as a whole %x", n, whole.Output)
			}
		}
		s.must(only(s.messageBegin(mech.Decrypt, key, iv, 0)))
		opened, _, rv := s.inParts(mech.Decrypt, sealed, tag)
		s.must(rv)
		if !bytes.Equal(opened, data) {
			t.Errorf("%d bytes came back as %d", n, len(opened))
		}
		tag[3] ^= 1
		s.must(only(s.messageBegin(mech.Decrypt, key, iv, 0)))
		_, _, rv = s.inParts(mech.Decrypt, sealed, tag)
		want(t, "a wrong tag", rv, cryptoki.CKR_AEAD_DECRYPT_FAILED)
		want(t, "a part after that", only(s.messageNext(mech.Decrypt, nil, false, nil)), cryptoki.CKR_OPERATION_NOT_INITIALIZED)
	}
}

func TestMessageInPartsEnds(t *testing.T) {
	b := version1HSM(t)
	s := b.user()
	key, guarded := s.aesKey(true, "key"), s.guardedKey()
	iv := make([]byte, 12)
	begin := func() {
		s.t.Helper()
		s.must(only(s.messageBegin(mech.Encrypt, key, iv, uint64(cryptoki.CKG_GENERATE))))
	}
	next := func() cryptoki.RV { return only(s.messageNext(mech.Encrypt, []byte("part"), false, nil)) }
	want(t, "nothing begun", next(), cryptoki.CKR_OPERATION_NOT_INITIALIZED)
	want(t, "another function", only(s.messageBegin(mech.Sign, key, iv, 0)), cryptoki.CKR_ARGUMENTS_BAD)
	want(t, "a part of another function", only(s.messageNext(mech.Sign, nil, true, nil)), cryptoki.CKR_ARGUMENTS_BAD)
	want(t, "a key without its authorization", only(s.messageBegin(mech.Encrypt, guarded, iv, 0)), cryptoki.CKR_KEY_NOT_AUTHORIZED)
	begin()
	want(t, "its state", only(s.operationState(partition.AskLength)), cryptoki.CKR_STATE_UNSAVEABLE)
	want(t, "as an operation", only(s.operate(mech.MessageEncrypt, nil, nil, anyRoom)), cryptoki.CKR_OPERATION_NOT_INITIALIZED)
	begin()
	s.must(next())
	s.must(s.cancel(mech.MessageEncrypt))
	want(t, "after its cancelling", next(), cryptoki.CKR_OPERATION_NOT_INITIALIZED)
	begin()
	s.must(next())
	begin() // in the place of the first
	if p, rv := s.messageNext(mech.Encrypt, []byte("x"), true, nil); rv != cryptoki.CKR_OK || p.Length != 1 {
		t.Errorf("the second message has %d bytes, %v", p.Length, rv)
	}
	begin()
	for range 16 {
		s.must(only(s.messageNext(mech.Encrypt, make([]byte, 1<<20-1024), false, nil)))
	}
	want(t, "more than 16 MiB", only(s.messageNext(mech.Encrypt, make([]byte, 1<<20-1024), false, nil)), cryptoki.CKR_DATA_LEN_RANGE)
	want(t, "after that", next(), cryptoki.CKR_OPERATION_NOT_INITIALIZED)
	begin()
	s.must(s.set(key, attrs(cryptoki.CKA_LABEL, "another epoch")))
	s.must(next())
	s.must(s.destroy(key))
	want(t, "the key has gone", next(), cryptoki.CKR_KEY_HANDLE_INVALID)
	key = s.aesKey(true, "key")
	begin()
	s.must(s.logout())
	want(t, "after the logout", next(), cryptoki.CKR_OPERATION_NOT_INITIALIZED)
}

// A message that has ended takes no more, while it has output that is to be fetched: it would
// be another one under the same IV.
func TestMessageInPartsEndsOnce(t *testing.T) {
	s := newHSM(t).user()
	key := s.aesKey(true, "key")
	part := make([]byte, 1<<20-1024)
	s.must(only(s.messageBegin(mech.Encrypt, key, make([]byte, 12), uint64(cryptoki.CKG_GENERATE))))
	s.must(only(s.messageNext(mech.Encrypt, part, false, nil)))
	first, rv := s.messageNext(mech.Encrypt, part, true, nil)
	s.must(rv)
	left := first.Length - uint64(len(first.Output))
	want(t, "another part", only(s.messageNext(mech.Encrypt, part[:1], false, nil)), cryptoki.CKR_OPERATION_NOT_INITIALIZED)
	want(t, "another end", only(s.messageNext(mech.Encrypt, nil, true, nil)), cryptoki.CKR_OPERATION_NOT_INITIALIZED)
	for left > 0 {
		d, rv := s.drain(mech.MessageEncrypt)
		s.must(rv)
		left -= uint64(len(d.Output))
	}
	want(t, "after all of it", only(s.messageNext(mech.Encrypt, nil, true, nil)), cryptoki.CKR_OPERATION_NOT_INITIALIZED)
}

// What an application's messages keep is bounded, over all its sessions.
func TestMessagesInPartsAreBounded(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	key := s.aesKey(true, "key")
	part := make([]byte, 1<<20-1024)
	for range 6 { // one in the place of the other
		s.must(only(s.messageBegin(mech.Encrypt, key, make([]byte, 12), 0)))
		for range 16 {
			s.must(only(s.messageNext(mech.Encrypt, part, false, nil)))
		}
	}
	s.must(s.cancel(mech.MessageEncrypt))
	kept := 0
	for range 8 {
		o := s.client.open(readWrite)
		s.must(only(o.messageBegin(mech.Encrypt, key, make([]byte, 12), 0)))
		for range 16 {
			switch rv := only(o.messageNext(mech.Encrypt, part, false, nil)); rv {
			case cryptoki.CKR_OK:
				kept += len(part)
			default:
				want(t, "too much", rv, cryptoki.CKR_DEVICE_MEMORY)
				if kept > 64<<20 || kept < 48<<20 {
					t.Errorf("%d bytes were kept", kept)
				}
				return
			}
		}
	}
	t.Errorf("%d bytes were kept", kept)
}
