package hsm_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/policy"
)

var (
	rsaPKCS = cryptoki.New(cryptoki.CKM_RSA_PKCS)
	rsaX509 = cryptoki.New(cryptoki.CKM_RSA_X_509)
)

// rsaPair generates an RSA pair of session objects with the purposes that are named.
func (s session) rsaPair(verify, sign cryptoki.AttributeType) (public, private uint64) {
	s.t.Helper()
	public, private, rv := s.generatePair(newToken(), cryptoki.New(cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN),
		attrs(cryptoki.CKA_MODULUS_BITS, 2048, verify, true), attrs(sign, true))
	s.must(rv)
	return public, private
}

// The length of a 2048-bit signature, and the most data that is recovered from it.
const rsaSize, rsaMost = 256, 256 - 11

// rsaTemplate is a private key that was made elsewhere.
func rsaTemplate(t *testing.T) cryptoki.Template {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 8*rsaSize)
	if err != nil {
		t.Fatal(err)
	}
	return attrs(cryptoki.CKA_CLASS, cryptoki.CKO_PRIVATE_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_RSA,
		cryptoki.CKA_MODULUS, key.N.Bytes(), cryptoki.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}, cryptoki.CKA_PRIVATE_EXPONENT, key.D.Bytes(),
		cryptoki.CKA_PRIME_1, key.Primes[0].Bytes(), cryptoki.CKA_PRIME_2, key.Primes[1].Bytes())
}

func TestRecover(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	public, private := s.rsaPair(cryptoki.CKA_VERIFY_RECOVER, cryptoki.CKA_SIGN_RECOVER)
	permit, rv := s.init(mech.SignRecover, rsaPKCS, private)
	s.must(rv)
	if !permit.Permit || mech.RuleKind(permit.Rule) != mech.RuleFixed || permit.RuleLength != rsaSize || permit.Flags != 0 {
		t.Errorf("the permit to sign is %+v", permit)
	}
	signed, rv := s.operate(mech.SignRecover, []byte("data"), nil, rsaSize)
	s.must(rv)
	signature := bytes.Clone(signed.Output)
	if flags, _ := s.validation(cryptoki.CKS_LAST_VALIDATION_OK); flags != 0 {
		t.Error("a signature with recovery is approved")
	}

	permit, rv = s.init(mech.VerifyRecover, rsaPKCS, public)
	s.must(rv)
	if !permit.Permit || mech.RuleKind(permit.Rule) != mech.RuleAtMost || permit.RuleLength != rsaMost {
		t.Errorf("the permit to verify is %+v", permit)
	}
	if p, rv := s.operate(mech.VerifyRecover, signature, nil, 3); rv != cryptoki.CKR_BUFFER_TOO_SMALL || p.Length != 4 || len(p.Output) > 0 {
		t.Errorf("three bytes of room: %v, %d", rv, p.Length)
	}
	if p, rv := s.operate(mech.VerifyRecover, signature, nil, 4); rv != cryptoki.CKR_OK || string(p.Output) != "data" {
		t.Errorf("recovered %q (%v)", p.Output, rv)
	}
	if p, rv := s.fused(mech.VerifyRecover, rsaX509, public, signature, nil, rsaSize); rv != cryptoki.CKR_OK || len(p.Output) != rsaSize {
		t.Errorf("recovered %x without its padding (%v)", p.Output, rv)
	}
	signature[7] ^= 1
	want(t, "a wrong signature", only(s.fused(mech.VerifyRecover, rsaPKCS, public, signature, nil, anyRoom)), cryptoki.CKR_SIGNATURE_INVALID)
	want(t, "a short signature", only(s.fused(mech.VerifyRecover, rsaPKCS, public, signature[1:], nil, anyRoom)), cryptoki.CKR_SIGNATURE_LEN_RANGE)
	want(t, "too much data", only(s.fused(mech.SignRecover, rsaPKCS, private, make([]byte, rsaMost+1), nil, anyRoom)), cryptoki.CKR_DATA_LEN_RANGE)
	want(t, "in parts", func() cryptoki.RV {
		s.mustInit(mech.SignRecover, rsaPKCS, private)
		return only(s.update(mech.SignRecover, []byte("data"), anyRoom))
	}(), cryptoki.CKR_FUNCTION_NOT_SUPPORTED)
	want(t, "raw", only(s.init(mech.SignRecover, rsaX509, private)), cryptoki.CKR_MECHANISM_INVALID)
	s.mustInit(mech.SignRecover, rsaPKCS, private)
	s.mustInit(mech.Digest, sha256, 0)
	want(t, "the state with a signature", only(s.operationState(anyRoom)), cryptoki.CKR_STATE_UNSAVEABLE)
	s.must(s.cancel(mech.SignRecover))
	want(t, "after its cancelling", only(s.operate(mech.SignRecover, nil, nil, anyRoom)), cryptoki.CKR_OPERATION_NOT_INITIALIZED)
}

// Recovery is a purpose of its own, and each half of a pair has its own.
func TestPurposesOfRecovery(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	public, private := s.rsaPair(cryptoki.CKA_VERIFY_RECOVER, cryptoki.CKA_SIGN_RECOVER)
	otherPublic, otherPrivate := s.rsaPair(cryptoki.CKA_VERIFY, cryptoki.CKA_SIGN)
	for _, c := range []struct {
		name string
		f    mech.Function
		key  uint64
		want cryptoki.RV
	}{
		{"CKA_SIGN", mech.SignRecover, otherPrivate, cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED},
		{"CKA_VERIFY", mech.VerifyRecover, otherPublic, cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED},
		{"CKA_SIGN_RECOVER", mech.Sign, private, cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED},
		{"CKA_VERIFY_RECOVER", mech.Verify, public, cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED},
		{"the public half", mech.SignRecover, public, cryptoki.CKR_KEY_TYPE_INCONSISTENT},
		{"the private half", mech.VerifyRecover, private, cryptoki.CKR_KEY_TYPE_INCONSISTENT},
		{"both", mech.SignRecover, private, cryptoki.CKR_OK},
		{"both", mech.VerifyRecover, public, cryptoki.CKR_OK},
	} {
		want(t, c.name, only(s.init(c.f, rsaPKCS, c.key)), c.want)
	}
	s.must(s.cancel(mech.SignRecover, mech.VerifyRecover))

	// Policies that are about signatures are about these, too.
	imported := s.mustCreate(with(rsaTemplate(t), cryptoki.CKA_SIGN_RECOVER, true))
	s.mustInit(mech.SignRecover, rsaPKCS, imported)
	s.must(s.cancel(mech.SignRecover))
	b.setPartition(policy.Change{ID: policy.NonLocalSigning, Value: 0})
	want(t, "a key that came from outside", only(s.init(mech.SignRecover, rsaPKCS, imported)), cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED)
	b.setPartition(policy.Change{ID: policy.NonFIPS, Value: 0})
	want(t, "to sign in FIPS configuration", only(s.init(mech.SignRecover, rsaPKCS, private)), cryptoki.CKR_MECHANISM_INVALID)
	want(t, "to verify in FIPS configuration", only(s.init(mech.VerifyRecover, rsaPKCS, public)), cryptoki.CKR_MECHANISM_INVALID)
}
