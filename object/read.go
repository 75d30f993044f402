package object

import (
	"bytes"

	"tidelock.dev/tidelock/cryptoki"
)

// Status is what an application gets to see of an attribute; the numbers are the
// wire's.
type Status uint8

// The states of docs/wire.md, "values".
const (
	Present   Status = iota
	Sensitive        // CKR_ATTRIBUTE_SENSITIVE
	Absent           // CKR_ATTRIBUTE_TYPE_INVALID
)

// Read is what C_GetAttributeValue may show: the value when the status is Present,
// which the caller must not change. A value that cannot be opened reads
// Sensitive, and so does what a key could have and nobody may know of.
func (o *Object) Read(t cryptoki.AttributeType) ([]byte, Status) {
	if v := o.metadata(t); v != nil {
		return v, Present
	}
	if r := o.rules.byType[t]; r != nil && r.marks&writeOnly != 0 && o.format.has(r) {
		return nil, Sensitive
	}
	i, ok := o.findValue(t)
	switch {
	case !ok:
		return nil, Absent
	case o.closed, o.hides(t):
		return nil, Sensitive
	}
	return o.values[i].bytes, Present
}

// hides says that an attribute cannot be revealed because the key is sensitive or
// not extractable (PKCS#11 3.2, 4.2, footnote 7), or because its value is for those alone
// who authorize it.
func (o *Object) hides(t cryptoki.AttributeType) bool {
	return o.rules.byType[t].marks&hidden != 0 &&
		(o.Bool(cryptoki.CKA_SENSITIVE) || !o.Bool(cryptoki.CKA_EXTRACTABLE) || o.Guarded())
}

// Matches says that C_FindObjects with the template t finds the object: it has
// each attribute with that value. What cannot be read never matches, or a
// search would be a way to guess it.
func (o *Object) Matches(t cryptoki.Template) bool {
	for _, a := range t {
		v, status := o.Read(a.Type)
		if status != Present || !bytes.Equal(v, o.rules.byType[a.Type].form.normal(a.Value)) {
			return false
		}
	}
	return true
}
