package mech

import (
	"bytes"
	mathrand "math/rand/v2"
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

func rsaAESMechanism(bits uint64, label string) cryptoki.Mechanism {
	return cryptoki.NewRSAAES(cryptoki.CKM_RSA_AES_KEY_WRAP, cryptoki.RSAAESParameters{AESKeyBits: bits, OAEP: cryptoki.OAEPParameters{
		HashAlg: cryptoki.CKM_SHA256, MGF: cryptoki.CKG_MGF1_SHA256, Source: cryptoki.CKZ_DATA_SPECIFIED, SourceData: []byte(label),
	}})
}

// TestRSAAESKeyWrap wraps keys of many lengths; what is wrapped are the two parts that
// the standard names.
func TestRSAAESKeyWrap(t *testing.T) {
	entry, _ := Lookup(cryptoki.CKM_RSA_AES_KEY_WRAP)
	rsa := rsaPair().pair(t, cryptoki.CKK_RSA)
	oaep := cryptoki.NewOAEP(cryptoki.CKM_RSA_PKCS_OAEP, cryptoki.OAEPParameters{
		HashAlg: cryptoki.CKM_SHA256, MGF: cryptoki.CKG_MGF1_SHA256, Source: cryptoki.CKZ_DATA_SPECIFIED, SourceData: []byte("label"),
	})
	for _, bits := range []uint64{128, 192, 256} {
		m := rsaAESMechanism(bits, "label")
		for _, n := range []int{1, 8, 16, 31, 32, 1200} {
			plain := bytes.Repeat([]byte{7}, n)
			wrapped, err := entry.Wrap(&m, rsa.public, plain)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := entry.Unwrap(&m, rsa.private, wrapped); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d bits, %d bytes: %x, %v", bits, n, got, err)
			}
			temporary := once(t, Decrypt, oaep, rsa.private, wrapped[:256], nil)
			if len(temporary) != int(bits/8) {
				t.Errorf("a temporary key of %d bytes for %d bits", len(temporary), bits)
			}
			kwp := cryptoki.New(cryptoki.CKM_AES_KEY_WRAP_KWP)
			if got := once(t, Decrypt, kwp, secretKeyOf(t, cryptoki.CKK_AES, temporary), wrapped[256:], nil); !bytes.Equal(got, plain) {
				t.Errorf("the second part is %x", got)
			}
			again, err := entry.Wrap(&m, rsa.public, plain)
			if err != nil || bytes.Equal(again, wrapped) || bytes.Equal(again[256:], wrapped[256:]) {
				t.Error("two wraps are the same", err)
			}
		}
	}
}

// TestRSAAESRefuses has changed blobs, which all get one code, and what is wrong before
// any is opened.
func TestRSAAESRefuses(t *testing.T) {
	entry, _ := Lookup(cryptoki.CKM_RSA_AES_KEY_WRAP)
	rsa := rsaPair().pair(t, cryptoki.CKK_RSA)
	m := rsaAESMechanism(256, "label")
	wrapped, err := entry.Wrap(&m, rsa.public, bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	for range 30 {
		_, err := entry.Unwrap(&m, rsa.private, flipped(wrapped, mathrand.IntN(8*len(wrapped))))
		wantCode(t, err, cryptoki.CKR_WRAPPED_KEY_INVALID)
	}
	short, label, null := rsaAESMechanism(128, "label"), rsaAESMechanism(256, "other"), cryptoki.New(cryptoki.CKM_RSA_AES_KEY_WRAP)
	bits, hash := rsaAESMechanism(255, ""), rsaAESMechanism(256, "")
	hash.Fields[1] = 0
	const invalid = cryptoki.CKR_WRAPPED_KEY_INVALID
	for _, c := range []struct {
		name    string
		m       *cryptoki.Mechanism
		key     Key
		wrapped []byte
		code    cryptoki.RV
	}{
		{"good", &m, rsa.private, wrapped, cryptoki.CKR_OK},
		{"an AES key of another length", &short, rsa.private, wrapped, invalid},
		{"another label", &label, rsa.private, wrapped, invalid},
		{"zeros", &m, rsa.private, make([]byte, 296), invalid},
		{"ones", &m, rsa.private, bytes.Repeat([]byte{0xff}, 296), invalid},
		{"second part cut", &m, rsa.private, wrapped[:len(wrapped)-8], invalid},
		{"second part of another", &m, rsa.private, slices.Concat(wrapped[:256], make([]byte, 40)), invalid},
		{"nothing", &m, rsa.private, nil, cryptoki.CKR_WRAPPED_KEY_LEN_RANGE},
		{"first part alone", &m, rsa.private, wrapped[:256], cryptoki.CKR_WRAPPED_KEY_LEN_RANGE},
		{"a semiblock alone", &m, rsa.private, wrapped[:264], cryptoki.CKR_WRAPPED_KEY_LEN_RANGE},
		{"no whole semiblock", &m, rsa.private, wrapped[:len(wrapped)-1], cryptoki.CKR_WRAPPED_KEY_LEN_RANGE},
		{"no parameter", &null, rsa.private, wrapped, cryptoki.CKR_MECHANISM_PARAM_INVALID},
		{"255 bits", &bits, rsa.private, wrapped, cryptoki.CKR_MECHANISM_PARAM_INVALID},
		{"no hash", &hash, rsa.private, wrapped, cryptoki.CKR_MECHANISM_PARAM_INVALID},
		{"public key", &m, rsa.public, wrapped, cryptoki.CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT},
		{"AES key", &m, aesSecret().secret(t, cryptoki.CKK_AES).private, wrapped, cryptoki.CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := entry.Unwrap(c.m, c.key, c.wrapped)
			wantCode(t, err, c.code)
		})
	}
	_, err = entry.Wrap(&m, rsa.public, nil)
	wantCode(t, err, cryptoki.CKR_KEY_SIZE_RANGE)
	_, err = entry.Wrap(&bits, rsa.public, wrapped)
	wantCode(t, err, cryptoki.CKR_MECHANISM_PARAM_INVALID)
	_, err = entry.Wrap(&m, aesSecret().secret(t, cryptoki.CKK_AES).private, wrapped)
	wantCode(t, err, cryptoki.CKR_WRAPPING_KEY_TYPE_INCONSISTENT)
}
