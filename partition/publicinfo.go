package partition

import (
	"bytes"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/object"
)

// publicKeyInfo is the CKA_PUBLIC_KEY_INFO of a key of a pair (PKCS#11 3.2, 4.8 and 4.9).
func publicKeyInfo(r *resident) ([]byte, object.Status) {
	if !ofPair(r.object) {
		return nil, object.Absent
	}
	key, err := r.parsedKey()
	if err != nil {
		return nil, object.Absent
	}
	info, err := mech.PublicKeyInfo(key)
	if err != nil {
		return nil, object.Absent
	}
	return info, object.Present
}

// ofPair tells whether an object is a half of a key pair.
func ofPair(o *object.Object) bool {
	return o.Class() == cryptoki.CKO_PUBLIC_KEY || o.Class() == cryptoki.CKO_PRIVATE_KEY
}

// checkPublicKeyInfo compares what a template for a key of a pair says of its public half
// with the key (PKCS#11 3.2, 4.9). An empty value says nothing.
// Error: CKR_ATTRIBUTE_VALUE_INVALID.
func checkPublicKeyInfo(r *resident, t cryptoki.Template) error {
	said, _ := t.Find(cryptoki.CKA_PUBLIC_KEY_INFO)
	if len(said) == 0 || !ofPair(r.object) {
		return nil
	}
	if info, status := publicKeyInfo(r); status != object.Present || !bytes.Equal(info, said) {
		return cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, "CKA_PUBLIC_KEY_INFO is not that of the key")
	}
	return nil
}
