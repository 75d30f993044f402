package object

import (
	"bytes"
	cipher "crypto/aes"
	"crypto/sha1" // PKCS#11 names it; nothing rests on it

	"tidelock.dev/tidelock/cryptoki"
)

const (
	// checkValueSize is the length of a CKA_CHECK_VALUE, in bytes.
	checkValueSize = 3
	// leastChecked is the shortest secret that has one, in bytes: it would tell too much of
	// a shorter one.
	leastChecked = 14
)

// checkValue is the CKA_CHECK_VALUE of a secret key or a certificate (PKCS#11 3.2, 4.6 and
// 4.10.2): the beginning of what AES makes of a block of zeros, of other keys and of
// certificates that of their SHA-1. Nil for what has none.
func checkValue(k kind, value []byte) []byte {
	switch {
	case k&secretKeys != 0 && len(value) >= leastChecked:
	case k&certificates != 0 && len(value) > 0:
	default:
		return nil
	}
	if k&aes == 0 {
		sum := sha1.Sum(value)
		return sum[:checkValueSize]
	}
	block, err := cipher.NewCipher(value)
	if err != nil {
		return nil // the rules have said what is wrong with the value
	}
	var out [cipher.BlockSize]byte
	block.Encrypt(out[:], out[:])
	return out[:checkValueSize]
}

// measureCheckValue gives a secret key or a certificate its check value, or compares the one that the
// template has; an empty one there means that the key is to have none.
// Errors: CKR_ATTRIBUTE_VALUE_INVALID, CKR_WRAPPED_KEY_INVALID of an unwrapped key.
func (d *draft) measureCheckValue() error {
	value, has := d.attributes[cryptoki.CKA_VALUE]
	if !has || d.rules.kind&(secretKeys|certificates) == 0 {
		return nil
	}
	is := checkValue(d.rules.kind, value)
	switch wish, given := d.attributes[cryptoki.CKA_CHECK_VALUE]; {
	case given && len(wish) == 0:
		delete(d.attributes, cryptoki.CKA_CHECK_VALUE)
	case given && !bytes.Equal(wish, is):
		code := cryptoki.CKR_ATTRIBUTE_VALUE_INVALID
		if d.ctx.Origin == Unwrapped {
			code = cryptoki.CKR_WRAPPED_KEY_INVALID
		}
		return cryptoki.Errorf(code, "CKA_CHECK_VALUE is not that of the %v", d.rules)
	case is != nil:
		d.attributes[cryptoki.CKA_CHECK_VALUE] = is
	}
	return nil
}
