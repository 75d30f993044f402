package mech

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"tidelock.dev/tidelock/cryptoki"
)

// A SelfTest is a known answer of one mechanism.
type SelfTest struct {
	Name     string
	function Function
	m        cryptoki.Mechanism
	keyType  cryptoki.KeyType
	key      string // hexadecimal; empty for a digest
	data     string
	want     string // hexadecimal
}

// SelfTests are known answers: FIPS 180-4, RFC 4231, and SP 800-38A with a block of padding.
var SelfTests = []SelfTest{
	{
		Name: "SHA-256", function: Digest, m: cryptoki.New(cryptoki.CKM_SHA256), data: "abc",
		want: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	}, {
		Name: "HMAC-SHA-256", function: Sign, m: cryptoki.New(cryptoki.CKM_SHA256_HMAC), keyType: cryptoki.CKK_GENERIC_SECRET,
		key: "4a656665", data: "what do ya want for nothing?",
		want: "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
	}, {
		Name: "AES-CBC with padding", function: Encrypt,
		m:       cryptoki.NewBytes(cryptoki.CKM_AES_CBC_PAD, []byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f")),
		keyType: cryptoki.CKK_AES, key: "2b7e151628aed2a6abf7158809cf4f3c",
		data: "\x6b\xc1\xbe\xe2\x2e\x40\x9f\x96\xe9\x3d\x7e\x11\x73\x93\x17\x2a",
		want: "7649abac8119b246cee98e9b12e9197d8964e0b149c10b7b682e6e39aaeb731c",
	},
}

// Run computes the answer and compares it.
func (s SelfTest) Run() error {
	entry, known := Lookup(s.m.Type)
	if !known {
		return fmt.Errorf("%s: there is no such mechanism", s.Name)
	}
	var key Key
	if s.key != "" {
		value, err := hex.DecodeString(s.key)
		if err != nil {
			return err
		}
		key, err = ParseKey(cryptoki.CKO_SECRET_KEY, s.keyType, func(t cryptoki.AttributeType) []byte {
			if t == cryptoki.CKA_VALUE {
				return value
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	operation, err := entry.Start(s.function, &s.m, key)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	defer operation.Close()
	got, err := operation.Once([]byte(s.data), nil)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	if want, err := hex.DecodeString(s.want); err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("%s: the answer is not the known one", s.Name)
	}
	return nil
}
