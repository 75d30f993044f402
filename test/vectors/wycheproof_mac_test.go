package vectors

import (
	"strings"
	"testing"

	"github.com/miekg/pkcs11"
)

var cmac = suite{
	files:    []string{"aes_cmac_test.json"},
	refusals: wrongSignature,
	prepare: func(t *testing.T, s *session, g *group) (func(*vector) error, error) {
		whole, general := uint(pkcs11.CKM_AES_CMAC), uint(pkcs11.CKM_AES_CMAC_GENERAL)
		return func(v *vector) error { return s.mac(whole, general, 128, pkcs11.CKK_AES, g, v) }, nil
	},
}

// hmacs takes the hash function from the algorithm, which every file names.
var hmacs = suite{
	files:    []string{"hmac_*_test.json"},
	refusals: wrongSignature,
	prepare: func(t *testing.T, s *session, g *group) (func(*vector) error, error) {
		name := strings.TrimPrefix(g.algorithm, "HMAC")
		if !strings.HasPrefix(name, "SHA3-") {
			name = "SHA-" + strings.TrimPrefix(name, "SHA")
		}
		h := hashNamed(t, name)
		return func(v *vector) error {
			return s.mac(h.hmac, h.hmacGeneral, 8*h.hash.Size(), pkcs11.CKK_GENERIC_SECRET, g, v)
		}, nil
	},
}

// mac verifies a MAC, and makes it where it is good, by the mechanism that has the length
// as its parameter. Where the MAC is whole the other mechanism must agree.
func (s *session) mac(whole, general uint, wholeBits int, keyType uint, g *group, v *vector) error {
	key, err := s.secret(keyType, v.Key, pkcs11.CKA_SIGN, pkcs11.CKA_VERIFY)
	if err != nil {
		return err
	}
	by := func(m *pkcs11.Mechanism) error {
		if err := s.verify(m, key, v.Msg, v.Tag); err != nil || !v.good() {
			return err
		}
		return same(v.Tag)(s.sign(m, key, v.Msg))
	}
	err = by(pkcs11.NewMechanism(general, words(uint64(g.TagSize/8))))
	if g.TagSize == wholeBits {
		return agreeing(err, by(pkcs11.NewMechanism(whole, nil)))
	}
	return err
}
