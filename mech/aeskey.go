package mech

import (
	"crypto/aes"
	"crypto/cipher"

	"tidelock.dev/tidelock/cryptoki"
)

// The length of an AES key in bytes.
const (
	minAES = 16
	maxAES = 32
)

// aesKeys is the generation of AES keys (PKCS#11 3.2, "AES").
var aesKeys = []Mechanism{{
	Type:     cryptoki.CKM_AES_KEY_GEN,
	Flags:    cryptoki.CKF_GENERATE,
	KeyTypes: []cryptoki.KeyType{cryptoki.CKK_AES},
	MinKey:   minAES,
	MaxKey:   maxAES,
	Shape:    cryptoki.ShapeNone,
	Approved: true,
	Generate: func(m *cryptoki.Mechanism, t cryptoki.Template) (cryptoki.Template, error) {
		n, err := valueLength(t)
		if err != nil {
			return nil, err
		}
		if n != 16 && n != 24 && n != 32 {
			return nil, invalid(cryptoki.CKA_VALUE_LEN, "is not 16, 24 or 32")
		}
		return generateSecret(m, n)
	},
}}

// aesKey is an AES key as its key schedule.
type aesKey struct {
	block cipher.Block
	// gcm is for the usual IV of 96 bits and tag of 128: it holds the hash key of
	// GCM, which costs as much as sealing a short message.
	gcm  cipher.AEAD
	size uint64
}

func (k *aesKey) Type() cryptoki.KeyType { return cryptoki.CKK_AES }

// Size is in bytes.
func (k *aesKey) Size() uint64 { return k.size }

// parseAES reads CKA_VALUE.
func parseAES(a attributes) (*aesKey, error) {
	value, err := a.value(cryptoki.CKA_VALUE)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(value)
	if err != nil {
		return nil, invalid(cryptoki.CKA_VALUE, "is not 16, 24 or 32 bytes long")
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "preparing GCM: %w", err)
	}
	return &aesKey{block, gcm, uint64(len(value))}, nil
}
