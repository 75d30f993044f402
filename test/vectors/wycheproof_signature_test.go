package vectors

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"

	"github.com/miekg/pkcs11"
)

// curves are the values of CKA_EC_PARAMS and the sizes of an order in bytes, by the names
// that Wycheproof has for the curves.
var curves = map[string]struct {
	params string
	size   int
}{
	"secp256r1": {"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 32},
	"secp384r1": {"\x06\x05\x2b\x81\x04\x00\x22", 48},
	"secp521r1": {"\x06\x05\x2b\x81\x04\x00\x23", 66},
	"secp256k1": {"\x06\x05\x2b\x81\x04\x00\x0a", 32},
}

const (
	oidEd25519 = "\x06\x03\x2b\x65\x70"
	oidX25519  = "\x06\x03\x2b\x65\x6e"
)

func ecParams(t *testing.T, curve string) *pkcs11.Attribute {
	t.Helper()
	c, found := curves[curve]
	if !found {
		t.Fatalf("curve %q", curve)
	}
	return attribute(pkcs11.CKA_EC_PARAMS, []byte(c.params))
}

// ecPoint is CKA_EC_POINT: the point as DER OCTET STRING (PKCS#11 3.2, 6.3).
func ecPoint(point []byte) *pkcs11.Attribute {
	der, err := asn1.Marshal(point)
	if err != nil {
		panic(err)
	}
	return attribute(pkcs11.CKA_EC_POINT, der)
}

// ecdsaP1363 has signatures in the form that PKCS#11 has for them too, r and s at full
// length. It verifies by the mechanism of the hash function and by CKM_ECDSA with a digest
// that is made here; they must agree.
var ecdsaP1363 = suite{
	files:    []string{"ecdsa_*_p1363_test.json"},
	refusals: wrongSignature,
	prepare: func(t *testing.T, s *session, g *group) (func(*vector) error, error) {
		h := hashNamed(t, g.SHA)
		key, err := s.ecPublic(t, g)
		return func(v *vector) error {
			whole := s.verify(pkcs11.NewMechanism(h.ecdsa, nil), key, v.Msg, v.Sig)
			return agreeing(whole, s.verify(pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil), key, h.of(v.Msg), v.Sig))
		}, err
	},
}

// ecdsaDER has signatures as DER. Who calls PKCS#11 takes them apart, and so do the tests:
// what is no DER of two numbers that fit is refused before the token sees it.
var ecdsaDER = suite{
	files:    []string{"ecdsa_*_sha3_*_test.json", "ecdsa_secp384r1_sha256_test.json"},
	refusals: wrongSignature,
	prepare: func(t *testing.T, s *session, g *group) (func(*vector) error, error) {
		h := hashNamed(t, g.SHA)
		key, err := s.ecPublic(t, g)
		return func(v *vector) error {
			sig, ok := plainSignature(v.Sig, curves[g.PublicKey.Curve].size)
			if !ok {
				return pkcs11.Error(pkcs11.CKR_SIGNATURE_INVALID)
			}
			return s.verify(pkcs11.NewMechanism(h.ecdsa, nil), key, v.Msg, sig)
		}, err
	},
}

func (s *session) ecPublic(t *testing.T, g *group) (pkcs11.ObjectHandle, error) {
	t.Helper()
	return s.public(pkcs11.CKK_EC, ecParams(t, g.PublicKey.Curve), ecPoint(g.PublicKey.Uncompressed))
}

// plainSignature turns an Ecdsa-Sig-Value into r and s of size bytes each.
func plainSignature(der []byte, size int) ([]byte, bool) {
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return nil, false
	}
	// Package asn1 passes over what follows within the sequence.
	if strict, err := asn1.Marshal(sig); err != nil || !bytes.Equal(strict, der) {
		return nil, false
	}
	if sig.R.Sign() < 0 || sig.S.Sign() < 0 || sig.R.BitLen() > 8*size || sig.S.BitLen() > 8*size {
		return nil, false
	}
	out := make([]byte, 2*size)
	sig.R.FillBytes(out[:size])
	sig.S.FillBytes(out[size:])
	return out, true
}

// agreeing returns the outcome of two mechanisms, or errDiffers.
func agreeing(a, b error) error {
	if a != b {
		return errDiffers
	}
	return a
}

var ed25519Verification = suite{
	files:    []string{"ed25519_test.json"},
	refusals: wrongSignature,
	prepare: func(t *testing.T, s *session, g *group) (func(*vector) error, error) {
		key, err := s.public(ckkEdwards, attribute(pkcs11.CKA_EC_PARAMS, []byte(oidEd25519)), ecPoint(g.PublicKey.PK))
		return func(v *vector) error { return s.verify(pkcs11.NewMechanism(ckmEdDSA, nil), key, v.Msg, v.Sig) }, err
	},
}

func (s *session) rsaPublic(modulus, exponent []byte) (pkcs11.ObjectHandle, error) {
	return s.public(pkcs11.CKK_RSA, attribute(pkcs11.CKA_MODULUS, modulus), attribute(pkcs11.CKA_PUBLIC_EXPONENT, exponent))
}

// pkcs1Verification verifies by the mechanism of the hash function, where there is one,
// and by CKM_RSA_PKCS with a DigestInfo that is made here; they must agree.
var pkcs1Verification = suite{
	files:    []string{"rsa_signature_*_test.json"},
	refusals: wrongSignature,
	prepare: func(t *testing.T, s *session, g *group) (func(*vector) error, error) {
		h := hashNamed(t, g.SHA)
		key, err := s.rsaPublic(g.PublicKey.Modulus, g.PublicKey.PublicExponent)
		return func(v *vector) error {
			raw := s.verify(pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS, nil), key, h.digestInfo(v.Msg), v.Sig)
			if h.rsaPKCS == 0 {
				return raw
			}
			return agreeing(raw, s.verify(pkcs11.NewMechanism(h.rsaPKCS, nil), key, v.Msg, v.Sig))
		}, err
	},
}

// pkcs1Signature has signatures that must come out the same, for they are deterministic:
// by CKM_RSA_X_509 with padding that is made here, and as pkcs1Verification.
var pkcs1Signature = suite{
	files: []string{"rsa_pkcs1_*_sig_gen_test.json"},
	prepare: func(t *testing.T, s *session, g *group) (func(*vector) error, error) {
		h := hashNamed(t, g.SHA)
		key, err := s.rsaPrivate(t, g.PrivateKeyPKCS8, pkcs11.CKA_SIGN)
		return func(v *vector) error {
			padded := pkcs1Padded(h.digestInfo(v.Msg), len(v.Sig))
			if err := same(v.Sig)(s.sign(pkcs11.NewMechanism(pkcs11.CKM_RSA_X_509, nil), key, padded)); err != nil {
				return err
			}
			if err := same(v.Sig)(s.sign(pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS, nil), key, h.digestInfo(v.Msg))); err != nil || h.rsaPKCS == 0 {
				return err
			}
			return same(v.Sig)(s.sign(pkcs11.NewMechanism(h.rsaPKCS, nil), key, v.Msg))
		}, err
	},
}

// pkcs1Padded is EMSA-PKCS1-v1_5 in size bytes (RFC 8017, 9.2).
func pkcs1Padded(digestInfo []byte, size int) []byte {
	padding := bytes.Repeat([]byte{0xff}, size-len(digestInfo)-3)
	return slices.Concat([]byte{0, 1}, padding, []byte{0}, digestInfo)
}

// rsaPrivate brings in a private key of PKCS #8 for one use.
func (s *session) rsaPrivate(t *testing.T, pkcs8 []byte, use uint) (pkcs11.ObjectHandle, error) {
	t.Helper()
	parsed, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		t.Fatalf("a key of type %T", parsed)
	}
	return s.private(pkcs11.CKK_RSA, use,
		attribute(pkcs11.CKA_MODULUS, key.N.Bytes()),
		attribute(pkcs11.CKA_PUBLIC_EXPONENT, big.NewInt(int64(key.E)).Bytes()),
		attribute(pkcs11.CKA_PRIVATE_EXPONENT, key.D.Bytes()),
		attribute(pkcs11.CKA_PRIME_1, key.Primes[0].Bytes()),
		attribute(pkcs11.CKA_PRIME_2, key.Primes[1].Bytes()),
		attribute(pkcs11.CKA_EXPONENT_1, key.Precomputed.Dp.Bytes()),
		attribute(pkcs11.CKA_EXPONENT_2, key.Precomputed.Dq.Bytes()),
		attribute(pkcs11.CKA_COEFFICIENT, key.Precomputed.Qinv.Bytes()))
}

// What RSASSA-PSS does not do here: Go's implementation, which does it, has neither.
var (
	pssTwoHash  = refuse(pkcs11.CKR_MECHANISM_PARAM_INVALID, "MGF1 with another hash function than that of the signature")
	pssZeroSalt = refuse(pkcs11.CKR_MECHANISM_PARAM_INVALID, "a signature without salt")
)

// pssVerification verifies by the mechanism of the hash function and by CKM_RSA_PKCS_PSS
// with a digest that is made here; they must agree.
var pssVerification = suite{
	files:      []string{"rsa_pss_*_test.json"},
	refusals:   wrongSignature,
	exceptions: []*exception{pssTwoHash, pssZeroSalt},
	except: func(g *group, v *vector) *exception {
		switch {
		case g.SHA != g.MGFSHA:
			return pssTwoHash
		case g.SLen == 0:
			return pssZeroSalt
		}
		return nil
	},
	prepare: func(t *testing.T, s *session, g *group) (func(*vector) error, error) {
		h := hashNamed(t, g.SHA)
		parameter := pkcs11.NewPSSParams(h.digest, hashNamed(t, g.MGFSHA).mgf, uint(g.SLen))
		key, err := s.rsaPublic(g.PublicKey.Modulus, g.PublicKey.PublicExponent)
		return func(v *vector) error {
			raw := s.verify(pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_PSS, parameter), key, h.of(v.Msg), v.Sig)
			if h.rsaPSS == 0 {
				return raw
			}
			return agreeing(raw, s.verify(pkcs11.NewMechanism(h.rsaPSS, parameter), key, v.Msg, v.Sig))
		}, err
	},
}
