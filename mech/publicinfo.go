package mech

import (
	"crypto/x509"

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
		public = k.public
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
