package mech

import (
	"bytes"
	"math/big"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
)

// ParseKey makes a Key from an object's attributes. get returns an attribute's
// value, secret ones included, or nil; ParseKey copies what it keeps. It checks
// that the parts belong together as far as that is cheap.
//
// The errors are CKR_TEMPLATE_INCOMPLETE for a missing attribute,
// CKR_CURVE_NOT_SUPPORTED, and CKR_ATTRIBUTE_VALUE_INVALID for a value that is
// malformed, out of range or at odds with another one, or for a class and key
// type that mech has no mechanism for.
func ParseKey(class cryptoki.ObjectClass, typ cryptoki.KeyType, get func(cryptoki.AttributeType) []byte) (Key, error) {
	a := attributes(get)
	switch class {
	case cryptoki.CKO_PRIVATE_KEY:
		switch typ {
		case cryptoki.CKK_RSA:
			return parse(parseRSAPrivate(a))
		case cryptoki.CKK_EC:
			return parse(parseECPrivate(a))
		case cryptoki.CKK_EC_EDWARDS:
			return parse(parseEdwardsPrivate(a))
		case cryptoki.CKK_EC_MONTGOMERY:
			return parse(parseMontgomeryPrivate(a))
		}
	case cryptoki.CKO_PUBLIC_KEY:
		switch typ {
		case cryptoki.CKK_RSA:
			return parse(parseRSAPublic(a))
		case cryptoki.CKK_EC:
			return parse(parseECPublic(a))
		case cryptoki.CKK_EC_EDWARDS:
			return parse(parseEdwardsPublic(a))
		case cryptoki.CKK_EC_MONTGOMERY:
			return parse(parseMontgomeryPublic(a))
		}
	case cryptoki.CKO_SECRET_KEY:
		if typ == cryptoki.CKK_AES {
			return parse(parseAES(a))
		}
		if slices.Contains(macKeyTypes, typ) || typ == cryptoki.CKK_HKDF {
			return parse(parseGeneric(typ, a))
		}
	}
	return nil, cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, "no keys of class %d and key type %v", uint64(class), typ)
}

// parse keeps a nil pointer from becoming a Key that is not nil.
func parse[K Key](key K, err error) (Key, error) {
	if err != nil {
		return nil, err
	}
	return key, nil
}

// attributes reads the attributes of a key to be parsed.
type attributes func(cryptoki.AttributeType) []byte

// value returns an attribute that must be there and not be empty.
func (a attributes) value(t cryptoki.AttributeType) ([]byte, error) {
	v := a(t)
	if len(v) == 0 {
		return nil, missing(t)
	}
	return v, nil
}

// integer returns a big-endian number of at most limit bits. Leading zeros are
// allowed: PKCS#11 forbids them in a "Big integer", programs send them.
func (a attributes) integer(t cryptoki.AttributeType, limit int) (*big.Int, error) {
	v, err := a.value(t)
	if err != nil {
		return nil, err
	}
	v = bytes.TrimLeft(v, "\x00")
	if len(v) > (limit+7)/8 {
		return nil, invalid(t, "is longer than %d bits", limit)
	}
	n := new(big.Int).SetBytes(v)
	if n.BitLen() > limit {
		return nil, invalid(t, "is longer than %d bits", limit)
	}
	return n, nil
}
