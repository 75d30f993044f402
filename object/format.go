package object

import "tidelock.dev/tidelock/cryptoki"

// Format is what firmware of a level knows of an object. It is the version of the
// encoding, too.
type Format uint8

// The formats.
const (
	// FormatPlain has the standard's attributes alone.
	FormatPlain Format = 1
	// FormatPerKey has, in keys, the attributes of Per-Key Authorization too.
	FormatPerKey Format = 2

	newestFormat = FormatPerKey
)

func (f Format) orNewest() Format {
	if f == 0 {
		return newestFormat
	}
	return f
}

// has tells whether objects of the format have the attribute of a rule.
func (f Format) has(r *rule) bool { return f >= FormatPerKey || r.marks&perKey == 0 }

// Upgraded is the object in a newer format: what that adds has the value of a key that
// was never authorized. Neither the value part nor the security context changes, so
// an object that is closed can be upgraded.
func (o *Object) Upgraded(f Format) *Object {
	n := o.fork()
	n.format = f
	d := &draft{ctx: Context{Format: f}, rules: o.rules}
	for _, r := range o.rules.rules {
		if r.initial != nil && f.has(r) && !o.format.has(r) {
			n.put(r, r.initial(d))
		}
	}
	return n
}

// PerKey tells whether an attribute belongs to Per-Key Authorization, which a
// partition of version 0 stores and does not show.
func PerKey(t cryptoki.AttributeType) bool {
	switch t {
	case cryptoki.CKA_AUTH_DATA, cryptoki.CKA_ASSIGNED, cryptoki.CKA_KEY_STATUS, cryptoki.CKA_FAILED_KEY_AUTH_COUNT:
		return true
	}
	return false
}
