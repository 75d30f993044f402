package mech

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"

	"tidelock.dev/tidelock/cryptoki"
)

// A SelfTest is a known answer of one mechanism.
type SelfTest struct {
	Name string
	m    cryptoki.Mechanism
	// function is what the mechanism is used for; 0 to derive a key. What is encrypted
	// is also decrypted.
	function Function
	// key is the value of a secret key of type keyType or, where that is 0, a private
	// key as PKCS #8; hexadecimal. Empty for a digest.
	keyType cryptoki.KeyType
	key     string
	data    string
	// want is the answer, or the signature to verify; hexadecimal. Of a signature that
	// is never the same twice it is empty: it is made and verified.
	want string
}

// SelfTests are known answers of all that the HSM protects keys with, from the
// standards that they name.
var SelfTests = []SelfTest{
	{
		Name: "SHA-256 (FIPS 180-4)", function: Digest, m: cryptoki.New(cryptoki.CKM_SHA256), data: "abc",
		want: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	}, {
		Name: "SHA3-256 (FIPS 202)", function: Digest, m: cryptoki.New(cryptoki.CKM_SHA3_256), data: "abc",
		want: "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
	}, {
		Name: "HMAC-SHA-256 (RFC 4231)", function: Sign, m: cryptoki.New(cryptoki.CKM_SHA256_HMAC),
		keyType: cryptoki.CKK_GENERIC_SECRET, key: "4a656665", data: "what do ya want for nothing?",
		want: "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
	}, {
		Name: "AES-CBC with padding (SP 800-38A)", function: Encrypt,
		m:       cryptoki.NewBytes(cryptoki.CKM_AES_CBC_PAD, []byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f")),
		keyType: cryptoki.CKK_AES, key: "2b7e151628aed2a6abf7158809cf4f3c",
		data: "\x6b\xc1\xbe\xe2\x2e\x40\x9f\x96\xe9\x3d\x7e\x11\x73\x93\x17\x2a",
		want: "7649abac8119b246cee98e9b12e9197d8964e0b149c10b7b682e6e39aaeb731c",
	}, {
		Name: "AES-GCM (SP 800-38D)", function: Encrypt,
		m:       cryptoki.NewGCM(cryptoki.CKM_AES_GCM, cryptoki.GCMParameters{IV: make([]byte, 12), TagBits: 128}),
		keyType: cryptoki.CKK_AES, key: "00000000000000000000000000000000", data: string(make([]byte, 16)),
		want: "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf",
	}, {
		Name: "AES key wrap (RFC 3394)", function: Encrypt, m: cryptoki.New(cryptoki.CKM_AES_KEY_WRAP),
		keyType: cryptoki.CKK_AES, key: "000102030405060708090a0b0c0d0e0f",
		data: "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff",
		want: "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5",
	}, {
		Name: "AES-CMAC (SP 800-38B)", function: Sign, m: cryptoki.New(cryptoki.CKM_AES_CMAC),
		keyType: cryptoki.CKK_AES, key: "2b7e151628aed2a6abf7158809cf4f3c",
		data: "\x6b\xc1\xbe\xe2\x2e\x40\x9f\x96\xe9\x3d\x7e\x11\x73\x93\x17\x2a",
		want: "070a16b46b4d4144f79bdd9dd04a287c",
	}, {
		Name: "RSA signature", function: Sign, m: cryptoki.New(cryptoki.CKM_SHA256_RSA_PKCS),
		key: selfTestRSA, data: "abc", want: selfTestRSASignature,
	}, {
		Name: "RSA verification", function: Verify, m: cryptoki.New(cryptoki.CKM_SHA256_RSA_PKCS),
		key: selfTestRSA, data: "abc", want: selfTestRSASignature,
	}, {
		Name: "ECDSA verification (RFC 6979)", function: Verify, m: cryptoki.New(cryptoki.CKM_ECDSA_SHA256),
		key: p256Prefix + "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721", data: "sample",
		want: "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
	}, {
		Name: "ECDSA signature", function: Sign, m: cryptoki.New(cryptoki.CKM_ECDSA_SHA256),
		key: p256Prefix + "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721", data: "sample",
	}, {
		Name: "ECDSA verification on secp256k1", function: Verify, m: cryptoki.New(cryptoki.CKM_ECDSA_SHA256),
		key: k256Prefix + "f8b8af8ce3c7cca5e300d33939540c10d45ce001b8f252bfbc57ba0342904181", data: "Alan Turing",
		want: "7063ae83e7f62bbb171798131b4a0564b956930092b33b07b395615d9ec7e15c58dfcc1e00a35e1572f366ffe34ba0fc47db1e7189759b9fb233c5b05ab388ea",
	}, {
		Name: "ECDSA signature on secp256k1", function: Sign, m: cryptoki.New(cryptoki.CKM_ECDSA_SHA256),
		key: k256Prefix + "f8b8af8ce3c7cca5e300d33939540c10d45ce001b8f252bfbc57ba0342904181", data: "Alan Turing",
	}, {
		Name: "Ed25519 signature (RFC 8032)", function: Sign, m: cryptoki.New(cryptoki.CKM_EDDSA),
		key: ed25519Prefix + "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", data: "\x72",
		want: "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
	}, {
		Name: "Ed25519 verification (RFC 8032)", function: Verify, m: cryptoki.New(cryptoki.CKM_EDDSA),
		key: ed25519Prefix + "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", data: "\x72",
		want: "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
	}, {
		Name: "ECDH on P-256 (SP 800-56A)",
		m: cryptoki.NewECDH1(cryptoki.CKM_ECDH1_DERIVE, cryptoki.ECDH1Parameters{KDF: cryptoki.CKD_NULL, PublicData: known(
			"04700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac")}),
		key:  p256Prefix + "7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534",
		want: "46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b",
	}, {
		Name: "ECDH on secp256k1",
		m: cryptoki.NewECDH1(cryptoki.CKM_ECDH1_DERIVE, cryptoki.ECDH1Parameters{KDF: cryptoki.CKD_NULL, PublicData: known(
			"04d8096af8a11e0b80037e1ee68246b5dcbb0aeb1cf1244fd767db80f3fa27da2b396812ea1686e7472e9692eaf3e958e50e9500d3b4c77243db1f2acd67ba9cc4")}),
		key:  k256Prefix + "f4b7ff7cccc98813a69fae3df222bfe3f4e28f764bf91b4a10d8096ce446b254",
		want: "544dfae22af6af939042b1d85b71a1e49e9a5614123c4d6ad0c8af65baf87d65",
	}, {
		Name: "X25519 (RFC 7748)",
		m: cryptoki.NewECDH1(cryptoki.CKM_ECDH1_DERIVE, cryptoki.ECDH1Parameters{KDF: cryptoki.CKD_NULL, PublicData: known(
			"de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")}),
		key:  x25519Prefix + "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
		want: "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
	}, {
		Name: "HKDF (RFC 5869)",
		m: cryptoki.NewHKDF(cryptoki.CKM_HKDF_DERIVE, cryptoki.HKDFParameters{
			Extract: true, Expand: true, HashAlg: cryptoki.CKM_SHA256, SaltType: cryptoki.CKF_HKDF_SALT_DATA,
			Salt: known("000102030405060708090a0b0c"), Info: known("f0f1f2f3f4f5f6f7f8f9"),
		}),
		keyType: cryptoki.CKK_GENERIC_SECRET, key: "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
		want: "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
	}, {
		Name: "counter KDF (SP 800-108)",
		m: cryptoki.NewKDF(cryptoki.CKM_SP800_108_COUNTER_KDF, cryptoki.KDFParameters{PRF: cryptoki.CKM_AES_CMAC, Data: []cryptoki.PRFDataParameters{
			{Type: cryptoki.CK_SP800_108_ITERATION_VARIABLE, Value: known("00000000000000000800000000000000")},
			{Type: cryptoki.CK_SP800_108_BYTE_ARRAY, Value: known(
				"c16e6e02c5a3dcc8d78b9ac1306877761310455b4e41469951d9e6c2245a064b33fd8c3b01203a7824485bf0a64060c4648b707d2607935699316ea5")},
		}}),
		keyType: cryptoki.CKK_AES, key: "dff1e50ac0b69dc40f1051d46c2b069c",
		want: "8be8f0869b3c0ba97b71863d1b9f7813",
	},
}

// known decodes the hexadecimal digits of a table.
func known(digits string) []byte {
	b, err := hex.DecodeString(digits)
	if err != nil {
		panic("mech: internal error: " + err.Error())
	}
	return b
}

var errAnswer = errors.New("the answer is not the known one")

// Run computes the answer and compares it.
func (s SelfTest) Run() error {
	if err := s.run(); err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	return nil
}

func (s SelfTest) run() error {
	entry, found := Lookup(s.m.Type)
	if !found {
		return errors.New("there is no such mechanism")
	}
	key, err := s.parseKey()
	if err != nil {
		return err
	}
	data, want := []byte(s.data), known(s.want)
	var got []byte
	switch s.function {
	case 0:
		got, err = entry.Derive(&s.m, key, len(want))
	case Verify:
		_, err = s.operate(entry, Verify, key, data, want)
		return err
	default:
		got, err = s.operate(entry, s.function, key, data, nil)
	}
	if err != nil {
		return err
	}
	if s.want == "" {
		_, err = s.operate(entry, Verify, key, data, got)
		return err
	}
	if !bytes.Equal(got, want) {
		return errAnswer
	}
	if s.function == Encrypt {
		back, err := s.operate(entry, Decrypt, key, got, nil)
		if err != nil {
			return err
		}
		if !bytes.Equal(back, data) {
			return errAnswer
		}
	}
	return nil
}

func (s SelfTest) operate(entry *Mechanism, f Function, key Key, data, sig []byte) ([]byte, error) {
	operation, err := entry.Start(f, &s.m, key)
	if err != nil {
		return nil, err
	}
	defer operation.Close()
	return operation.Once(data, sig)
}

func (s SelfTest) parseKey() (Key, error) {
	if s.key == "" {
		return nil, nil
	}
	class, typ := cryptoki.CKO_SECRET_KEY, s.keyType
	values := cryptoki.Template{{Type: cryptoki.CKA_VALUE, Value: known(s.key)}}
	if typ == 0 {
		var err error
		if typ, values, err = DecodePrivate(known(s.key)); err != nil {
			return nil, err
		}
		class = cryptoki.CKO_PRIVATE_KEY
	}
	return ParseKey(class, typ, func(t cryptoki.AttributeType) []byte {
		v, _ := values.Find(t)
		return v
	})
}
