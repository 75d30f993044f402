package mech

import (
	"bytes"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
)

// ecKeyPairs is the generation of EC key pairs (PKCS#11 3.2, 6.3).
var ecKeyPairs = []Mechanism{{
	Type:         cryptoki.CKM_EC_KEY_PAIR_GEN,
	Flags:        cryptoki.CKF_GENERATE_KEY_PAIR | ecFlags,
	KeyTypes:     []cryptoki.KeyType{cryptoki.CKK_EC},
	MinKey:       minEC,
	MaxKey:       maxEC,
	Shape:        cryptoki.ShapeNone,
	Approved:     true,
	GeneratePair: generateEC,
}}

// generateEC makes a key pair on the curve of CKA_EC_PARAMS.
func generateEC(m *cryptoki.Mechanism, public, _ cryptoki.Template) (pub, priv cryptoki.Template, err error) {
	if err := m.None(); err != nil {
		return nil, nil, err
	}
	params, ok := public.Find(cryptoki.CKA_EC_PARAMS)
	if !ok {
		return nil, nil, missing(cryptoki.CKA_EC_PARAMS)
	}
	c, err := curveOf(params)
	if err != nil {
		return nil, nil, err
	}
	key, err := c.generate()
	if err != nil {
		return nil, nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "generating an EC key: %w", err)
	}
	point, err := key.point()
	if err != nil {
		return nil, nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "encoding an EC point: %w", err)
	}
	value, err := key.value()
	if err != nil {
		return nil, nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "encoding an EC key: %w", err)
	}
	pub, priv = curveTemplates(params, point, value)
	return pub, priv, nil
}

// curveTemplates are the value attributes of a key pair on a curve. The curve is
// named as the caller named it, so that the key has what its template says; the
// point is a DER OCTET STRING.
func curveTemplates(params, point, value []byte) (pub, priv cryptoki.Template) {
	pub = cryptoki.Template{
		{Type: cryptoki.CKA_EC_PARAMS, Value: slices.Clone(params)},
		{Type: cryptoki.CKA_EC_POINT, Value: append(appendHeader(nil, tagOctetString, len(point)), point...)},
	}
	priv = cryptoki.Template{
		{Type: cryptoki.CKA_EC_PARAMS, Value: slices.Clone(params)},
		{Type: cryptoki.CKA_VALUE, Value: value},
	}
	return pub, priv
}

// DER tags (X.690, 8).
const (
	tagInteger         = 0x02
	tagOctetString     = 0x04
	tagOID             = 0x06
	tagPrintableString = 0x13
	tagSequence        = 0x30
)

// appendHeader appends the DER identifier and length of n bytes, at most 255.
func appendHeader(der []byte, tag byte, n int) []byte {
	if n > 127 {
		return append(der, tag, 0x81, byte(n))
	}
	return append(der, tag, byte(n))
}

// barePoint returns the size bytes of a point that may stand in a DER OCTET STRING;
// false when there are not as many. A bare point begins like one, and is told apart
// by its length.
func barePoint(v []byte, size int) ([]byte, bool) {
	if len(v) == size {
		return v, true
	}
	point, found := bytes.CutPrefix(v, appendHeader(nil, tagOctetString, size))
	return point, found && len(point) == size
}

// point returns the content of CKA_EC_POINT, size bytes: the value is a DER OCTET
// STRING of it (PKCS#11 3.2, 6.3), but programs also send it bare, as PKCS#11 3.0 has
// it for Edwards and Montgomery curves. nil where the attribute is missing.
func (a attributes) point(size int) ([]byte, error) {
	v := a(cryptoki.CKA_EC_POINT)
	if len(v) == 0 {
		return nil, nil
	}
	point, ok := barePoint(v, size)
	if !ok {
		return nil, invalid(cryptoki.CKA_EC_POINT, "is not an uncompressed point of the curve")
	}
	return point, nil
}

// ecKey is a key of CKK_EC, public or private.
type ecKey struct {
	curve   *curve
	public  ecPublic
	private ecPrivate // nil in a public key
}

func (k *ecKey) Type() cryptoki.KeyType { return cryptoki.CKK_EC }

// Size is that of the curve in bits.
func (k *ecKey) Size() uint64 { return k.curve.bits }

func (k *ecKey) hasPrivate() bool { return k.private != nil }

// parseECPublic reads CKA_EC_PARAMS and CKA_EC_POINT; the point must be on the curve.
func parseECPublic(a attributes) (*ecKey, error) {
	c, err := a.curve()
	if err != nil {
		return nil, err
	}
	point, err := a.point(1 + 2*c.size)
	if err != nil {
		return nil, err
	}
	if point == nil {
		return nil, missing(cryptoki.CKA_EC_POINT)
	}
	key, err := c.parsePublic(point)
	if err != nil {
		return nil, invalid(cryptoki.CKA_EC_POINT, "is not a point of the curve: %w", err)
	}
	return &ecKey{curve: c, public: key}, nil
}

// parseECPrivate reads CKA_EC_PARAMS and CKA_VALUE, a number below the order of the
// curve. A CKA_EC_POINT beside them must be the key's.
func parseECPrivate(a attributes) (*ecKey, error) {
	c, err := a.curve()
	if err != nil {
		return nil, err
	}
	d, err := a.integer(cryptoki.CKA_VALUE, 8*c.size)
	if err != nil {
		return nil, err
	}
	value := d.FillBytes(make([]byte, c.size))
	defer clear(value)
	key, err := c.parsePrivate(value)
	if err != nil {
		return nil, invalid(cryptoki.CKA_VALUE, "is not below the order of the curve and above 0")
	}
	point, err := a.point(1 + 2*c.size)
	if err != nil {
		return nil, err
	}
	if point != nil {
		if own, err := key.point(); err != nil || !bytes.Equal(own, point) {
			return nil, invalid(cryptoki.CKA_EC_POINT, "is not the public key of CKA_VALUE")
		}
	}
	return &ecKey{curve: c, public: key, private: key}, nil
}

// named checks that CKA_EC_PARAMS is one of the encodings of a curve.
func (a attributes) named(encodings []string) error {
	params, err := a.value(cryptoki.CKA_EC_PARAMS)
	if err != nil {
		return err
	}
	return namesCurve(params, encodings)
}

func (a attributes) curve() (*curve, error) {
	params, err := a.value(cryptoki.CKA_EC_PARAMS)
	if err != nil {
		return nil, err
	}
	return curveOf(params)
}
