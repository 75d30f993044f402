package mech

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// BenchmarkOperation is Start, Once and Close of each mechanism that applications
// call most, and below "std" the same by the standard library alone.
func BenchmarkOperation(b *testing.B) {
	data := make([]byte, 1024)
	digest := sha256.Sum256(data)
	r, e, ed := rsaPairBy(b, "go"), p256Pair().pair(b, cryptoki.CKK_EC), edwardsPair().pair(b, cryptoki.CKK_EC_EDWARDS)
	aes, generic := aesSecret().secret(b, cryptoki.CKK_AES).private, genericKey().secret(b, cryptoki.CKK_GENERIC_SECRET).private
	gcm := cryptoki.NewGCM(cryptoki.CKM_AES_GCM, cryptoki.GCMParameters{IV: make([]byte, 12), TagBits: 128})
	type operation struct {
		name string
		f    Function
		m    cryptoki.Mechanism
		key  Key
		data []byte
	}
	operations := []operation{
		{"ECDSA", Sign, cryptoki.New(cryptoki.CKM_ECDSA), e.private, digest[:]},
		{"ECDSA_SHA256", Sign, cryptoki.New(cryptoki.CKM_ECDSA_SHA256), e.private, data},
		{"RSA", Sign, cryptoki.New(cryptoki.CKM_SHA256_RSA_PKCS), r.private, data},
		{"Ed25519", Sign, cryptoki.New(cryptoki.CKM_EDDSA), ed.private, data},
		{"HMAC", Sign, cryptoki.New(cryptoki.CKM_SHA256_HMAC), generic, data},
		{"GCM", Encrypt, gcm, aes, data},
		{"CBC", Encrypt, cryptoki.NewBytes(cryptoki.CKM_AES_CBC_PAD, make([]byte, 16)), aes, data},
		{"SHA256", Digest, cryptoki.New(cryptoki.CKM_SHA256), nil, data},
	}
	if slices.Contains(rsaProviders(b), "libcrypto") {
		key := rsaPairBy(b, "libcrypto").private
		operations = append(operations, operation{"RSA-libcrypto", Sign, cryptoki.New(cryptoki.CKM_SHA256_RSA_PKCS), key, data})
	}
	for _, c := range operations {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			entry, _ := Lookup(c.m.Type)
			for b.Loop() {
				op, err := entry.Start(c.f, &c.m, c.key)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := op.Once(c.data, nil); err != nil {
					b.Fatal(err)
				}
				op.Close()
			}
		})
	}
	b.Run("std/ECDSA", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ecdsa.SignASN1(rand.Reader, e.private.(*ecKey).private.(nistPrivate).key, digest[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("std/RSA", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			digest := sha256.Sum256(data)
			if _, err := rsa.SignPKCS1v15(nil, rsaStandard(b), crypto.SHA256, digest[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("std/Ed25519", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ed.private.(*edwardsKey).private.Sign(nil, data, crypto.Hash(0)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("std/GCM", func(b *testing.B) {
		b.ReportAllocs()
		nonce := make([]byte, 12)
		for b.Loop() {
			aes.(*aesKey).gcm.Seal(make([]byte, 0, len(data)+16), nonce, data, nil)
		}
	})
}

// BenchmarkParseKey is what the first use of an object costs.
func BenchmarkParseKey(b *testing.B) {
	for _, c := range []struct {
		name  string
		class cryptoki.ObjectClass
		typ   cryptoki.KeyType
		pair  fixture
	}{
		{"RSA", cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_RSA, rsaPair()},
		{"P-256", cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_EC, p256Pair()},
		{"Ed25519", cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_EC_EDWARDS, edwardsPair()},
		{"AES", cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES, aesSecret()},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mustParse(b, c.class, c.typ, c.pair.private)
			}
		})
	}
}
