package vectors

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"
)

// TestDigest has the short messages of FIPS 180-4 and FIPS 202.
func TestDigest(t *testing.T) {
	for name, h := range hashFunctions {
		file := strings.NewReplacer("SHA-", "SHA", "/", "_", "-", "_").Replace(name)
		cavsSuite{
			archive: "nist.zip",
			files:   []string{"hash/" + file + "ShortMsg.rsp"},
			closing: []string{"MD"},
			try: func(s *session, r record) (expectation, error) {
				data := r.bytes("MSG")[:r.number("LEN")/8]
				return valid, same(r.bytes("MD"))(s.digest(pkcs11.NewMechanism(h.digest, nil), data))
			},
		}.run(t)
	}
}

// TestAESBlocks has the known answers and the messages of many blocks for ECB and CBC.
func TestAESBlocks(t *testing.T) {
	aesModes(t, "ECB", func(record) *pkcs11.Mechanism { return pkcs11.NewMechanism(pkcs11.CKM_AES_ECB, nil) })
	aesModes(t, "CBC", func(r record) *pkcs11.Mechanism { return pkcs11.NewMechanism(pkcs11.CKM_AES_CBC, r.bytes("IV")) })
}

// aesModes encrypts in the sections for that, and decrypts in the others.
func aesModes(t *testing.T, mode string, mechanism func(record) *pkcs11.Mechanism) {
	cavsSuite{
		archive: "nist.zip",
		files:   []string{"aes/" + mode + "*.rsp"},
		closing: []string{"CIPHERTEXT", "PLAINTEXT"},
		try: func(s *session, r record) (expectation, error) {
			key, err := s.secret(pkcs11.CKK_AES, r.bytes("KEY"), pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT)
			if err != nil {
				return valid, err
			}
			if r["SECTION"] == "DECRYPT" {
				return valid, same(r.bytes("PLAINTEXT"))(s.decrypt(mechanism(r), key, r.bytes("CIPHERTEXT")))
			}
			return valid, same(r.bytes("CIPHERTEXT"))(s.encrypt(mechanism(r), key, r.bytes("PLAINTEXT")))
		},
	}.run(t)
}

// TestAESCMAC has the examples of SP 800-38B.
func TestAESCMAC(t *testing.T) {
	cavsSuite{
		archive: "nist.zip",
		files:   []string{"aes/CMAC*.txt"},
		closing: []string{"OUTPUT"},
		try: func(s *session, r record) (expectation, error) {
			key, err := s.secret(pkcs11.CKK_AES, r.bytes("KEY"), pkcs11.CKA_SIGN)
			if err != nil {
				return valid, err
			}
			return valid, same(r.bytes("OUTPUT"))(s.sign(pkcs11.NewMechanism(pkcs11.CKM_AES_CMAC, nil), key, r.bytes("MESSAGE")))
		},
	}.run(t)
}

// TestAESGCM has some of each section of the vectors for SP 800-38D.
func TestAESGCM(t *testing.T) {
	shortTag := refuse(pkcs11.CKR_MECHANISM_PARAM_INVALID, "a tag of less than 96 bits (SP 800-38D, appendix C)")
	suite := cavsSuite{
		archive:    "nist.zip",
		refusals:   wrongCiphertext,
		exceptions: []*exception{shortTag},
		except: func(r record) *exception {
			if r.number("TAGLEN") < 96 {
				return shortTag
			}
			return nil
		},
	}
	start := func(s *session, r record, use uint) (*pkcs11.Mechanism, pkcs11.ObjectHandle, error) {
		key, err := s.secret(pkcs11.CKK_AES, r.bytes("KEY"), use)
		return pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, pkcs11.NewGCMParams(r.bytes("IV"), r.bytes("AAD"), r.number("TAGLEN"))), key, err
	}

	decryption := suite
	decryption.files, decryption.closing = []string{"gcm/gcmDecrypt*.rsp"}, []string{"PT|FAIL"}
	decryption.try = func(s *session, r record) (expectation, error) {
		want := valid
		if r.has("FAIL") {
			want = invalid
		}
		m, key, err := start(s, r, pkcs11.CKA_DECRYPT)
		if err != nil {
			return want, err
		}
		plaintext, err := s.decrypt(m, key, slices.Concat(r.bytes("CT"), r.bytes("TAG")))
		if want == invalid {
			return want, err
		}
		return want, same(r.bytes("PT"))(plaintext, err)
	}
	decryption.run(t)

	encryption := suite
	encryption.files, encryption.closing = []string{"gcm/gcmEncrypt*.rsp"}, []string{"TAG"}
	encryption.try = func(s *session, r record) (expectation, error) {
		m, key, err := start(s, r, pkcs11.CKA_ENCRYPT)
		if err != nil {
			return valid, err
		}
		return valid, same(slices.Concat(r.bytes("CT"), r.bytes("TAG")))(s.encrypt(m, key, r.bytes("PT")))
	}
	encryption.run(t)
}

// TestAESKeyWrap has some of each section of the vectors for SP 800-38F.
func TestAESKeyWrap(t *testing.T) {
	for _, wrap := range []struct {
		name      string
		mechanism uint
	}{{"KW", pkcs11.CKM_AES_KEY_WRAP}, {"KWP", ckmAESKWP}} {
		m := pkcs11.NewMechanism(wrap.mechanism, nil)
		cavsSuite{
			archive: "nist.zip",
			files:   []string{"wrap/" + wrap.name + "_AE_*.txt"},
			closing: []string{"C"},
			try: func(s *session, r record) (expectation, error) {
				key, err := s.secret(pkcs11.CKK_AES, r.bytes("K"), pkcs11.CKA_WRAP)
				if err != nil {
					return valid, err
				}
				return valid, same(r.bytes("C"))(s.wrap(m, key, r.bytes("P")))
			},
		}.run(t)
		cavsSuite{
			archive:  "nist.zip",
			files:    []string{"wrap/" + wrap.name + "_AD_*.txt"},
			closing:  []string{"P|FAIL"},
			refusals: wrongWrap,
			try: func(s *session, r record) (expectation, error) {
				key, err := s.secret(pkcs11.CKK_AES, r.bytes("K"), pkcs11.CKA_UNWRAP)
				if err != nil {
					return valid, err
				}
				if r.has("FAIL") {
					return invalid, s.unwrap(m, key, r.bytes("C"), nil)
				}
				return valid, s.unwrap(m, key, r.bytes("C"), r.bytes("P"))
			},
		}.run(t)
	}
}

// TestKBKDF has some of each section of the vectors for SP 800-108 in counter mode.
func TestKBKDF(t *testing.T) {
	prfs := map[string]uint{
		"CMAC_AES128": pkcs11.CKM_AES_CMAC, "CMAC_AES192": pkcs11.CKM_AES_CMAC, "CMAC_AES256": pkcs11.CKM_AES_CMAC,
		"HMAC_SHA1": pkcs11.CKM_SHA_1_HMAC, "HMAC_SHA224": pkcs11.CKM_SHA224_HMAC, "HMAC_SHA256": pkcs11.CKM_SHA256_HMAC,
		"HMAC_SHA384": pkcs11.CKM_SHA384_HMAC, "HMAC_SHA512": pkcs11.CKM_SHA512_HMAC,
	}
	cavsSuite{
		archive: "nist.zip",
		files:   []string{"kdf/KBKDFCounter.rsp"},
		closing: []string{"KO"},
		try: func(s *session, r record) (expectation, error) {
			keyType := uint(pkcs11.CKK_GENERIC_SECRET)
			if strings.HasPrefix(r["PRF"], "CMAC") {
				keyType = pkcs11.CKK_AES
			}
			key, err := s.secret(keyType, r.bytes("KI"), pkcs11.CKA_DERIVE)
			if err != nil {
				return valid, err
			}
			var before, after []byte
			switch r["CTRLOCATION"] {
			case "BEFORE_FIXED":
				after = r.bytes("FIXEDINPUTDATA")
			case "AFTER_FIXED":
				before = r.bytes("FIXEDINPUTDATA")
			default:
				before, after = r.bytes("DATABEFORECTRDATA"), r.bytes("DATAAFTERCTRDATA")
			}
			bits := map[string]int{"8_BITS": 8, "16_BITS": 16, "24_BITS": 24, "32_BITS": 32}[r["RLEN"]]
			m := pkcs11.NewMechanism(ckmKBKDFCounter, s.kbkdfParameter(prfs[r["PRF"]], before, bits, after))
			return valid, same(r.bytes("KO"))(s.derive(m, key, r.number("L")/8))
		},
	}.run(t)
}

// TestECDH has both roles of the static unified model (SP 800-56A, 6.3), up to the shared
// secret.
func TestECDH(t *testing.T) {
	names := map[string]string{"EC": "secp256r1", "ED": "secp384r1", "EE": "secp521r1"}
	cavsSuite{
		archive:  "nist.zip",
		files:    []string{"ecdh/*.fax"},
		closing:  []string{"RESULT"},
		refusals: []uint{pkcs11.CKR_MECHANISM_PARAM_INVALID, pkcs11.CKR_ATTRIBUTE_VALUE_INVALID, pkcs11.CKR_DATA_INVALID},
		try: func(s *session, r record) (expectation, error) {
			curve := curves[names[r["SECTION"][:2]]]
			point := func(x, y string) []byte {
				return slices.Concat([]byte{4}, r.padded(x, curve.size), r.padded(y, curve.size))
			}
			key, err := s.private(pkcs11.CKK_EC, pkcs11.CKA_DERIVE, attribute(pkcs11.CKA_EC_PARAMS, []byte(curve.params)),
				attribute(pkcs11.CKA_VALUE, r.padded("DSIUT", curve.size)), ecPoint(point("QSIUTX", "QSIUTY")))
			if err != nil {
				return r.result(), err
			}
			agree := func(mechanism uint) error {
				m := pkcs11.NewMechanism(mechanism, s.ecdhParameter(point("QSCAVSX", "QSCAVSY")))
				return refusedUnless(r.result(), same(r.padded("Z", curve.size))(s.derive(m, key, 0)))
			}
			// The cofactor of these curves is 1.
			return r.result(), agreeing(agree(pkcs11.CKM_ECDH1_DERIVE), agree(pkcs11.CKM_ECDH1_COFACTOR_DERIVE))
		},
	}.run(t)
}

// TestECDSA has the verification of FIPS 186-3, which FIPS 186-5 keeps.
func TestECDSA(t *testing.T) {
	names := map[string]string{"P-256": "secp256r1", "P-384": "secp384r1", "P-521": "secp521r1"}
	cavsSuite{
		archive:  "nist.zip",
		files:    []string{"signature/ECDSASigVer.rsp"},
		closing:  []string{"RESULT"},
		refusals: wrongSignature,
		try: func(s *session, r record) (expectation, error) {
			name, hash, _ := strings.Cut(r["SECTION"], ",")
			curve := curves[names[name]]
			key, err := s.public(pkcs11.CKK_EC, attribute(pkcs11.CKA_EC_PARAMS, []byte(curve.params)),
				ecPoint(slices.Concat([]byte{4}, r.padded("QX", curve.size), r.padded("QY", curve.size))))
			if err != nil {
				return r.result(), err
			}
			sig := slices.Concat(r.padded("R", curve.size), r.padded("S", curve.size))
			return r.result(), s.verify(pkcs11.NewMechanism(hashFunctions[hash].ecdsa, nil), key, r.bytes("MSG"), sig)
		},
	}.run(t)
}

// TestRSA has the verification of FIPS 186-3 by RSASSA-PKCS1-v1_5 and RSASSA-PSS.
func TestRSA(t *testing.T) {
	suite := cavsSuite{archive: "nist.zip", closing: []string{"RESULT"}, refusals: wrongSignature}
	verify := func(s *session, r record, m *pkcs11.Mechanism) (expectation, error) {
		key, err := s.rsaPublic(r.bytes("N"), r.bytes("E"))
		if err != nil {
			return r.result(), err
		}
		return r.result(), s.verify(m, key, r.bytes("MSG"), r.bytes("S"))
	}
	hash := func(r record) hashFunction { return hashFunctions["SHA-"+strings.TrimPrefix(r["SHAALG"], "SHA")] }

	suite.files = []string{"signature/SigVer15.rsp"}
	suite.try = func(s *session, r record) (expectation, error) {
		return verify(s, r, pkcs11.NewMechanism(hash(r).rsaPKCS, nil))
	}
	suite.run(t)

	suite.files = []string{"signature/SigVerPSS.rsp"}
	suite.try = func(s *session, r record) (expectation, error) {
		h := hash(r)
		return verify(s, r, pkcs11.NewMechanism(h.rsaPSS, pkcs11.NewPSSParams(h.digest, h.mgf, uint(len(r.bytes("SALTVAL"))))))
	}
	suite.run(t)
}
