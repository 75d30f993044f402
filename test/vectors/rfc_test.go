package vectors

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"
)

// unhex decodes hex digits of a table.
func unhex(t *testing.T, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRFC3686 has AES in counter mode. The counter is the last 32 bits.
func TestRFC3686(t *testing.T) {
	cavsSuite{
		archive: "rfc.zip",
		files:   []string{"ctr/rfc-3686-*.txt"},
		closing: []string{"CIPHERTEXT"},
		try: func(s *session, r record) (expectation, error) {
			key, err := s.secret(pkcs11.CKK_AES, r.bytes("KEY"), pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT)
			if err != nil {
				return valid, err
			}
			m := pkcs11.NewMechanism(pkcs11.CKM_AES_CTR, ctrParameter(32, r.bytes("IV")))
			if err := same(r.bytes("CIPHERTEXT"))(s.encrypt(m, key, r.bytes("PLAINTEXT"))); err != nil {
				return valid, err
			}
			return valid, same(r.bytes("PLAINTEXT"))(s.decrypt(m, key, r.bytes("CIPHERTEXT")))
		},
	}.run(t)
}

// TestRFC4231 has HMAC with SHA-2, and with SHA-1 from RFC 2202.
func TestRFC4231(t *testing.T) {
	for file, hash := range map[string]string{
		"rfc-2202-sha1": "SHA-1", "rfc-4231-sha224": "SHA-224", "rfc-4231-sha256": "SHA-256", "rfc-4231-sha384": "SHA-384", "rfc-4231-sha512": "SHA-512",
	} {
		m := pkcs11.NewMechanism(hashFunctions[hash].hmac, nil)
		cavsSuite{
			archive: "rfc.zip",
			files:   []string{"hmac/" + file + ".txt"},
			closing: []string{"MD"},
			try: func(s *session, r record) (expectation, error) {
				key, err := s.secret(pkcs11.CKK_GENERIC_SECRET, r.bytes("KEY"), pkcs11.CKA_SIGN)
				if err != nil {
					return valid, err
				}
				return valid, same(r.bytes("MD"))(s.sign(m, key, r.bytes("MSG")))
			},
		}.run(t)
	}
}

// TestRFC5869 has HKDF. The first step alone gives what the file calls PRK.
func TestRFC5869(t *testing.T) {
	cavsSuite{
		archive: "rfc.zip",
		files:   []string{"hkdf/rfc-5869-*.txt"},
		closing: []string{"OKM"},
		try: func(s *session, r record) (expectation, error) {
			key, err := s.secret(ckkHKDF, r.bytes("IKM"), pkcs11.CKA_DERIVE)
			if err != nil {
				return valid, err
			}
			hash := hashFunctions[r["HASH"]].digest
			extract := pkcs11.NewMechanism(ckmHKDFDerive, s.hkdfParameter(hash, hkdfExtract, r.bytes("SALT"), nil))
			if err := same(r.bytes("PRK"))(s.derive(extract, key, 0)); err != nil {
				return valid, err
			}
			both := pkcs11.NewMechanism(ckmHKDFDerive, s.hkdfParameter(hash, hkdfExtract|hkdfExpand, r.bytes("SALT"), r.bytes("INFO")))
			return valid, same(r.bytes("OKM"))(s.derive(both, key, r.number("L")))
		},
	}.run(t)
}

// TestRFC7748 has X25519.
func TestRFC7748(t *testing.T) {
	cavsSuite{
		archive: "rfc.zip",
		files:   []string{"x25519/rfc-7748.txt"},
		closing: []string{"OUTPUT_U"},
		try: func(s *session, r record) (expectation, error) {
			key, err := s.private(ckkMontgomery, pkcs11.CKA_DERIVE, attribute(pkcs11.CKA_EC_PARAMS, []byte(oidX25519)), attribute(pkcs11.CKA_VALUE, r.bytes("INPUT_SCALAR")))
			if err != nil {
				return valid, err
			}
			m := pkcs11.NewMechanism(pkcs11.CKM_ECDH1_DERIVE, s.ecdhParameter(r.bytes("INPUT_U")))
			return valid, same(r.bytes("OUTPUT_U"))(s.derive(m, key, 0))
		},
	}.run(t)
}

// TestRFC3394 has the key wraps, under both numbers of each: RFC 3394, 4, and with padding
// RFC 5649, 6.
func TestRFC3394(t *testing.T) {
	const (
		kek  = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
		data = "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f"
		kek2 = "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8"
	)
	vendor := map[uint]uint{pkcs11.CKM_AES_KEY_WRAP: ckmVendorKW, ckmAESKWP: ckmVendorKWP}
	s := newSession(t)
	for i, v := range []struct {
		mechanism           uint
		kek, plain, wrapped string
	}{
		{pkcs11.CKM_AES_KEY_WRAP, kek[:32], data[:32], "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"},
		{pkcs11.CKM_AES_KEY_WRAP, kek[:48], data[:32], "96778b25ae6ca435f92b5b97c050aed2468ab8a17ad84e5d"},
		{pkcs11.CKM_AES_KEY_WRAP, kek, data[:32], "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7"},
		{pkcs11.CKM_AES_KEY_WRAP, kek[:48], data[:48], "031d33264e15d33268f24ec260743edce1c6c7ddee725a936ba814915c6762d2"},
		{pkcs11.CKM_AES_KEY_WRAP, kek, data[:48], "a8f9bc1612c68b3ff6e6f4fbe30e71e4769c8b80a32cb8958cd5d17d6b254da1"},
		{pkcs11.CKM_AES_KEY_WRAP, kek, data, "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"},
		{ckmAESKWP, kek2, "c37b7e6492584340bed12207808941155068f738", "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"},
		{ckmAESKWP, kek2, "466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			key, err := s.secret(pkcs11.CKK_AES, unhex(t, v.kek), pkcs11.CKA_WRAP, pkcs11.CKA_UNWRAP)
			if err != nil {
				t.Fatal(err)
			}
			for _, number := range []uint{v.mechanism, vendor[v.mechanism]} {
				m := pkcs11.NewMechanism(number, nil)
				if err := same(unhex(t, v.wrapped))(s.wrap(m, key, unhex(t, v.plain))); err != nil {
					t.Errorf("wrapping by %#x: %v", number, err)
				}
				if err := s.unwrap(m, key, unhex(t, v.wrapped), unhex(t, v.plain)); err != nil {
					t.Errorf("unwrapping by %#x: %v", number, err)
				}
			}
		})
	}
}

// TestEd25519Signatures has signatures by those who specified Ed25519; they must come out
// the same. The first ones are those of RFC 8032, 7.1.
func TestEd25519Signatures(t *testing.T) {
	s := newSession(t)
	for _, file := range archive(t, "rfc.zip", "ed25519/sign.input") {
		count := 0
		for line := range strings.Lines(string(file.read(t))) {
			fields := strings.Split(line, ":")
			public, message := unhex(t, fields[1]), unhex(t, fields[2])
			seed, sig := unhex(t, fields[0])[:32], unhex(t, fields[3])[:64]
			if err := s.ed25519(pkcs11.NewMechanism(ckmEdDSA, nil), seed, public, message, sig); err != nil {
				t.Errorf("message of %d bytes: %v", len(message), err)
			}
			count++
		}
		if count == 0 {
			t.Error("no vectors")
		}
		t.Logf("%s: %d signatures", file.name, count)
	}
}

// TestRFC8032 has Ed25519ctx (7.2) and Ed25519ph (7.3), which are one mechanism with a
// parameter.
func TestRFC8032(t *testing.T) {
	const (
		ctxSeed    = "0305334e381af78f141cb666f6199f57bc3495335a256a95bd2a55bf546663f6"
		ctxPublic  = "dfc9425e4f968f7f0c29f0259cf5f9aed6851c2bb4ad8bfb860cfee0ab248292"
		ctxMessage = "f726936d19c800494e3fdaff20b276a8"
	)
	s := newSession(t)
	for _, v := range []struct {
		context                    string
		prehash                    bool
		seed, public, message, sig string
	}{
		{"foo", false, ctxSeed, ctxPublic, ctxMessage,
			"55a4cc2f70a54e04288c5f4cd1e45a7bb520b36292911876cada7323198dd87a8b36950b95130022907a7fb7c4e9b2d5f6cca685a587b4b21f4b888e4e7edb0d"},
		{"", true, "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
			"ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf", "616263",
			"98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"},
	} {
		m := pkcs11.NewMechanism(ckmEdDSA, s.eddsaParameter(v.prehash, []byte(v.context)))
		if err := s.ed25519(m, unhex(t, v.seed), unhex(t, v.public), unhex(t, v.message), unhex(t, v.sig)); err != nil {
			t.Errorf("context %q, prehash %t: %v", v.context, v.prehash, err)
		}
	}
}

// ed25519 signs and verifies, and wants another message not to verify.
func (s *session) ed25519(m *pkcs11.Mechanism, seed, public, message, sig []byte) error {
	params, point := attribute(pkcs11.CKA_EC_PARAMS, []byte(oidEd25519)), ecPoint(public)
	private, err := s.private(ckkEdwards, pkcs11.CKA_SIGN, params, attribute(pkcs11.CKA_VALUE, seed), point)
	if err != nil {
		return err
	}
	if err := same(sig)(s.sign(m, private, message)); err != nil {
		return err
	}
	verifying, err := s.public(ckkEdwards, params, point)
	if err != nil {
		return err
	}
	if err := s.verify(m, verifying, message, sig); err != nil {
		return err
	}
	if err := s.verify(m, verifying, append(slices.Clone(message), 0), sig); err == nil {
		return fmt.Errorf("the signature is good for another message as well")
	}
	return s.forget(0)
}
