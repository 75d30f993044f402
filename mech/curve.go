package mech

import (
	"crypto/elliptic"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secp256k1"
)

// curve is a named curve of CKK_EC.
type curve struct {
	arithmetic
	// encodings are the values of CKA_EC_PARAMS that mean the curve, DER: its
	// OBJECT IDENTIFIER, and its names as PrintableString (PKCS#11 3.2, 6.3).
	encodings []string
	// size is the length of a coordinate, and of the order, in bytes.
	size int
	// bits is the size of a key, that of the field.
	bits uint64
	// approved says that it is a curve of FIPS 186-5 and SP 800-56A (SP 800-186, 3.2.1).
	approved bool
}

// arithmetic computes on a curve. Points are uncompressed; private keys, coordinates and
// halves of signatures are as long as the curve's size, big-endian.
type arithmetic interface {
	generate() (ecPrivate, error)
	// parsePrivate reads a private key, parsePublic a point. An error means that it is none.
	parsePrivate(value []byte) (ecPrivate, error)
	parsePublic(point []byte) (ecPublic, error)
}

// ecPublic is a point of a curve.
type ecPublic interface {
	point() ([]byte, error)
	// verify tells whether a signature is that of a digest.
	verify(digest, sig []byte) bool
}

// ecPrivate is a private key of a curve.
type ecPrivate interface {
	ecPublic
	// value gives the private key, which the caller owns and wipes.
	value() ([]byte, error)
	sign(digest []byte) ([]byte, error)
	// agree computes the secret with a point, which the caller owns and wipes. A
	// point that is none gets errPeer.
	agree(point []byte) ([]byte, error)
}

// curves are the curves of CKK_EC, with the identifiers of RFC 5480, 2.1.1.1, and of SEC 2,
// A.2.1.
var curves = []*curve{
	{nistCurve{elliptic.P256()}, []string{"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", "\x13\x09secp256r1", "\x13\x0aprime256v1", "\x13\x05P-256"}, 32, 256, true},
	{nistCurve{elliptic.P384()}, []string{"\x06\x05\x2b\x81\x04\x00\x22", "\x13\x09secp384r1", "\x13\x05P-384"}, 48, 384, true},
	{nistCurve{elliptic.P521()}, []string{"\x06\x05\x2b\x81\x04\x00\x23", "\x13\x09secp521r1", "\x13\x05P-521"}, 66, 521, true},
	{koblitzCurve{}, []string{"\x06\x05\x2b\x81\x04\x00\x0a", "\x13\x09secp256k1"}, secp256k1.Size, 256, false},
}

// The curve sizes, in bits.
const (
	minEC = 256
	maxEC = 521
)

// ecFlags describe the curves in CK_MECHANISM_INFO.
const ecFlags = cryptoki.CKF_EC_F_P | cryptoki.CKF_EC_OID | cryptoki.CKF_EC_CURVENAME | cryptoki.CKF_EC_UNCOMPRESS

// curveOf finds the curve that a value of CKA_EC_PARAMS means.
func curveOf(params []byte) (*curve, error) {
	for _, c := range curves {
		if slices.Contains(c.encodings, string(params)) {
			return c, nil
		}
	}
	return nil, noCurve(params)
}

// namesCurve checks that a value of CKA_EC_PARAMS is one of the encodings of a curve.
func namesCurve(params []byte, encodings []string) error {
	if !slices.Contains(encodings, string(params)) {
		return noCurve(params)
	}
	return nil
}

// noCurve is the error for parameters that mean no offered curve: one code for
// curves that could be, another for bytes that are no parameters.
func noCurve(params []byte) error {
	if len(params) < 2 {
		return invalid(cryptoki.CKA_EC_PARAMS, "is not DER")
	}
	switch params[0] {
	case tagOID, tagPrintableString:
		if int(params[1]) != len(params)-2 {
			return invalid(cryptoki.CKA_EC_PARAMS, "is not DER")
		}
		return cryptoki.Errorf(cryptoki.CKR_CURVE_NOT_SUPPORTED, "curve %x", params)
	case tagSequence:
		return cryptoki.Errorf(cryptoki.CKR_CURVE_NOT_SUPPORTED, "explicit curve parameters")
	}
	return invalid(cryptoki.CKA_EC_PARAMS, "is neither an object identifier nor a curve name")
}

// ApprovedCurve checks that a value of CKA_EC_PARAMS, if it means a curve of CKK_EC at
// all, means one of FIPS 186-5. Error: CKR_CURVE_NOT_SUPPORTED.
func ApprovedCurve(params []byte) error {
	if c, err := curveOf(params); err == nil && !c.approved {
		return cryptoki.Errorf(cryptoki.CKR_CURVE_NOT_SUPPORTED, "curve %x is not among those of FIPS 186-5; P-256, P-384 and P-521 are", params)
	}
	return nil
}

// ApprovedKey tells whether a service with a key can be an approved one as far as the
// key's curve goes: X25519 is not among those of SP 800-56A, secp256k1 is among those of no
// standard for FIPS 140-3.
func ApprovedKey(key Key) bool {
	switch k := key.(type) {
	case *ecKey:
		return k.curve.approved
	case *montgomeryKey:
		return false
	}
	return true
}
