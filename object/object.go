// Package object holds PKCS#11 objects: which attributes an object of each kind
// has, what a template may say when an object is made, changed, copied or looked
// for, what of it may be read, and the encoding that it is stored in. The rules
// are one table, in rules.go.
//
// It may import cryptoki.
package object

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
)

// Object is one PKCS#11 object. It never changes: what changes an object makes
// another one, so readers need no lock. Objects that were made from one another
// share the memory of the attributes that did not change.
type Object struct {
	rules   *ruleSet
	format  Format
	shown   []cryptoki.Attribute // the metadata, in ascending order of the types
	values  []value              // the value part, in ascending order of the types
	closed  bool                 // the value part was not given to Parse
	granted purposes             // every purpose that the object and its originals ever had
}

// value is an attribute of the value part. Its length is known when the object
// is closed, too.
type value struct {
	typ    cryptoki.AttributeType
	length int
	bytes  []byte
}

// Class is the object's CKA_CLASS.
func (o *Object) Class() cryptoki.ObjectClass { return o.rules.class }

// KeyType is the object's CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION when it is not
// a key.
func (o *Object) KeyType() cryptoki.KeyType { return o.rules.keyType() }

// Token says that the object is a token object, not a session object.
func (o *Object) Token() bool { return o.Bool(cryptoki.CKA_TOKEN) }

// Private says that only who is logged in may know of the object.
func (o *Object) Private() bool { return o.Bool(cryptoki.CKA_PRIVATE) }

// Bool is the value of an attribute that is a CK_BBOOL; false when the object has
// no such attribute.
func (o *Object) Bool(t cryptoki.AttributeType) bool {
	v, _ := cryptoki.ParseBool(o.metadata(t))
	return v
}

// Permits says that the key may be used as the usage attribute t (CKA_ENCRYPT,
// CKA_SIGN, ...) says. Where it is false the call gives
// CKR_KEY_FUNCTION_NOT_PERMITTED.
func (o *Object) Permits(t cryptoki.AttributeType) bool {
	return purposeOf(t) != 0 && o.Bool(t)
}

// AllowsMechanism says that the key's CKA_ALLOWED_MECHANISMS names m or that there
// is no such list. Where it is false the call gives CKR_MECHANISM_INVALID.
func (o *Object) AllowsMechanism(m cryptoki.MechanismType) bool {
	list := o.metadata(cryptoki.CKA_ALLOWED_MECHANISMS)
	if list == nil {
		return true
	}
	for ; len(list) > 0; list = list[ulongSize:] {
		if v, _ := cryptoki.ParseULong(list[:ulongSize]); v == uint64(m) {
			return true
		}
	}
	return false
}

// Value is an attribute's value for use inside the server: secrets are included.
// It is nil when the object has no such attribute or was parsed without its
// value part. The caller must not change it, and must not keep it beyond the object.
func (o *Object) Value(t cryptoki.AttributeType) []byte {
	if v := o.metadata(t); v != nil {
		return v
	}
	if i, ok := o.findValue(t); ok {
		return o.values[i].bytes
	}
	return nil
}

// metadata is the value of an attribute outside the value part: nil when there is
// none, not nil when it is empty.
func (o *Object) metadata(t cryptoki.AttributeType) []byte {
	if i, ok := slices.BinarySearchFunc(o.shown, t, byType); ok {
		return o.shown[i].Value
	}
	return nil
}

func (o *Object) findValue(t cryptoki.AttributeType) (int, bool) {
	return slices.BinarySearchFunc(o.values, t, byValueType)
}

func byValueType(v value, t cryptoki.AttributeType) int { return cmp.Compare(v.typ, t) }

func byType(a cryptoki.Attribute, t cryptoki.AttributeType) int { return cmp.Compare(a.Type, t) }

// Indexed are the attributes that a store keeps an index of for C_FindObjects:
// none of them is ever in the value part, so an index needs no key to a value.
func Indexed() [4]cryptoki.AttributeType {
	return [...]cryptoki.AttributeType{
		cryptoki.CKA_CLASS, cryptoki.CKA_KEY_TYPE, cryptoki.CKA_LABEL, cryptoki.CKA_ID,
	}
}

// String names the kind of object and no attribute of it.
func (o *Object) String() string { return "object of " + o.rules.String() }

// Format is String for every verb, so that no verb shows a secret.
func (o *Object) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, o.String()) }

// LogValue is String.
func (o *Object) LogValue() slog.Value { return slog.StringValue(o.String()) }
