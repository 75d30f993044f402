package partition

import (
	"bytes"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/object"
)

// Objects that are there without being stored: the profile objects (PKCS#11 3.2, "Profile
// objects"), which say what of the standard's profiles a token does, and the mechanism
// objects ("Mechanism objects"), one for each mechanism that the partition offers at the
// moment. They are found only by a search that names their class, because programs list
// objects and would not know what to make of these. Nobody changes, copies or destroys
// them, and they take no room.

// The handle of a built-in object is builtinObject, which no token object's number ever
// reaches, with the object's class, and below it the profile's or mechanism's number. So it
// is the same for everybody and always.
const (
	builtinObject cryptoki.ObjectHandle = 1 << 62
	builtinClass                        = 32 // bits below the class
)

// profiles are the profiles whose conditions hold (PKCS#11 Profiles 3.2, 5.1 and 5.3), in
// ascending order.
var profiles = []uint64{cryptoki.CKP_BASELINE_PROVIDER, cryptoki.CKP_EXTENDED_PROVIDER}

// builtinHandle is the handle of the built-in object of a class with a number.
func builtinHandle(class cryptoki.ObjectClass, number uint64) cryptoki.ObjectHandle {
	return builtinObject | cryptoki.ObjectHandle(class)<<builtinClass | cryptoki.ObjectHandle(number)
}

// numbers are those of the built-in objects of a class, in ascending order, and the
// attribute that tells them; false for another class.
func (p *Partition) numbers(class cryptoki.ObjectClass) (list []uint64, attribute cryptoki.AttributeType, builtin bool) {
	switch class {
	case cryptoki.CKO_PROFILE:
		return profiles, cryptoki.CKA_PROFILE_ID, true
	case cryptoki.CKO_MECHANISM:
		for _, m := range p.Mechanisms() {
			list = append(list, uint64(m))
		}
		return list, cryptoki.CKA_MECHANISM_TYPE, true
	}
	return nil, 0, false
}

// builtin are the attributes of a built-in object, nil where the handle names none.
func (p *Partition) builtin(h cryptoki.ObjectHandle) cryptoki.Template {
	if h&builtinObject == 0 {
		return nil
	}
	class := cryptoki.ObjectClass(h &^ builtinObject >> builtinClass)
	number := uint64(h & (1<<builtinClass - 1))
	list, attribute, _ := p.numbers(class)
	if _, there := slices.BinarySearch(list, number); !there {
		return nil
	}
	return builtinAttributes(class, attribute, number)
}

func builtinAttributes(class cryptoki.ObjectClass, attribute cryptoki.AttributeType, number uint64) cryptoki.Template {
	return cryptoki.Template{
		{Type: cryptoki.CKA_CLASS, Value: cryptoki.ULong(class)},
		{Type: cryptoki.CKA_TOKEN, Value: cryptoki.Bool(true)},
		{Type: cryptoki.CKA_PRIVATE, Value: cryptoki.Bool(false)},
		{Type: cryptoki.CKA_LABEL, Value: []byte{}},
		{Type: cryptoki.CKA_UNIQUE_ID, Value: uniqueID(builtinHandle(class, number))},
		{Type: cryptoki.CKA_MODIFIABLE, Value: cryptoki.Bool(false)},
		{Type: cryptoki.CKA_COPYABLE, Value: cryptoki.Bool(false)},
		{Type: cryptoki.CKA_DESTROYABLE, Value: cryptoki.Bool(false)},
		{Type: attribute, Value: cryptoki.ULong(number)},
	}
}

// untouchable refuses to change, copy or destroy a built-in object. Error:
// CKR_ACTION_PROHIBITED.
func (p *Partition) untouchable(h cryptoki.ObjectHandle) error {
	if p.builtin(h) != nil {
		return cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "a profile or mechanism object says what the token does; it is not changed, copied or destroyed")
	}
	return nil
}

// readBuiltin is what a built-in object shows of an attribute.
func readBuiltin(attributes cryptoki.Template, t cryptoki.AttributeType) ([]byte, object.Status) {
	if value, has := attributes.Find(t); has {
		return value, object.Present
	}
	return nil, object.Absent
}

// findBuiltin is Find for the built-in objects; asked is false for a search that does not
// name their class.
func (p *Partition) findBuiltin(t cryptoki.Template, after cryptoki.ObjectHandle, limit int) (found []cryptoki.ObjectHandle, more, asked bool) {
	value, _ := t.Find(cryptoki.CKA_CLASS)
	n, _ := cryptoki.ParseULong(value)
	class := cryptoki.ObjectClass(n)
	list, attribute, asked := p.numbers(class)
	if !asked {
		return nil, false, false
	}
	for _, number := range list {
		h := builtinHandle(class, number)
		if h <= after {
			continue
		}
		attributes := builtinAttributes(class, attribute, number)
		differs := func(a cryptoki.Attribute) bool {
			value, has := attributes.Find(a.Type)
			return !has || !bytes.Equal(value, a.Value)
		}
		if slices.ContainsFunc(t, differs) {
			continue
		}
		if len(found) == limit {
			return found, true, true
		}
		found = append(found, h)
	}
	return found, false, true
}
