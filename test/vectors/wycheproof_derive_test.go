package vectors

import (
	"bytes"
	"encoding/asn1"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"
)

// wrongBase are the codes of a public key that is none, of a private one, and of a
// length that cannot be.
var wrongBase = []uint{pkcs11.CKR_MECHANISM_PARAM_INVALID, pkcs11.CKR_ATTRIBUTE_VALUE_INVALID, pkcs11.CKR_KEY_SIZE_RANGE}

var longKey = refuse(pkcs11.CKR_KEY_SIZE_RANGE, "a key of more than 512 bytes is not derived: no object holds it")

var hkdf = suite{
	files:      []string{"hkdf_*_test.json"},
	refusals:   wrongBase,
	exceptions: []*exception{longKey},
	except: func(_ *group, v *vector) *exception {
		if v.Size > 512 {
			return longKey
		}
		return nil
	},
	prepare: func(t *testing.T, s *session, g *group) (func(*vector) error, error) {
		hash := hashNamed(t, strings.TrimPrefix(g.algorithm, "HKDF-")).digest
		return func(v *vector) error {
			key, err := s.secret(ckkHKDF, v.IKM, pkcs11.CKA_DERIVE)
			if err != nil {
				return err
			}
			m := pkcs11.NewMechanism(ckmHKDFDerive, s.hkdfParameter(hash, hkdfExtract|hkdfExpand, v.Salt, v.Info))
			return v.output(v.OKM)(s.derive(m, key, v.Size))
		}, nil
	},
}

// ecdhPoints agrees on a secret with a bare point.
var ecdhPoints = suite{
	files:    []string{"ecdh_*_ecpoint_test.json"},
	refusals: wrongBase,
	prepare: func(t *testing.T, s *session, g *group) (func(*vector) error, error) {
		return func(v *vector) error {
			key, err := s.private(pkcs11.CKK_EC, pkcs11.CKA_DERIVE, ecParams(t, g.Curve), attribute(pkcs11.CKA_VALUE, []byte(v.Private)))
			if err != nil {
				return err
			}
			return s.agree(key, v)
		}, nil
	},
}

// ecdhKeys agrees on a secret with a point out of a SubjectPublicKeyInfo. Who calls
// PKCS#11 takes it apart, and so do the tests: what is no DER, or does not name the curve
// of the key, is refused before the token sees it. Whether the point is one of the curve
// is the token's to say.
var ecdhKeys = suite{
	files:    []string{"ecdh_secp256k1_test.json"},
	refusals: wrongBase,
	prepare: func(t *testing.T, s *session, g *group) (func(*vector) error, error) {
		return func(v *vector) error {
			key, err := s.private(pkcs11.CKK_EC, pkcs11.CKA_DERIVE, ecParams(t, g.Curve), attribute(pkcs11.CKA_VALUE, []byte(v.Private)))
			if err != nil {
				return err
			}
			point, ok := publicPoint(v.Public, curves[g.Curve].params)
			if !ok {
				return pkcs11.Error(pkcs11.CKR_MECHANISM_PARAM_INVALID)
			}
			m := pkcs11.NewMechanism(pkcs11.CKM_ECDH1_DERIVE, s.ecdhParameter(point))
			return same(v.Shared)(s.derive(m, key, 0))
		}, nil
	},
}

// publicPoint is the point in a SubjectPublicKeyInfo that names a curve.
func publicPoint(der []byte, curve string) ([]byte, bool) {
	var info struct {
		Algorithm struct {
			Type  asn1.ObjectIdentifier
			Curve asn1.RawValue
		}
		Point asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, false
	}
	// Package asn1 passes over what follows within a sequence.
	if strict, err := asn1.Marshal(info); err != nil || !bytes.Equal(strict, der) {
		return nil, false
	}
	return info.Point.Bytes, string(info.Algorithm.Curve.FullBytes) == curve
}

var x25519 = suite{
	files:    []string{"x25519_test.json"},
	refusals: wrongBase,
	prepare: func(t *testing.T, s *session, g *group) (func(*vector) error, error) {
		return func(v *vector) error {
			key, err := s.private(ckkMontgomery, pkcs11.CKA_DERIVE, attribute(pkcs11.CKA_EC_PARAMS, []byte(oidX25519)), attribute(pkcs11.CKA_VALUE, []byte(v.Private)))
			if err != nil {
				return err
			}
			return s.agree(key, v)
		}, nil
	},
}

// agree compares the secret also where the vector leaves open whether there is one.
func (s *session) agree(key pkcs11.ObjectHandle, v *vector) error {
	m := pkcs11.NewMechanism(pkcs11.CKM_ECDH1_DERIVE, s.ecdhParameter(v.Public))
	return same(v.Shared)(s.derive(m, key, 0))
}
