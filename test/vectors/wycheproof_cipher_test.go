package vectors

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"
)

var oaepCutHash = refuse(pkcs11.CKR_MECHANISM_PARAM_INVALID, "SHA-512/224 and SHA-512/256 are not for padding: PKCS#11 has no MGF1 with them")

// oaepDecryption decrypts with RSAES-OAEP. An encryption never comes out the same.
var oaepDecryption = suite{
	files:      []string{"rsa_oaep_*_test.json"},
	refusals:   wrongCiphertext,
	exceptions: []*exception{oaepCutHash},
	except: func(g *group, _ *vector) *exception {
		if strings.HasPrefix(g.SHA, "SHA-512/") {
			return oaepCutHash
		}
		return nil
	},
	prepare: func(t *testing.T, s *session, g *group) (func(*vector) error, error) {
		hash, mgf := hashNamed(t, g.SHA).digest, hashNamed(t, g.MGFSHA).mgf
		key, err := s.rsaPrivate(t, g.PrivateKeyPKCS8, pkcs11.CKA_DECRYPT)
		return func(v *vector) error {
			m := pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_OAEP, oaepParameter(hash, mgf, v.Label))
			return v.output(v.Msg)(s.decrypt(m, key, v.CT))
		}, err
	},
}

var gcmLongIV = refuse(pkcs11.CKR_MECHANISM_PARAM_INVALID, "an IV of more than 256 bytes, the most that CK_GCM_PARAMS has")

var gcm = suite{
	files:      []string{"aes_gcm_test.json"},
	refusals:   append(slices.Clone(wrongCiphertext), pkcs11.CKR_MECHANISM_PARAM_INVALID),
	exceptions: []*exception{gcmLongIV},
	except: func(_ *group, v *vector) *exception {
		if len(v.IV) > 256 {
			return gcmLongIV
		}
		return nil
	},
	prepare: func(t *testing.T, s *session, g *group) (func(*vector) error, error) {
		return func(v *vector) error {
			m := pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, pkcs11.NewGCMParams(v.IV, v.AAD, g.TagSize))
			return s.bothWays(m, v, slices.Concat(v.CT, v.Tag))
		}, nil
	},
}

var cbcPadded = suite{
	files:    []string{"aes_cbc_pkcs5_test.json"},
	refusals: wrongCiphertext,
	prepare: func(t *testing.T, s *session, g *group) (func(*vector) error, error) {
		return func(v *vector) error {
			return s.bothWays(pkcs11.NewMechanism(pkcs11.CKM_AES_CBC_PAD, []byte(v.IV)), v, v.CT)
		}, nil
	},
}

// bothWays decrypts a vector of AES and, where it is good, encrypts it as well.
func (s *session) bothWays(m *pkcs11.Mechanism, v *vector, ciphertext []byte) error {
	key, err := s.secret(pkcs11.CKK_AES, v.Key, pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT)
	if err != nil {
		return err
	}
	if err := v.output(v.Msg)(s.decrypt(m, key, ciphertext)); err != nil || !v.good() {
		return err
	}
	return same(ciphertext)(s.encrypt(m, key, v.Msg))
}

// wrongWrap are the codes of a wrapped key that is wrong, or of a wrapping key that is none.
var wrongWrap = []uint{pkcs11.CKR_WRAPPED_KEY_INVALID, pkcs11.CKR_WRAPPED_KEY_LEN_RANGE, pkcs11.CKR_ATTRIBUTE_VALUE_INVALID}

var keyWrap = keyWrapSuite("aes_wrap_test.json", pkcs11.CKM_AES_KEY_WRAP)

var keyWrapPadded = keyWrapSuite("aes_kwp_test.json", ckmAESKWP)

// keyWrapSuite unwraps a key and, where the vector is good, wraps it as well; decrypting
// and encrypting by the same mechanism must agree. A key is for one of the two.
func keyWrapSuite(file string, mechanism uint) suite {
	return suite{
		files:    []string{file},
		refusals: wrongWrap,
		prepare: func(t *testing.T, s *session, g *group) (func(*vector) error, error) {
			m := pkcs11.NewMechanism(mechanism, nil)
			return func(v *vector) error {
				wrapping, err := s.secret(pkcs11.CKK_AES, v.Key, pkcs11.CKA_WRAP, pkcs11.CKA_UNWRAP)
				if err != nil {
					return err
				}
				cipher, err := s.secret(pkcs11.CKK_AES, v.Key, pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT)
				if err != nil {
					return err
				}
				if len(v.CT) == 0 { // package pkcs11 cannot pass it on
					return pkcs11.Error(pkcs11.CKR_WRAPPED_KEY_LEN_RANGE)
				}
				var want []byte
				if v.good() {
					want = v.Msg
				}
				err = s.unwrap(m, wrapping, v.CT, want)
				decrypted := v.output(v.Msg)(s.decrypt(m, cipher, v.CT))
				if (err == nil) != (decrypted == nil) {
					return errDiffers
				}
				if err != nil || !v.good() {
					return err
				}
				if err := same(v.CT)(s.encrypt(m, cipher, v.Msg)); err != nil {
					return err
				}
				return same(v.CT)(s.wrap(m, wrapping, v.Msg))
			}, nil
		},
	}
}
