package object

import "tidelock.dev/tidelock/cryptoki"

// MayWrap decides whether the key may wrap another one, as far as their attributes
// tell. A sensitive key is wrapped only by a key whose value nobody outside can know
// and that no other way makes a decrypting one: a secret key that was generated here and
// never was extractable, or one that the SO has marked CKA_TRUSTED. A public key tells
// nothing of what its private half may do, so it is always for the SO to trust.
//
// Errors: CKR_KEY_UNEXTRACTABLE, CKR_KEY_NOT_WRAPPABLE.
func (o *Object) MayWrap(key *Object) error {
	if !key.Bool(cryptoki.CKA_EXTRACTABLE) {
		return cryptoki.Errorf(cryptoki.CKR_KEY_UNEXTRACTABLE, "the key's CKA_EXTRACTABLE is false")
	}
	trusted := o.Bool(cryptoki.CKA_TRUSTED)
	if key.Bool(cryptoki.CKA_WRAP_WITH_TRUSTED) && !trusted {
		return notWrappable("the key is CKA_WRAP_WITH_TRUSTED, and the wrapping key is not CKA_TRUSTED")
	}
	if !key.Matches(o.inner(cryptoki.CKA_WRAP_TEMPLATE)) {
		return notWrappable("the key does not match the wrapping key's CKA_WRAP_TEMPLATE")
	}
	if !key.Bool(cryptoki.CKA_SENSITIVE) {
		return nil
	}
	switch {
	case o.Tainted(cryptoki.CKA_WRAP):
		return notWrappable("the key is sensitive, and the wrapping key may decrypt or could once")
	case trusted:
		return nil
	case o.rules.kind&publicKeys != 0:
		return notWrappable("the key is sensitive, and the wrapping key is a public one that is not CKA_TRUSTED")
	case !o.Bool(cryptoki.CKA_LOCAL):
		return notWrappable("the key is sensitive, and the wrapping key was not generated here and is not CKA_TRUSTED")
	case !o.Bool(cryptoki.CKA_NEVER_EXTRACTABLE):
		return notWrappable("the key is sensitive, and the wrapping key was extractable and is not CKA_TRUSTED")
	}
	return nil
}

func notWrappable(why string) error {
	return cryptoki.Errorf(cryptoki.CKR_KEY_NOT_WRAPPABLE, "%s", why)
}

// Tainted says that the key has or had a purpose that conflicts with the one that
// attribute t stands for: what it wraps could be decrypted, what it unwraps or derives
// be known outside. Such a key is not used for that.
func (o *Object) Tainted(t cryptoki.AttributeType) bool {
	use := purposeOf(t)
	for _, c := range conflicts {
		if c.of&o.rules.kind != 0 && (c.a|c.b)&use != 0 && o.granted&(c.a|c.b) == c.a|c.b {
			return true
		}
	}
	return false
}

// Trust is the SO's C_SetAttributeValue of CKA_TRUSTED (PKCS#11 3.2, 4.8 and 4.10).
// Errors: CKR_TEMPLATE_INCONSISTENT for an object that has no such attribute,
// CKR_ACTION_PROHIBITED for one that is not CKA_MODIFIABLE.
func (o *Object) Trust(trusted bool) (*Object, error) {
	r, err := o.rules.rule(cryptoki.CKA_TRUSTED)
	if err != nil {
		return nil, err
	}
	if !o.Bool(cryptoki.CKA_MODIFIABLE) {
		return nil, cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "the object is not modifiable")
	}
	n := o.fork()
	n.put(r, cryptoki.Bool(trusted))
	return n, nil
}
