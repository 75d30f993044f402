package hsm_test

import (
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
)

// An operation that the Crypto Officer left behind must not let the Partition SO's
// wrong PINs zeroize the partition under the session's own lock.
func TestContextLoginOfAnotherRole(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	_, key, rv := s.generatePair(newToken(), ecKeyPairGen,
		attrs(cryptoki.CKA_EC_PARAMS, p256, cryptoki.CKA_VERIFY, true, cryptoki.CKA_PRIVATE, false, cryptoki.CKA_TOKEN, true),
		attrs(cryptoki.CKA_SIGN, true, cryptoki.CKA_ALWAYS_AUTHENTICATE, true, cryptoki.CKA_TOKEN, true, cryptoki.CKA_PRIVATE, true))
	s.must(rv)
	s.mustInit(mech.Sign, ecdsaSHA256, key)
	s.must(s.logout())
	s.must(s.login(cryptoki.CKU_SO, soPIN))
	for range 10 {
		want(t, "a context-specific login of another role", s.login(cryptoki.CKU_CONTEXT_SPECIFIC, "wrong PIN"), cryptoki.CKR_OPERATION_NOT_INITIALIZED)
	}
}
