//go:debug fips140=on

package hsm_test

import (
	"fmt"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/wire"
)

func (s session) validation(typ uint64) (uint64, cryptoki.RV) {
	var p wire.SessionValidationReply
	rv := s.do(wire.CallSessionValidation, &wire.SessionValidationRequest{Type: typ}, &p)
	return p.Flags, rv
}

// TestServiceIndicator asks after each service whether it was an approved one.
func TestServiceIndicator(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	gcm := cryptoki.NewGCM(cryptoki.CKM_AES_GCM, cryptoki.GCMParameters{IV: make([]byte, 12), TagBits: 128})
	hmac := cryptoki.New(cryptoki.CKM_SHA256_HMAC)
	oaep := func(hash cryptoki.MechanismType, mgf cryptoki.MGF) cryptoki.Mechanism {
		return cryptoki.NewOAEP(cryptoki.CKM_RSA_PKCS_OAEP, cryptoki.OAEPParameters{HashAlg: hash, MGF: mgf, Source: cryptoki.CKZ_DATA_SPECIFIED})
	}
	public, private := s.pair(false, "pair")
	aes := s.aesKey(false, "aes")
	kek := s.aes(cryptoki.CKA_WRAP, true, cryptoki.CKA_UNWRAP, true)
	loose := s.aes(cryptoki.CKA_EXTRACTABLE, true)
	base := s.mustCreate(attrs(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_GENERIC_SECRET,
		cryptoki.CKA_VALUE, make([]byte, 32), cryptoki.CKA_DERIVE, true))
	wrapped := s.mustWrap(keyWrap, kek, loose)
	hmacKey := func(size int) uint64 {
		return s.mustCreate(attrs(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_GENERIC_SECRET,
			cryptoki.CKA_VALUE, make([]byte, size), cryptoki.CKA_SIGN, true, cryptoki.CKA_VERIFY, true))
	}
	long, short := hmacKey(32), hmacKey(13)
	pss := func(hash cryptoki.MechanismType, mgf cryptoki.MGF) cryptoki.Mechanism {
		return cryptoki.NewPSS(cryptoki.CKM_RSA_PKCS_PSS, cryptoki.PSSParameters{HashAlg: hash, MGF: mgf, SaltLength: 20})
	}
	rsa, signer, rv := s.generatePair(newToken(), cryptoki.New(cryptoki.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN),
		attrs(cryptoki.CKA_MODULUS_BITS, 2048, cryptoki.CKA_ENCRYPT, true), attrs(cryptoki.CKA_SIGN, true))
	s.must(rv)

	run := func(f mech.Function, m cryptoki.Mechanism, key uint64, data string) []byte {
		t.Helper()
		p, rv := s.fused(f, m, key, []byte(data), nil, 1000)
		s.must(rv)
		return p.Output
	}
	sealed := run(mech.Encrypt, gcm, aes, "data")
	for _, c := range []struct {
		name     string
		approved bool
		do       func()
	}{
		{"a digest", true, func() { run(mech.Digest, sha256, 0, "data") }},
		{"SHA-1", false, func() { run(mech.Digest, cryptoki.New(cryptoki.CKM_SHA_1), 0, "data") }},
		{"ECDSA", true, func() { run(mech.Sign, ecdsaSHA256, private, "data") }},
		{"an encryption under the caller's IV", false, func() { run(mech.Encrypt, gcm, aes, "data") }},
		{"its decryption", true, func() { run(mech.Decrypt, gcm, aes, string(sealed)) }},
		{"a short HMAC key", false, func() { run(mech.Sign, hmac, short, "data") }},
		{"a long HMAC key", true, func() { run(mech.Sign, hmac, long, "data") }},
		{"PSS with SHA-1", false, func() {
			run(mech.Sign, pss(cryptoki.CKM_SHA_1, cryptoki.CKG_MGF1_SHA1), signer, "a digest of 20 bytes")
		}},
		{"PSS", true, func() {
			run(mech.Sign, pss(cryptoki.CKM_SHA256, cryptoki.CKG_MGF1_SHA256), signer, "a digest of which 32 bytes are s")
		}},
		{"OAEP with SHA-1", false, func() { run(mech.Encrypt, oaep(cryptoki.CKM_SHA_1, cryptoki.CKG_MGF1_SHA1), rsa, "data") }},
		{"OAEP", true, func() { run(mech.Encrypt, oaep(cryptoki.CKM_SHA256, cryptoki.CKG_MGF1_SHA256), rsa, "data") }},
		{"again one that is not", false, func() { run(mech.Encrypt, gcm, aes, "data") }},
		{"a key pair", true, func() { s.pair(false, "another") }},
		{"again one that is not", false, func() { run(mech.Encrypt, gcm, aes, "data") }},
		{"a key", true, func() { s.aes() }},
		{"again one that is not", false, func() { run(mech.Encrypt, gcm, aes, "data") }},
		{"a wrapped key", true, func() { s.mustWrap(keyWrap, kek, loose) }},
		{"again one that is not", false, func() { run(mech.Encrypt, gcm, aes, "data") }},
		{"an unwrapped key", true, func() {
			_, rv := s.unwrap(newToken(), keyWrap, kek, wrapped, with(secretAES, cryptoki.CKA_VALUE_LEN, 32))
			s.must(rv)
		}},
		{"again one that is not", false, func() { run(mech.Encrypt, gcm, aes, "data") }},
		{"a derived key", true, func() {
			_, rv := s.derive(newToken(), hkdf, base, with(secretAES, cryptoki.CKA_VALUE_LEN, 32))
			s.must(rv)
		}},
		{"the last of several parts", true, func() {
			run(mech.Encrypt, gcm, aes, "data")
			s.mustInit(mech.Sign, ecdsaSHA256, private)
			_, rv := s.update(mech.Sign, []byte("data"), 0)
			s.must(rv)
			_, rv = s.final(mech.Sign, nil, 100)
			s.must(rv)
		}},
		{"the first of several parts", false, func() {
			run(mech.Encrypt, gcm, aes, "data")
			s.mustInit(mech.Sign, ecdsaSHA256, private)
			_, rv := s.update(mech.Sign, []byte("data"), 0)
			s.must(rv)
		}},
		{"what gave no result", false, func() {
			s.must(s.cancel(mech.Sign))
			if _, rv := s.fused(mech.Verify, ecdsaSHA256, public, []byte("data"), make([]byte, 64), 0); rv != cryptoki.CKR_SIGNATURE_INVALID {
				t.Error(rv)
			}
		}},
	} {
		c.do()
		flags, rv := s.validation(cryptoki.CKS_LAST_VALIDATION_OK)
		s.must(rv)
		if (flags == 1) != c.approved {
			t.Errorf("after %s the flags are %d", c.name, flags)
		}
	}

	// Another session has had no service.
	flags, rv := b.user().validation(cryptoki.CKS_LAST_VALIDATION_OK)
	want(t, fmt.Sprint("a new session, flags ", flags), rv, cryptoki.CKR_OK)
	if flags != 0 {
		t.Error("a new session has had an approved service")
	}
	_, rv = s.validation(cryptoki.CKS_LAST_VALIDATION_OK + 1)
	want(t, "another type", rv, cryptoki.CKR_ARGUMENTS_BAD)
	_, rv = nowhere(s).validation(cryptoki.CKS_LAST_VALIDATION_OK + 1)
	want(t, "no session", rv, cryptoki.CKR_SESSION_HANDLE_INVALID)
}
