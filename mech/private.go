package mech

import (
	"errors"
	"math/big"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"tidelock.dev/tidelock/cryptoki"
)

// maxPrivate bounds the encoding of a private key in bytes: an RSA key of 8192 bits
// has about 4700.
const maxPrivate = 8192

// The algorithms of private keys as OBJECT IDENTIFIER, DER: RFC 8017, A.1; RFC 5480,
// 2.1.1; RFC 8410, 3. Of the last two there is one curve each.
const (
	oidRSA        = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
	oidEC         = "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
	oidEdwards    = "\x06\x03\x2b\x65\x70"
	oidMontgomery = "\x06\x03\x2b\x65\x6e"
)

// The tags of what is optional in a OneAsymmetricKey (RFC 5958, 2) and in an
// ECPrivateKey (RFC 5915, 3).
var (
	tagAttributes = asn1.Tag(0).ContextSpecific().Constructed()
	tagPublicKey  = asn1.Tag(1).ContextSpecific()
	tagParameters = asn1.Tag(0).ContextSpecific().Constructed()
	tagPublicBits = asn1.Tag(1).ContextSpecific().Constructed()
)

// EncodePrivate encodes a private key for wrapping, as PKCS #8 (RFC 5958) without
// attributes and public key. get is that of ParseKey, and so are the errors. The
// caller owns the result and wipes it.
func EncodePrivate(typ cryptoki.KeyType, get func(cryptoki.AttributeType) []byte) ([]byte, error) {
	if _, err := ParseKey(cryptoki.CKO_PRIVATE_KEY, typ, get); err != nil {
		return nil, err
	}
	a := attributes(get)
	b := cryptobyte.NewFixedBuilder(make([]byte, 0, maxPrivate))
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { addAlgorithm(b, typ, a) })
		b.AddASN1(asn1.OCTET_STRING, func(b *cryptobyte.Builder) {
			switch typ {
			case cryptoki.CKK_RSA:
				addRSA(b, a)
			case cryptoki.CKK_EC:
				addEC(b, a)
			default:
				b.AddASN1OctetString(a(cryptoki.CKA_VALUE))
			}
		})
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "encoding a private key: %w", err)
	}
	return der, nil
}

// addAlgorithm writes the content of an AlgorithmIdentifier.
func addAlgorithm(b *cryptobyte.Builder, typ cryptoki.KeyType, a attributes) {
	switch typ {
	case cryptoki.CKK_RSA:
		b.AddBytes([]byte(oidRSA))
		b.AddASN1NULL()
	case cryptoki.CKK_EC:
		b.AddBytes([]byte(oidEC))
		c, err := a.curve()
		if err != nil {
			b.SetError(err)
			return
		}
		b.AddBytes([]byte(c.encodings[0]))
	case cryptoki.CKK_EC_EDWARDS:
		b.AddBytes([]byte(oidEdwards))
	case cryptoki.CKK_EC_MONTGOMERY:
		b.AddBytes([]byte(oidMontgomery))
	}
}

// addRSA writes an RSAPrivateKey (RFC 8017, A.1.2).
func addRSA(b *cryptobyte.Builder, a attributes) {
	key, err := rsaNumbers(a)
	if err != nil {
		b.SetError(err)
		return
	}
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		for _, n := range []*big.Int{
			key.N, big.NewInt(int64(key.E)), key.D, key.Primes[0], key.Primes[1],
			key.Precomputed.Dp, key.Precomputed.Dq, key.Precomputed.Qinv,
		} {
			b.AddASN1BigInt(n)
		}
	})
}

// addEC writes an ECPrivateKey (RFC 5915, 3) without what the algorithm says and
// what follows from the private value.
func addEC(b *cryptobyte.Builder, a attributes) {
	c, err := a.curve()
	if err != nil {
		b.SetError(err)
		return
	}
	d, err := a.integer(cryptoki.CKA_VALUE, 8*c.size)
	if err != nil {
		b.SetError(err)
		return
	}
	value := d.FillBytes(make([]byte, c.size))
	defer clear(value)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1OctetString(value)
	})
}

// DecodePrivate reads what EncodePrivate makes, and PKCS #8 of others: strict DER,
// with or without attributes, which say nothing here, and with or without the public
// key, which must be the key's. It returns the value attributes of the private key,
// which the caller owns and wipes. Every error is CKR_WRAPPED_KEY_INVALID.
func DecodePrivate(der []byte) (cryptoki.KeyType, cryptoki.Template, error) {
	typ, values, point, err := decodePrivate(der)
	if err == nil {
		_, err = ParseKey(cryptoki.CKO_PRIVATE_KEY, typ, func(t cryptoki.AttributeType) []byte {
			if t == cryptoki.CKA_EC_POINT {
				return point
			}
			v, _ := values.Find(t)
			return v
		})
	}
	if err != nil {
		for _, a := range values {
			clear(a.Value)
		}
		return 0, nil, cryptoki.Errorf(cryptoki.CKR_WRAPPED_KEY_INVALID, "the wrapped key is no private key: %w", err)
	}
	return typ, values, nil
}

var (
	errPrivate   = errors.New("it is not PKCS #8 in DER")
	errAlgorithm = errors.New("its algorithm is not supported")
)

// decodePrivate reads the encoding. The point is that of the public key, nil where
// there is none.
func decodePrivate(der []byte) (typ cryptoki.KeyType, values cryptoki.Template, point []byte, err error) {
	if len(der) > maxPrivate {
		return 0, nil, nil, errPrivate
	}
	var info, algorithm, key, public cryptobyte.String
	var version int
	var hasPublic bool
	s := cryptobyte.String(der)
	if !s.ReadASN1(&info, asn1.SEQUENCE) || !s.Empty() ||
		!info.ReadASN1Integer(&version) || version < 0 || version > 1 ||
		!info.ReadASN1(&algorithm, asn1.SEQUENCE) ||
		!info.ReadASN1(&key, asn1.OCTET_STRING) ||
		!info.SkipOptionalASN1(tagAttributes) ||
		!info.ReadOptionalASN1(&public, &hasPublic, tagPublicKey) ||
		hasPublic != (version == 1) || !info.Empty() {
		return 0, nil, nil, errPrivate
	}
	if hasPublic {
		var unused uint8 // bits at the end of the BIT STRING
		if !public.ReadUint8(&unused) || unused != 0 || public.Empty() {
			return 0, nil, nil, errPrivate
		}
	}
	var oid cryptobyte.String
	if !algorithm.ReadASN1Element(&oid, asn1.OBJECT_IDENTIFIER) {
		return 0, nil, nil, errPrivate
	}
	switch string(oid) {
	case oidRSA:
		values, err = readRSA(algorithm, key)
		return cryptoki.CKK_RSA, values, nil, err
	case oidEC:
		values, point, err = readEC(algorithm, key)
		typ = cryptoki.CKK_EC
	case oidEdwards:
		values, err = readCurveKey(oid, algorithm, key)
		typ = cryptoki.CKK_EC_EDWARDS
	case oidMontgomery:
		values, err = readCurveKey(oid, algorithm, key)
		typ = cryptoki.CKK_EC_MONTGOMERY
	default:
		err = errAlgorithm
	}
	if hasPublic {
		point = public
	}
	return typ, values, point, err
}

// readRSA reads an RSAPrivateKey of two primes. The parameters are what follows the
// algorithm's identifier.
func readRSA(parameters, key cryptobyte.String) (cryptoki.Template, error) {
	var null, numbers cryptobyte.String
	var version int
	if !parameters.ReadASN1(&null, asn1.NULL) || !null.Empty() || !parameters.Empty() ||
		!key.ReadASN1(&numbers, asn1.SEQUENCE) || !key.Empty() ||
		!numbers.ReadASN1Integer(&version) || version != 0 {
		return nil, errPrivate
	}
	values := cryptoki.Template{
		{Type: cryptoki.CKA_MODULUS}, {Type: cryptoki.CKA_PUBLIC_EXPONENT}, {Type: cryptoki.CKA_PRIVATE_EXPONENT},
		{Type: cryptoki.CKA_PRIME_1}, {Type: cryptoki.CKA_PRIME_2},
		{Type: cryptoki.CKA_EXPONENT_1}, {Type: cryptoki.CKA_EXPONENT_2}, {Type: cryptoki.CKA_COEFFICIENT},
	}
	for i := range values {
		var number []byte
		if !numbers.ReadASN1Integer(&number) {
			return values, errPrivate
		}
		values[i].Value = slices.Clone(number)
	}
	if !numbers.Empty() {
		return values, errPrivate
	}
	return values, nil
}

// readEC reads an ECPrivateKey and the point in it, nil where there is none.
func readEC(parameters, key cryptobyte.String) (values cryptoki.Template, point []byte, err error) {
	var params, content, d, repeated, public, bits cryptobyte.String
	var version int
	var hasParameters, hasPublic bool
	if !parameters.ReadASN1Element(&params, asn1.OBJECT_IDENTIFIER) || !parameters.Empty() {
		return nil, nil, errPrivate
	}
	c, err := curveOf(params)
	if err != nil {
		return nil, nil, err
	}
	if !key.ReadASN1(&content, asn1.SEQUENCE) || !key.Empty() ||
		!content.ReadASN1Integer(&version) || version != 1 ||
		!content.ReadASN1(&d, asn1.OCTET_STRING) || len(d) != c.size ||
		!content.ReadOptionalASN1(&repeated, &hasParameters, tagParameters) ||
		!content.ReadOptionalASN1(&public, &hasPublic, tagPublicBits) || !content.Empty() {
		return nil, nil, errPrivate
	}
	if hasParameters && !slices.Equal(repeated, params) {
		return nil, nil, errPrivate
	}
	if hasPublic && (!public.ReadASN1(&bits, asn1.BIT_STRING) || !public.Empty() || len(bits) < 2 || bits[0] != 0) {
		return nil, nil, errPrivate
	}
	if hasPublic {
		point = bits[1:]
	}
	return curveValues(params, d), point, nil
}

// readCurveKey reads a CurvePrivateKey (RFC 8410, 7).
func readCurveKey(oid, parameters, key cryptobyte.String) (cryptoki.Template, error) {
	var value cryptobyte.String
	if !parameters.Empty() || !key.ReadASN1(&value, asn1.OCTET_STRING) || !key.Empty() {
		return nil, errPrivate
	}
	return curveValues(oid, value), nil
}

func curveValues(params, value []byte) cryptoki.Template {
	return cryptoki.Template{
		{Type: cryptoki.CKA_EC_PARAMS, Value: slices.Clone(params)},
		{Type: cryptoki.CKA_VALUE, Value: slices.Clone(value)},
	}
}
