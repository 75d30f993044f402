package vectors

import (
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
