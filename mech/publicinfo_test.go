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
			if _, err := x509.ParsePKIXPublicKey(public); err != nil {
				t.Error(err)
			}
		})
	}
	_, err := PublicKeyInfo(aesSecret().secret(t, cryptoki.CKK_AES).public)
	if cryptoki.Code(err) != cryptoki.CKR_KEY_TYPE_INCONSISTENT {
		t.Errorf("of a secret key: %v", err)
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
