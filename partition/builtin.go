package partition

import (
	"bytes"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/object"
)

// Objects that are there without being stored: the profile objects (PKCS#11 3.2, "Profile
// objects"), which say what of the standard's profiles a token does. They are found only by a
// search that names their class, because programs list objects and would not know what to
// make of these. Nobody changes, copies or destroys them, and they take no room.

// builtinObject is set in their handles; a token object's number never gets that far.
const builtinObject cryptoki.ObjectHandle = 1 << 62

// profiles are the profiles whose conditions hold (PKCS#11 Profiles 3.2, 5.1 and 5.3), in
// ascending order.
var profiles = []uint64{cryptoki.CKP_BASELINE_PROVIDER, cryptoki.CKP_EXTENDED_PROVIDER}

// builtin are the attributes of a built-in object, nil where the handle names none.
func builtin(h cryptoki.ObjectHandle) cryptoki.Template {
	id := uint64(h &^ builtinObject)
	if h&builtinObject == 0 || !slices.Contains(profiles, id) {
		return nil
	}
	return cryptoki.Template{
		{Type: cryptoki.CKA_CLASS, Value: cryptoki.ULong(uint64(cryptoki.CKO_PROFILE))},
		{Type: cryptoki.CKA_TOKEN, Value: cryptoki.Bool(true)},
		{Type: cryptoki.CKA_PRIVATE, Value: cryptoki.Bool(false)},
		{Type: cryptoki.CKA_LABEL, Value: []byte{}},
		{Type: cryptoki.CKA_UNIQUE_ID, Value: uniqueID(h)},
		{Type: cryptoki.CKA_MODIFIABLE, Value: cryptoki.Bool(false)},
		{Type: cryptoki.CKA_COPYABLE, Value: cryptoki.Bool(false)},
		{Type: cryptoki.CKA_DESTROYABLE, Value: cryptoki.Bool(false)},
		{Type: cryptoki.CKA_PROFILE_ID, Value: cryptoki.ULong(id)},
	}
}

// untouchable refuses to change, copy or destroy a built-in object. Error:
// CKR_ACTION_PROHIBITED.
func untouchable(h cryptoki.ObjectHandle) error {
	if builtin(h) != nil {
		return cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "a profile object says what the token does; it is not changed, copied or destroyed")
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

// asksForProfiles tells whether a search names the class of the profile objects.
func asksForProfiles(t cryptoki.Template) bool {
	class, given := t.Find(cryptoki.CKA_CLASS)
	return given && bytes.Equal(class, cryptoki.ULong(uint64(cryptoki.CKO_PROFILE)))
}

// findProfiles is Find for the profile objects.
func findProfiles(t cryptoki.Template, after cryptoki.ObjectHandle, limit int) (found []cryptoki.ObjectHandle, more bool) {
	for _, id := range profiles {
		h := builtinObject | cryptoki.ObjectHandle(id)
		attributes := builtin(h)
		differs := func(a cryptoki.Attribute) bool {
			value, has := attributes.Find(a.Type)
			return !has || !bytes.Equal(value, a.Value)
		}
		if h <= after || slices.ContainsFunc(t, differs) {
			continue
		}
		if len(found) == limit {
			return found, true
		}
		found = append(found, h)
	}
	return found, false
}
