package mech

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

func TestPublicKeyInfo(t *testing.T) {
	for name, c := range map[string]struct {
		pair fixture
		typ  cryptoki.KeyType
	}{
		"RSA": {rsaPair(), cryptoki.CKK_RSA}, "P-256": {p256Pair(), cryptoki.CKK_EC}, "P-521": {p521Pair(), cryptoki.CKK_EC},
		"Ed25519": {edwardsPair(), cryptoki.CKK_EC_EDWARDS}, "X25519": {x25519Pair(), cryptoki.CKK_EC_MONTGOMERY},
	} {
		t.Run(name, func(t *testing.T) {
			pair := c.pair.pair(t, c.typ)
			public, err := PublicKeyInfo(pair.public)
			if err != nil {
				t.Fatal(err)
			}
			private, err := PublicKeyInfo(pair.private)
			if err != nil || !bytes.Equal(public, private) {
				t.Errorf("the private half tells %x: %v", private, err)
			}
			theirs, err := x509.ParsePKIXPublicKey(public)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := x509.MarshalPKIXPublicKey(theirs); err != nil || !bytes.Equal(again, public) {
				t.Errorf("package x509 encodes it as %x: %v", again, err)
			}
		})
	}
	_, err := PublicKeyInfo(aesSecret().secret(t, cryptoki.CKK_AES).public)
	if cryptoki.Code(err) != cryptoki.CKR_KEY_TYPE_INCONSISTENT {
		t.Errorf("of a secret key: %v", err)
	}
}

// Package x509 does not know secp256k1: the curve's base point as OpenSSL 3.0 encodes it.
func TestPublicKeyInfoOfKoblitz(t *testing.T) {
	const point = "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
	want := unhex(t, "3056301006072a8648ce3d020106052b8104000a034200"+point)
	for _, params := range []string{string(oidK256), "\x13\x09secp256k1"} {
		key := mustParse(t, cryptoki.CKO_PUBLIC_KEY, cryptoki.CKK_EC, cryptoki.Template{
			attribute(cryptoki.CKA_EC_PARAMS, []byte(params)), attribute(cryptoki.CKA_EC_POINT, unhex(t, point)),
		})
		if got, err := PublicKeyInfo(key); err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %x: %v", got, err)
		}
	}
}

// The example of RFC 8410, 10.1.
func TestPublicKeyInfoOfTheStandard(t *testing.T) {
	point, _ := hex.DecodeString("19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1")
	want, _ := hex.DecodeString("302a300506032b6570032100" + "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1")
	key := mustParse(t, cryptoki.CKO_PUBLIC_KEY, cryptoki.CKK_EC_EDWARDS, cryptoki.Template{
		attribute(cryptoki.CKA_EC_PARAMS, oidEd25519), attribute(cryptoki.CKA_EC_POINT, append([]byte{4, 32}, point...)),
	})
	got, err := PublicKeyInfo(key)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %x: %v", got, err)
	}
}
