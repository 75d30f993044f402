package object

import (
	"tidelock.dev/tidelock/cryptoki"
)

// Origin is how an object came to be. It decides what a template may hold and
// the history flags of a key.
type Origin uint8

// The origins.
const (
	Created   Origin = iota // C_CreateObject
	Generated               // C_GenerateKey, C_GenerateKeyPair
	Unwrapped               // C_UnwrapKey
	Derived                 // C_DeriveKey
)

// Context is what the making of an object depends on besides its template.
type Context struct {
	Origin Origin
	// Mechanism made the key; CKA_KEY_GEN_MECHANISM of a generated one. Not used for
	// Created.
	Mechanism cryptoki.MechanismType
	// Base is the key that a derived one is made of, which it takes after.
	Base *Object
	// Limits are those of the partition.
	Limits Limits
	// LoggedIn says that a user is logged in who may use private objects: objects are
	// then private by default.
	LoggedIn bool
	// Format is that of the HSM's firmware; 0 is the newest.
	Format Format
}

// Check finds what is wrong with the template of a key that is to be generated, unwrapped
// or derived, before the work of that. Errors: those of New.
func Check(ctx Context, class cryptoki.ObjectClass, keyType cryptoki.KeyType, t cryptoki.Template) error {
	rules, err := findRules(class, variety(keyType))
	if err != nil {
		return err
	}
	d, err := newDraft(ctx, rules, t)
	if err != nil {
		return err
	}
	d.complete()
	return d.check()
}

// New makes an object of the caller's template and, for a key that is generated,
// unwrapped or derived, the values that the mechanism made; they win over the template. It
// copies what it keeps; the caller wipes its own. An unwrapped key is sensitive, and a
// derived one no less than its base: else wrapping and deriving were ways to read what is
// sensitive.
//
// For what is wrong with the template it gives the codes of PKCS#11 3.2, 4.1.1:
//   - CKR_ATTRIBUTE_TYPE_INVALID: an attribute that no object has
//   - CKR_ATTRIBUTE_VALUE_INVALID: a value that the attribute cannot have, or a class
//     or key type that is not supported
//   - CKR_ATTRIBUTE_READ_ONLY: an attribute that the server alone gives
//   - CKR_TEMPLATE_INCOMPLETE: a missing attribute
//   - CKR_TEMPLATE_INCONSISTENT: an attribute of other kinds of objects or given twice,
//     a class or key type that is not the mechanism's, values or purposes that do
//     not go together, a key that is less protected than what it is made of
//
// Values that cannot be a key of the kind are CKR_WRAPPED_KEY_INVALID or, of a derived
// key, CKR_KEY_SIZE_RANGE.
func New(ctx Context, class cryptoki.ObjectClass, keyType cryptoki.KeyType, t, values cryptoki.Template) (*Object, error) {
	rules, err := findRules(class, variety(keyType))
	if err != nil {
		return nil, err
	}
	return build(ctx, rules, t, values)
}

func build(ctx Context, rules *ruleSet, t, values cryptoki.Template) (*Object, error) {
	d, err := newDraft(ctx, rules, t)
	if err != nil {
		return nil, err
	}
	if err := d.add(values); err != nil {
		return nil, err
	}
	d.complete()
	if err := d.check(); err != nil {
		return nil, err
	}
	if err := d.measureCheckValue(); err != nil {
		return nil, err
	}
	return d.object()
}

// FromTemplate is C_CreateObject: the template tells class and key type, or type of
// certificate. Errors: those of New.
func FromTemplate(ctx Context, t cryptoki.Template) (*Object, error) {
	ctx.Origin = Created
	class, v, err := kindOf(t)
	if err != nil {
		return nil, err
	}
	rules, err := findRules(class, v)
	if err != nil {
		return nil, err
	}
	return build(ctx, rules, t, nil)
}

// Kind is the class that a template tells, and the key type of a key.
// Errors: CKR_TEMPLATE_INCOMPLETE, CKR_ATTRIBUTE_VALUE_INVALID.
func Kind(t cryptoki.Template) (cryptoki.ObjectClass, cryptoki.KeyType, error) {
	class, v, err := kindOf(t)
	if varieties[class] != cryptoki.CKA_KEY_TYPE {
		v = noVariety
	}
	return class, cryptoki.KeyType(v), err
}

// kindOf is the class that a template tells, and the variety where the class has one.
func kindOf(t cryptoki.Template) (cryptoki.ObjectClass, variety, error) {
	class, err := selector[cryptoki.ObjectClass](t, cryptoki.CKA_CLASS)
	attribute, varies := varieties[class]
	if err != nil || !varies {
		return class, noVariety, err
	}
	v, err := selector[variety](t, attribute)
	if err == nil && v == noVariety {
		err = cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, "%v is CK_UNAVAILABLE_INFORMATION", attribute)
	}
	return class, v, err
}

// selector reads an attribute that tells what the rest of the template is.
func selector[T ~uint64](t cryptoki.Template, typ cryptoki.AttributeType) (T, error) {
	v, ok := t.Find(typ)
	if !ok {
		return 0, cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCOMPLETE, "%v is missing", typ)
	}
	n, ok := cryptoki.ParseULong(v)
	if !ok {
		return 0, cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, "%v %w", typ, errULong)
	}
	return T(n), nil
}
