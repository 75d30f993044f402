package mech

import (
	"crypto/x509"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"tidelock.dev/tidelock/cryptoki"
)

// PublicKeyInfo encodes the public half of a key of a pair, of which either half will do,
// as SubjectPublicKeyInfo (RFC 5280, 4.1.2.7): CKA_PUBLIC_KEY_INFO. Errors:
// CKR_KEY_TYPE_INCONSISTENT for a key of no pair, CKR_CURVE_NOT_SUPPORTED.
func PublicKeyInfo(key Key) ([]byte, error) {
	var public any
	switch k := key.(type) {
	case *rsaKey:
		public = k.public
	case *ecKey:
		return k.publicInfo()
	case *edwardsKey:
		public = k.public
	case *montgomeryKey:
		public = k.public
	default:
		return nil, cryptoki.Errorf(cryptoki.CKR_KEY_TYPE_INCONSISTENT, "a %v has no public half", key.Type())
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_CURVE_NOT_SUPPORTED, "%w", err)
	}
	return der, nil
}

// publicInfo encodes the public half with the curve's identifier (RFC 5480, 2.1.1): package
// x509 does not know all curves.
func (k *ecKey) publicInfo() ([]byte, error) {
	point, err := k.public.point()
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "encoding an EC point: %w", err)
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes([]byte(oidEC))
			b.AddBytes([]byte(k.curve.encodings[0]))
		})
		b.AddASN1BitString(point)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "encoding a public key: %w", err)
	}
	return der, nil
}
