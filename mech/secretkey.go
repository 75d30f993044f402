package mech

import (
	"crypto/rand"
	"slices"
	"sync"

	"tidelock.dev/tidelock/cryptoki"
)

// The length of a generic secret in bytes. 512 is the longest HMAC key of the
// field's hardware; a shorter one than 14 bytes may be brought in but is not
// approved (SP 800-131A, 112 bits), so none is generated.
const (
	minGeneric          = 1
	minGenericGenerated = 14
	maxGeneric          = 512
)

// genericSecrets is the generation of generic secrets (PKCS#11 3.2, "Generic secret key").
var genericSecrets = []Mechanism{secretKeyGen(cryptoki.CKM_GENERIC_SECRET_KEY_GEN, cryptoki.CKK_GENERIC_SECRET)}

// secretKeyGen makes secrets of CKA_VALUE_LEN bytes as keys of one type.
func secretKeyGen(t cryptoki.MechanismType, typ cryptoki.KeyType) Mechanism {
	return Mechanism{
		Type:     t,
		Flags:    cryptoki.CKF_GENERATE,
		KeyTypes: []cryptoki.KeyType{typ},
		MinKey:   8 * minGenericGenerated, // bits, which is the unit of these mechanisms
		MaxKey:   8 * maxGeneric,
		Shape:    cryptoki.ShapeNone,
		Approved: true,
		Generate: func(m *cryptoki.Mechanism, t cryptoki.Template) (cryptoki.Template, error) {
			n, err := valueLength(t)
			if err != nil {
				return nil, err
			}
			if n < minGenericGenerated || n > maxGeneric {
				return nil, invalid(cryptoki.CKA_VALUE_LEN, "is not %d to %d", minGenericGenerated, maxGeneric)
			}
			return generateSecret(m, n)
		},
	}
}

// valueLength reads CKA_VALUE_LEN, in bytes.
func valueLength(t cryptoki.Template) (uint64, error) {
	v, ok := t.Find(cryptoki.CKA_VALUE_LEN)
	if !ok {
		return 0, missing(cryptoki.CKA_VALUE_LEN)
	}
	n, ok := cryptoki.ParseULong(v)
	if !ok {
		return 0, invalid(cryptoki.CKA_VALUE_LEN, "is not a CK_ULONG")
	}
	return n, nil
}

// generateSecret makes the value attributes of a random key of n bytes.
func generateSecret(m *cryptoki.Mechanism, n uint64) (cryptoki.Template, error) {
	if err := m.None(); err != nil {
		return nil, err
	}
	value := make([]byte, n)
	rand.Read(value) // never fails: Go ends the program instead
	return cryptoki.Template{
		{Type: cryptoki.CKA_VALUE, Value: value},
		{Type: cryptoki.CKA_VALUE_LEN, Value: cryptoki.ULong(n)},
	}, nil
}

// macKey is a generic secret, or a key of one HMAC.
type macKey struct {
	typ   cryptoki.KeyType
	value []byte
	// states holds *macState that have absorbed the key, for the next operation.
	states sync.Pool
}

func (k *macKey) Type() cryptoki.KeyType { return k.typ }

// Size is in bytes.
func (k *macKey) Size() uint64 { return uint64(len(k.value)) }

// parseGeneric reads CKA_VALUE.
func parseGeneric(typ cryptoki.KeyType, a attributes) (*macKey, error) {
	value, err := a.value(cryptoki.CKA_VALUE)
	if err != nil {
		return nil, err
	}
	if len(value) > maxGeneric {
		return nil, invalid(cryptoki.CKA_VALUE, "is longer than %d bytes", maxGeneric)
	}
	return &macKey{typ: typ, value: slices.Clone(value)}, nil
}
