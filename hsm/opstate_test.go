package hsm_test

import (
	"bytes"
	"crypto"
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/wire"
)

func (s session) operationState(capacity uint64) (wire.GetOperationStateReply, cryptoki.RV) {
	var p wire.GetOperationStateReply
	rv := s.do(wire.CallGetOperationState, &wire.GetOperationStateRequest{Capacity: capacity}, &p)
	return p, rv
}

func (s session) restore(state []byte) (wire.SetOperationStateReply, cryptoki.RV) {
	var p wire.SetOperationStateReply
	rv := s.do(wire.CallSetOperationState, &wire.SetOperationStateRequest{State: state}, &p)
	return p, rv
}

// saved is the state of the session's digest.
func (s session) saved() []byte {
	s.t.Helper()
	p, rv := s.operationState(anyRoom)
	s.must(rv)
	return bytes.Clone(p.State)
}

// digested is the end of the session's digest.
func (s session) digested() []byte {
	s.t.Helper()
	p, rv := s.final(mech.Digest, nil, 64)
	s.must(rv)
	return bytes.Clone(p.Output)
}

var digests = map[cryptoki.MechanismType]crypto.Hash{
	cryptoki.CKM_SHA_1: crypto.SHA1, cryptoki.CKM_SHA224: crypto.SHA224, cryptoki.CKM_SHA256: crypto.SHA256, cryptoki.CKM_SHA384: crypto.SHA384,
	cryptoki.CKM_SHA512: crypto.SHA512, cryptoki.CKM_SHA512_224: crypto.SHA512_224, cryptoki.CKM_SHA512_256: crypto.SHA512_256,
	cryptoki.CKM_SHA3_224: crypto.SHA3_224, cryptoki.CKM_SHA3_256: crypto.SHA3_256, cryptoki.CKM_SHA3_384: crypto.SHA3_384, cryptoki.CKM_SHA3_512: crypto.SHA3_512,
}

// Every digest goes on, in any session of the same partition and state, as often as wanted.
func TestOperationState(t *testing.T) {
	b := newHSM(t)
	s, other := b.user(), b.user()
	data := bytes.Repeat([]byte("some data"), 50)
	for typ, h := range digests {
		s.mustInit(mech.Digest, cryptoki.New(typ), 0)
		at := 0
		for _, n := range []int{0, 1, 200} { // before, in and behind the first block
			at += n
			s.must(only(s.update(mech.Digest, data[at-n:at], 0)))
			state := s.saved()
			for range 2 {
				p, rv := other.restore(state)
				other.must(rv)
				if mech.RuleKind(p.Rule) != mech.RuleFixed || p.RuleLength != uint64(h.Size()) || p.Flags != 1 || !p.Parts {
					t.Errorf("%v: restored as %+v", typ, p)
				}
				other.must(only(other.update(mech.Digest, data[at:], 0)))
				want := h.New()
				want.Write(data)
				if got := other.digested(); !bytes.Equal(got, want.Sum(nil)) {
					t.Errorf("%v after %d bytes: %x", typ, at, got)
				}
			}
		}
		want := h.New()
		want.Write(data[:at])
		if got := s.digested(); !bytes.Equal(got, want.Sum(nil)) {
			t.Errorf("%v: saving has changed the digest: %x", typ, got)
		}
	}

	// A digest that has had nothing takes all of it in one part.
	s.mustInit(mech.Digest, sha256, 0)
	p, rv := other.restore(s.saved())
	other.must(rv)
	if p.Parts {
		t.Error("a digest that had no part has had one")
	}
	other.must(only(other.operate(mech.Digest, data, nil, 32)))
}

func TestLengthOfOperationState(t *testing.T) {
	s := newHSM(t).user()
	s.mustInit(mech.Digest, sha256, 0)
	asked, rv := s.operationState(partition.AskLength)
	s.must(rv)
	length := asked.Length
	if len(asked.State) > 0 || length < 100 || length > 300 {
		t.Errorf("a state of %d bytes, %x", length, asked.State)
	}
	if p, rv := s.operationState(length - 1); rv != cryptoki.CKR_BUFFER_TOO_SMALL || p.Length != length || len(p.State) > 0 {
		t.Errorf("a byte too little: %v, %d", rv, p.Length)
	}
	if p, rv := s.operationState(length); rv != cryptoki.CKR_OK || uint64(len(p.State)) != length {
		t.Errorf("just enough: %v, %d bytes", rv, len(p.State))
	}
}

func TestUnsaveable(t *testing.T) {
	b := newHSM(t)
	b.setPartition(policy.Change{ID: policy.DigestKey, Value: 1})
	s := b.user()
	key := s.aesKey(true, "key")
	_, private := s.pair(true, "pair")
	inOrder(t, checkOrder(t), "C_GetOperationState", cryptoki.CKR_STATE_UNSAVEABLE, cryptoki.CKR_OPERATION_NOT_INITIALIZED)
	want(t, "nothing", only(s.operationState(anyRoom)), cryptoki.CKR_OPERATION_NOT_INITIALIZED)
	s.mustInit(mech.Sign, ecdsaSHA256, private)
	want(t, "a signature", only(s.operationState(anyRoom)), cryptoki.CKR_STATE_UNSAVEABLE)
	s.mustInit(mech.Digest, sha256, 0)
	want(t, "a signature and a digest", only(s.operationState(anyRoom)), cryptoki.CKR_STATE_UNSAVEABLE)
	s.must(s.cancel(mech.Sign))
	want(t, "a digest", only(s.operationState(anyRoom)), cryptoki.CKR_OK)
	s.must(s.digestKey(key))
	want(t, "the digest of a key", only(s.operationState(anyRoom)), cryptoki.CKR_STATE_UNSAVEABLE)
	want(t, "its length", only(s.operationState(partition.AskLength)), cryptoki.CKR_STATE_UNSAVEABLE)
	s.must(only(s.update(mech.Digest, []byte("data"), 0)))
	want(t, "the digest of a key and data", only(s.operationState(anyRoom)), cryptoki.CKR_STATE_UNSAVEABLE)
}

// What is no state, or not one for this session, changes nothing.
func TestSavedStateInvalid(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	key := s.aesKey(true, "key")
	s.mustInit(mech.Digest, sha256, 0)
	s.must(only(s.update(mech.Digest, []byte("data"), 0)))
	state := s.saved()
	s.must(s.cancel(mech.Digest))
	s.mustInit(mech.Encrypt, ecb, key)
	for name, bad := range map[string][]byte{
		"nothing":         nil,
		"cut":             state[:len(state)-1],
		"longer":          append(slices.Clone(state), 0),
		"other":           bytes.Repeat([]byte{1}, len(state)),
		"far too long":    make([]byte, 1<<20-1024),
		"a bit, in front": append([]byte{state[0] ^ 1}, state[1:]...),
		"a bit, behind":   append(slices.Clone(state[:len(state)-1]), state[len(state)-1]^1),
	} {
		want(t, name, only(s.restore(bad)), cryptoki.CKR_SAVED_STATE_INVALID)
	}
	for name, q := range map[string]wire.SetOperationStateRequest{
		"a key to encrypt": {State: state, Encryption: key}, "a key to authenticate": {State: state, Authentication: 999},
	} {
		want(t, name, s.do(wire.CallSetOperationState, &q, &wire.SetOperationStateReply{}), cryptoki.CKR_KEY_NOT_NEEDED)
	}
	inOrder(t, checkOrder(t), "C_SetOperationState", cryptoki.CKR_SAVED_STATE_INVALID, cryptoki.CKR_KEY_NOT_NEEDED)
	want(t, "no state and a key", s.do(wire.CallSetOperationState, &wire.SetOperationStateRequest{Encryption: key}, &wire.SetOperationStateReply{}), cryptoki.CKR_SAVED_STATE_INVALID)
	s.must(only(s.update(mech.Encrypt, make([]byte, 16), anyRoom)))

	public, readonly := b.app().open(readWrite), s.open(readOnly)
	want(t, "a public session", only(public.restore(state)), cryptoki.CKR_SAVED_STATE_INVALID)
	want(t, "a read-only session", only(readonly.restore(state)), cryptoki.CKR_SAVED_STATE_INVALID)
	s.must(only(s.restore(state)))
	want(t, "the encryption", only(s.update(mech.Encrypt, make([]byte, 16), anyRoom)), cryptoki.CKR_OPERATION_NOT_INITIALIZED)
	s.must(s.logout())
	want(t, "after the logout", only(s.restore(state)), cryptoki.CKR_SAVED_STATE_INVALID)
	s.digested() // a digest outlives a logout
	b.restart()
	want(t, "after a restart", only(b.user().restore(state)), cryptoki.CKR_SAVED_STATE_INVALID)
}
