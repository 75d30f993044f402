package attack

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"
)

var oidSecp256k1 = []byte{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a}

const (
	// Numbers of secp256k1 (SEC 2, 2.4.1), the coordinates those of its base point, and 1.
	koblitzOrder = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
	koblitzPrime = "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f"
	one          = "0000000000000000000000000000000000000000000000000000000000000001"
	koblitzX     = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
	koblitzY     = "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// koblitzPoints are what an attacker sends for a point of secp256k1, to learn a private
// key modulo the order of something small.
func koblitzPoints(t *testing.T) map[string][]byte {
	point := func(x, y string) []byte { return append([]byte{4}, unhex(t, x+y)...) }
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := p256.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	good := point(koblitzX, koblitzY)
	return map[string][]byte{
		"infinity":                {0},
		"infinity at full length": make([]byte, 65),
		"zeros":                   append([]byte{4}, make([]byte, 64)...),
		"ones":                    append([]byte{4}, bytes.Repeat([]byte{0xff}, 64)...),
		"off the curve":           point(koblitzX, koblitzX),
		"a point of the twist":    point(one[:62]+"02", one),
		"a point of y² = x³ + 2":  point(one[:62]+"03", "d4f81aab1a2b90cfb7565e8a4c456b5a5e7d6d2b9542846dfd7e571e400d8b3a"),
		"a point of P-256":        other,
		"x of the prime":          point(koblitzPrime, koblitzY),
		"compressed":              append([]byte{2}, good[1:33]...),
		"compressed garbage":      append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...),
		"hybrid":                  append([]byte{6}, good[1:]...),
		"a byte less":             good[:64],
		"a byte more":             append(bytes.Clone(good), 0),
	}
}

// A37 on secp256k1: one code for every bad point, whatever is wrong with it.
func TestKoblitzPoints(t *testing.T) {
	attack(t, func(t *testing.T, l *lab) {
		public, base, err := l.GenerateKeyPair(l.session, mechanism(pkcs11.CKM_EC_KEY_PAIR_GEN),
			attributes(pkcs11.CKA_EC_PARAMS, oidSecp256k1), attributes(pkcs11.CKA_DERIVE, true, pkcs11.CKA_SENSITIVE, true))
		l.made(t, public, err)
		l.made(t, base, err)
		if err != nil {
			return
		}
		ec := attributes(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY, pkcs11.CKA_KEY_TYPE, pkcs11.CKK_EC, pkcs11.CKA_EC_PARAMS, oidSecp256k1)
		secret := attributes(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY, pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES, pkcs11.CKA_VALUE_LEN, 32)
		for name, point := range koblitzPoints(t) {
			for _, m := range []uint{pkcs11.CKM_ECDH1_DERIVE, pkcs11.CKM_ECDH1_COFACTOR_DERIVE} {
				h, err := l.DeriveKey(l.session, mechanism(m, pkcs11.NewECDH1DeriveParams(pkcs11.CKD_SHA256_KDF, nil, point)), base, secret)
				refused(t, "agreeing with "+name, err, pkcs11.CKR_MECHANISM_PARAM_INVALID)
				if err == nil {
					l.drop(h)
				}
			}
			h, err := l.CreateObject(l.session, with(ec, pkcs11.CKA_EC_POINT, append([]byte{4, byte(len(point))}, point...)))
			refused(t, "a public key of "+name, err, pkcs11.CKR_ATTRIBUTE_VALUE_INVALID)
			if err == nil {
				l.drop(h)
			}
		}
	})
}

// Private keys at the ends of the range, and beyond: what is taken signs.
func TestKoblitzScalars(t *testing.T) {
	attack(t, func(t *testing.T, l *lab) {
		key := attributes(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY, pkcs11.CKA_KEY_TYPE, pkcs11.CKK_EC, pkcs11.CKA_EC_PARAMS, oidSecp256k1, pkcs11.CKA_SIGN, true)
		for name, c := range map[string]struct {
			value string
			good  bool
		}{
			"0":                {one[:62] + "00", false},
			"1":                {one, true},
			"order less 1":     {koblitzOrder[:62] + "40", true},
			"order":            {koblitzOrder, false},
			"order and 1":      {koblitzOrder[:62] + "42", false},
			"ones":             {strings.Repeat("ff", 32), false},
			"longer by a byte": {"01" + one, false},
		} {
			h, err := l.CreateObject(l.session, with(key, pkcs11.CKA_VALUE, unhex(t, c.value)))
			if !c.good {
				refused(t, "a private key of "+name, err, pkcs11.CKR_ATTRIBUTE_VALUE_INVALID)
			}
			if err != nil {
				if c.good {
					t.Errorf("a private key of %s: %v", name, err)
				}
				continue
			}
			sig, err := l.sign(pkcs11.CKM_ECDSA, h, make([]byte, 32))
			if err != nil || len(sig) != 64 || bytes.Equal(sig[:32], make([]byte, 32)) || bytes.Equal(sig[32:], make([]byte, 32)) {
				t.Errorf("signing with %s: %x, %v", name, sig, err)
			}
			l.drop(h)
		}
	})
}
