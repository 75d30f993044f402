package mech

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"

	"tidelock.dev/tidelock/cryptoki"
)

// montgomeryEncodings are the values of CKA_EC_PARAMS that mean curve25519, DER: the
// OBJECT IDENTIFIER of RFC 8410, an older one that programs still send, and names, the
// first of them that of PKCS#11 3.2, 6.3. The last is what pkcs11-tool sends for that
// name, with a length that is one too many.
var montgomeryEncodings = []string{
	"\x06\x03\x2b\x65\x6e",
	"\x06\x0a\x2b\x06\x01\x04\x01\x97\x55\x01\x05\x01",
	"\x13\x0acurve25519",
	"\x13\x06X25519",
	"\x13\x0bcurve25519",
}

// montgomeryBits is the size of the field of curve25519.
const montgomeryBits = 255

// montgomerySize is the length of a private key, a public key and a secret in bytes.
const montgomerySize = 32

// montgomeryKeyPairs is the generation of X25519 key pairs (RFC 7748, 6.1; PKCS#11 3.2,
// 6.3).
var montgomeryKeyPairs = []Mechanism{{
	Type:         cryptoki.CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
	Flags:        cryptoki.CKF_GENERATE_KEY_PAIR | edwardsFlags,
	KeyTypes:     []cryptoki.KeyType{cryptoki.CKK_EC_MONTGOMERY},
	MinKey:       montgomeryBits,
	MaxKey:       montgomeryBits,
	Shape:        cryptoki.ShapeNone,
	GeneratePair: generateMontgomery,
}}

// generateMontgomery makes a key pair on the curve of CKA_EC_PARAMS.
func generateMontgomery(m *cryptoki.Mechanism, public, _ cryptoki.Template) (pub, priv cryptoki.Template, err error) {
	if err := m.None(); err != nil {
		return nil, nil, err
	}
	params, ok := public.Find(cryptoki.CKA_EC_PARAMS)
	if !ok {
		return nil, nil, missing(cryptoki.CKA_EC_PARAMS)
	}
	if err := namesCurve(params, montgomeryEncodings); err != nil {
		return nil, nil, err
	}
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "generating an X25519 key: %w", err)
	}
	pub, priv = curveTemplates(params, key.PublicKey().Bytes(), key.Bytes())
	return pub, priv, nil
}

// montgomeryKey is an X25519 key, public or private.
type montgomeryKey struct {
	public  *ecdh.PublicKey
	private *ecdh.PrivateKey // nil in a public key
}

func (k *montgomeryKey) Type() cryptoki.KeyType { return cryptoki.CKK_EC_MONTGOMERY }

// Size is that of the curve's field in bits.
func (k *montgomeryKey) Size() uint64 { return montgomeryBits }

func (k *montgomeryKey) hasPrivate() bool { return k.private != nil }

func (k *montgomeryKey) agree(point []byte) ([]byte, error) {
	bare, ok := barePoint(point, montgomerySize)
	if !ok {
		return nil, errPeer
	}
	return agree(k.private, bare)
}

// parseMontgomeryPublic reads CKA_EC_PARAMS and CKA_EC_POINT. Any 32 bytes are a point
// of the curve or of its twist (RFC 7748, 7); those of small order are refused, since
// they make the same secret with everybody.
func parseMontgomeryPublic(a attributes) (*montgomeryKey, error) {
	if err := a.named(montgomeryEncodings); err != nil {
		return nil, err
	}
	point, err := a.point(montgomerySize)
	if err != nil {
		return nil, err
	}
	if point == nil {
		return nil, missing(cryptoki.CKA_EC_POINT)
	}
	if _, err := agree(montgomeryProbe, point); err != nil {
		return nil, invalid(cryptoki.CKA_EC_POINT, "is a point of small order")
	}
	public, err := ecdh.X25519().NewPublicKey(point)
	if err != nil {
		return nil, invalid(cryptoki.CKA_EC_POINT, "is not %d bytes long", montgomerySize)
	}
	return &montgomeryKey{public: public}, nil
}

// montgomeryProbe is some private key: with a point of small order each of them makes
// the secret 0 (RFC 7748, 6.1).
var montgomeryProbe = func() *ecdh.PrivateKey {
	key, err := ecdh.X25519().NewPrivateKey(make([]byte, montgomerySize))
	if err != nil {
		panic("mech: internal error: " + err.Error())
	}
	return key
}()

// parseMontgomeryPrivate reads CKA_EC_PARAMS and CKA_VALUE, 32 bytes of which some bits
// do not count (RFC 7748, 5). A CKA_EC_POINT beside them must be the key's.
func parseMontgomeryPrivate(a attributes) (*montgomeryKey, error) {
	if err := a.named(montgomeryEncodings); err != nil {
		return nil, err
	}
	value, err := a.value(cryptoki.CKA_VALUE)
	if err != nil {
		return nil, err
	}
	key, err := ecdh.X25519().NewPrivateKey(value)
	if err != nil {
		return nil, invalid(cryptoki.CKA_VALUE, "is not %d bytes long", montgomerySize)
	}
	point, err := a.point(montgomerySize)
	if err != nil {
		return nil, err
	}
	if point != nil && !bytes.Equal(point, key.PublicKey().Bytes()) {
		return nil, invalid(cryptoki.CKA_EC_POINT, "is not the public key of CKA_VALUE")
	}
	return &montgomeryKey{public: key.PublicKey(), private: key}, nil
}
