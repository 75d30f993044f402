package hsm_test

import (
	"bytes"
	gosha256 "crypto/sha256"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/wire"
)

func (s session) updateBoth(f, other mech.Function, data []byte, capacity uint64) (wire.UpdateBothReply, cryptoki.RV) {
	var p wire.UpdateBothReply
	rv := s.do(wire.CallUpdateBoth, &wire.UpdateBothRequest{Function: uint8(f), Other: uint8(other), Data: data, Capacity: capacity}, &p)
	return p, rv
}

// both gives parts to two operations and returns what all of them and the end of f gave.
func (s session) both(f, other mech.Function, parts ...[]byte) []byte {
	s.t.Helper()
	var all []byte
	for _, part := range parts {
		p, rv := s.updateBoth(f, other, part, anyRoom)
		s.must(rv)
		all = append(all, p.Output...)
	}
	p, rv := s.final(f, nil, anyRoom)
	s.must(rv)
	return append(all, p.Output...)
}

func TestUpdateBoth(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	key := s.aesKey(false, "key")
	public, private := s.pair(false, "pair")
	parts := [][]byte{[]byte("the first part"), nil, bytes.Repeat([]byte("another "), 9)}
	message := bytes.Join(parts, nil)
	digest := gosha256.Sum256(message)

	s.mustInit(mech.Encrypt, cbc, key)
	s.mustInit(mech.Digest, sha256, 0)
	ciphertext := s.both(mech.Encrypt, mech.Digest, parts...)
	if p, rv := s.final(mech.Digest, nil, 32); rv != cryptoki.CKR_OK || !bytes.Equal(p.Output, digest[:]) {
		t.Errorf("the digest is %x (%v)", p.Output, rv)
	}
	alone, rv := s.fused(mech.Encrypt, cbc, key, message, nil, anyRoom)
	s.must(rv)
	if !bytes.Equal(ciphertext, alone.Output) {
		t.Error("the ciphertext is another than without a digest")
	}

	// What a decryption keeps for its end is the caller's to digest.
	s.mustInit(mech.Decrypt, cbc, key)
	s.mustInit(mech.Digest, sha256, 0)
	var plaintext []byte
	for _, part := range [][]byte{ciphertext[:7], ciphertext[7:]} {
		p, rv := s.updateBoth(mech.Decrypt, mech.Digest, part, anyRoom)
		s.must(rv)
		plaintext = append(plaintext, p.Output...)
	}
	last, rv := s.final(mech.Decrypt, nil, anyRoom)
	s.must(rv)
	s.must(only(s.update(mech.Digest, last.Output, 0)))
	if plaintext = append(plaintext, last.Output...); !bytes.Equal(plaintext, message) {
		t.Errorf("decrypted %q", plaintext)
	}
	if p, rv := s.final(mech.Digest, nil, 32); rv != cryptoki.CKR_OK || !bytes.Equal(p.Output, digest[:]) {
		t.Errorf("the digest of the plaintext is %x (%v)", p.Output, rv)
	}

	s.mustInit(mech.Encrypt, ecb, key)
	s.mustInit(mech.Sign, ecdsaSHA256, private)
	blocks := bytes.Repeat([]byte("sixteen bytes..."), 4)
	ciphertext = s.both(mech.Encrypt, mech.Sign, blocks[:5], blocks[5:])
	signed, rv := s.final(mech.Sign, nil, 64)
	s.must(rv)
	signature := bytes.Clone(signed.Output)
	if !verifies(t, s.value(public, cryptoki.CKA_EC_POINT), blocks, signature) {
		t.Error("what was encrypted is not what was signed")
	}
	for i, code := range []cryptoki.RV{cryptoki.CKR_OK, cryptoki.CKR_SIGNATURE_INVALID} {
		s.mustInit(mech.Decrypt, ecb, key)
		s.mustInit(mech.Verify, ecdsaSHA256, public)
		ciphertext[0] ^= byte(i)
		s.both(mech.Decrypt, mech.Verify, ciphertext)
		want(t, "verified", only(s.final(mech.Verify, signature, 0)), code)
	}
}

var ecb = cryptoki.New(cryptoki.CKM_AES_ECB)

// A part that does not fit, or whose length is asked for, is taken by neither.
func TestUpdateBothWithoutRoom(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	key := s.aesKey(false, "key")
	block := []byte("sixteen bytes...")
	s.mustInit(mech.Encrypt, ecb, key)
	s.mustInit(mech.Digest, sha256, 0)
	if p, rv := s.updateBoth(mech.Encrypt, mech.Digest, block, 15); rv != cryptoki.CKR_BUFFER_TOO_SMALL || p.Length != 16 {
		t.Errorf("15 bytes of room: %d, %v", p.Length, rv)
	}
	if p, rv := s.updateBoth(mech.Encrypt, mech.Digest, block, partition.AskLength); rv != cryptoki.CKR_OK || p.Length != 16 || len(p.Output) > 0 {
		t.Errorf("a question: %d bytes, %x, %v", p.Length, p.Output, rv)
	}
	if got := s.both(mech.Encrypt, mech.Digest, block); len(got) != 16 {
		t.Errorf("%d bytes of ciphertext", len(got))
	}
	digest := gosha256.Sum256(block)
	if p, rv := s.final(mech.Digest, nil, 32); rv != cryptoki.CKR_OK || !bytes.Equal(p.Output, digest[:]) {
		t.Errorf("the digest is %x (%v)", p.Output, rv)
	}
}

// Whatever goes wrong with one operation ends both.
func TestUpdateBothEndsBoth(t *testing.T) {
	inOrder(t, checkOrder(t), "C_DigestEncryptUpdate, C_DecryptDigestUpdate, C_SignEncryptUpdate, C_DecryptVerifyUpdate",
		cryptoki.CKR_OPERATION_NOT_INITIALIZED, cryptoki.CKR_BUFFER_TOO_SMALL)
	b := version1HSM(t)
	s := b.user()
	key := s.aesKey(true, "key")
	_, private := s.pair(true, "pair")
	_, edwards, rv := s.generatePair(newToken(), cryptoki.New(cryptoki.CKM_EC_EDWARDS_KEY_PAIR_GEN),
		attrs(cryptoki.CKA_EC_PARAMS, []byte("\x06\x03\x2b\x65\x70")), attrs(cryptoki.CKA_SIGN, true))
	s.must(rv)
	guarded := s.guardedKey()
	ecdsa := cryptoki.New(cryptoki.CKM_ECDSA)
	for _, c := range []struct {
		name     string
		f, other mech.Function
		begin    func()
		want     cryptoki.RV
	}{
		{"nothing", mech.Encrypt, mech.Digest, func() {}, cryptoki.CKR_OPERATION_NOT_INITIALIZED},
		{"no digest", mech.Encrypt, mech.Digest, func() { s.mustInit(mech.Encrypt, ecb, key) }, cryptoki.CKR_OPERATION_NOT_INITIALIZED},
		{"no encryption", mech.Encrypt, mech.Digest, func() { s.mustInit(mech.Digest, sha256, 0) }, cryptoki.CKR_OPERATION_NOT_INITIALIZED},
		{"a signature in one part", mech.Encrypt, mech.Sign, func() {
			s.mustInit(mech.Encrypt, ecb, key)
			s.mustInit(mech.Sign, ecdsa, private)
		}, cryptoki.CKR_FUNCTION_NOT_SUPPORTED},
		{"too much to keep", mech.Encrypt, mech.Sign, func() {
			s.mustInit(mech.Encrypt, ecb, key)
			s.mustInit(mech.Sign, cryptoki.New(cryptoki.CKM_EDDSA), edwards)
			for range 16 {
				s.must(only(s.update(mech.Sign, make([]byte, 1<<20-1024), 0)))
			}
			s.must(only(s.update(mech.Sign, make([]byte, 16*1024), 0)))
		}, cryptoki.CKR_DATA_LEN_RANGE},
		{"a key that wants authorization", mech.Encrypt, mech.Digest, func() {
			s.mustInit(mech.Encrypt, cbc, guarded)
			s.mustInit(mech.Digest, sha256, 0)
		}, cryptoki.CKR_KEY_NOT_AUTHORIZED},
		{"the key has gone", mech.Encrypt, mech.Sign, func() {
			s.mustInit(mech.Encrypt, ecb, key)
			s.mustInit(mech.Sign, ecdsaSHA256, private)
			s.must(s.destroy(private))
		}, cryptoki.CKR_KEY_HANDLE_INVALID},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.begin()
			want(t, c.name, only(s.updateBoth(c.f, c.other, make([]byte, 16), anyRoom)), c.want)
			for _, f := range []mech.Function{c.f, c.other} {
				want(t, "afterwards", only(s.update(f, nil, anyRoom)), cryptoki.CKR_OPERATION_NOT_INITIALIZED)
			}
		})
	}
	s.mustInit(mech.Encrypt, ecb, key)
	for f := mech.Function(0); f < 17; f++ {
		for other := mech.Function(0); other < 17; other++ {
			if other == mech.Digest && (f == mech.Encrypt || f == mech.Decrypt) || other == mech.Sign && f == mech.Encrypt || other == mech.Verify && f == mech.Decrypt {
				continue
			}
			want(t, "functions that do not go together", only(s.updateBoth(f, other, nil, anyRoom)), cryptoki.CKR_ARGUMENTS_BAD)
		}
	}
	want(t, "the encryption after that", only(s.update(mech.Encrypt, nil, anyRoom)), cryptoki.CKR_OK)
}
