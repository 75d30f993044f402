package mech

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"math/big"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
)

// edwardsEncodings are the values of CKA_EC_PARAMS that mean edwards25519, DER: the
// OBJECT IDENTIFIER of RFC 8410, an older one that programs still send, and names, the
// first of them that of PKCS#11 3.2, 6.3.
var edwardsEncodings = []string{
	"\x06\x03\x2b\x65\x70",
	"\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01",
	"\x13\x0cedwards25519",
	"\x13\x07Ed25519",
}

// edwardsBits is the size of the field of edwards25519.
const edwardsBits = 255

// edwardsFlags describe the curve in CK_MECHANISM_INFO.
const edwardsFlags = cryptoki.CKF_EC_F_P | cryptoki.CKF_EC_OID | cryptoki.CKF_EC_CURVENAME

// edwardsKeyPairs is the generation of Ed25519 key pairs (RFC 8032, 5.1.5; PKCS#11
// 3.2, 6.3).
var edwardsKeyPairs = []Mechanism{{
	Type:         cryptoki.CKM_EC_EDWARDS_KEY_PAIR_GEN,
	Flags:        cryptoki.CKF_GENERATE_KEY_PAIR | edwardsFlags,
	KeyTypes:     []cryptoki.KeyType{cryptoki.CKK_EC_EDWARDS},
	MinKey:       edwardsBits,
	MaxKey:       edwardsBits,
	Shape:        cryptoki.ShapeNone,
	Approved:     true,
	GeneratePair: generateEdwards,
}}

// generateEdwards makes a key pair on the curve of CKA_EC_PARAMS.
func generateEdwards(m *cryptoki.Mechanism, public, _ cryptoki.Template) (pub, priv cryptoki.Template, err error) {
	if err := m.None(); err != nil {
		return nil, nil, err
	}
	params, ok := public.Find(cryptoki.CKA_EC_PARAMS)
	if !ok {
		return nil, nil, missing(cryptoki.CKA_EC_PARAMS)
	}
	if err := namesCurve(params, edwardsEncodings); err != nil {
		return nil, nil, err
	}
	point, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "generating an Ed25519 key: %w", err)
	}
	defer clear(key)
	pub, priv = curveTemplates(params, point, key.Seed())
	return pub, priv, nil
}

// edwardsKey is an Ed25519 key, public or private.
type edwardsKey struct {
	public  ed25519.PublicKey
	private ed25519.PrivateKey // nil in a public key
}

func (k *edwardsKey) Type() cryptoki.KeyType { return cryptoki.CKK_EC_EDWARDS }

// Size is that of the curve's field in bits.
func (k *edwardsKey) Size() uint64 { return edwardsBits }

func (k *edwardsKey) hasPrivate() bool { return k.private != nil }

// parseEdwardsPublic reads CKA_EC_PARAMS and CKA_EC_POINT; the point must be on the
// curve and not of small order.
func parseEdwardsPublic(a attributes) (*edwardsKey, error) {
	if err := a.named(edwardsEncodings); err != nil {
		return nil, err
	}
	point, err := a.point(ed25519.PublicKeySize)
	if err != nil {
		return nil, err
	}
	if point == nil {
		return nil, missing(cryptoki.CKA_EC_POINT)
	}
	if !onEdwards25519(point) || smallOnEdwards25519(point) {
		return nil, invalid(cryptoki.CKA_EC_POINT, "is not a point of the curve, or one of small order")
	}
	return &edwardsKey{public: slices.Clone(point)}, nil
}

// parseEdwardsPrivate reads CKA_EC_PARAMS and CKA_VALUE, the 32 bytes that RFC 8032,
// 5.1.5, calls the private key. A CKA_EC_POINT beside them must be the key's.
func parseEdwardsPrivate(a attributes) (*edwardsKey, error) {
	if err := a.named(edwardsEncodings); err != nil {
		return nil, err
	}
	seed, err := a.value(cryptoki.CKA_VALUE)
	if err != nil {
		return nil, err
	}
	if len(seed) != ed25519.SeedSize {
		return nil, invalid(cryptoki.CKA_VALUE, "is not %d bytes long", ed25519.SeedSize)
	}
	point, err := a.point(ed25519.PublicKeySize)
	if err != nil {
		return nil, err
	}
	key := ed25519.NewKeyFromSeed(seed)
	public := key.Public().(ed25519.PublicKey)
	if point != nil && !bytes.Equal(point, public) {
		return nil, invalid(cryptoki.CKA_EC_POINT, "is not the public key of CKA_VALUE")
	}
	return &edwardsKey{public: public, private: key}, nil
}

// edwardsPrime is 2^255 - 19 and edwardsD the curve's d, -121665/121666 (RFC 8032, 5.1).
var (
	edwardsPrime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	edwardsD     = new(big.Int).Mul(big.NewInt(-121665), new(big.Int).ModInverse(big.NewInt(121666), edwardsPrime))
)

// onEdwards25519 tells whether 32 bytes are the encoding of a point of the curve:
// y is reduced, x² = (y²-1)/(dy²+1) is a square, and the sign of x = 0 is not set
// (RFC 8032, 5.1.3). Package ed25519 finds out only when it verifies.
func onEdwards25519(point []byte) bool {
	b := slices.Clone(point)
	slices.Reverse(b)
	sign := b[0] >> 7
	b[0] &= 0x7f
	y := new(big.Int).SetBytes(b)
	if y.Cmp(edwardsPrime) >= 0 {
		return false
	}
	one := big.NewInt(1)
	y2 := new(big.Int).Mul(y, y)
	u := new(big.Int).Sub(y2, one)
	v := y2.Mul(y2, edwardsD)
	v.Add(v, one).Mod(v, edwardsPrime)
	// v is never 0, since -1/d is no square; u·v has the square roots of u/v.
	u.Mul(u, v).Mod(u, edwardsPrime)
	if u.Sign() == 0 {
		return sign == 0
	}
	return big.Jacobi(u, edwardsPrime) == 1
}

// smallOrder are the y of the points whose order divides the cofactor 8, little-endian.
var smallOrder = []string{
	"\x00" + zeros31,
	"\x01" + zeros31,
	"\xec\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
	"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
	"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
}

const zeros31 = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// smallOnEdwards25519 tells whether a point of the curve is of small order: under such a
// public key one signature is good for many messages.
func smallOnEdwards25519(point []byte) bool {
	y := slices.Clone(point)
	y[len(y)-1] &= 0x7f // the sign of x
	return slices.Contains(smallOrder, string(y))
}
