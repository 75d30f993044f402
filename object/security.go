package object

import "encoding/binary"

// contextVersion is the first byte of a security context.
const contextVersion = 1

// SecurityContext is what the sealing of the value part is bound to, besides the
// partition and the object's number: whoever can write metadata but not open
// values cannot make a value serve another end than its owner allowed.
//
// It is the version, the purposes that the key ever had, and in ascending order of
// the types each attribute that the table marks bound: class and key type, and
// what decides who may know, use, wrap, copy or change the object, and a key's
// history. The encoding is Metadata's, without a count. An attribute that is false
// or empty is left out, so that a later level may add attributes, at these
// values, to objects that are not open.
//
// Names (CKA_LABEL, CKA_ID, CKA_SUBJECT, ...) are not bound; neither is CKA_TOKEN, which says
// where an object is, nor CKA_DESTROYABLE: whoever can write metadata can remove the
// object. When Set gives an object of another security context, its value must be
// sealed anew; it is open then, since whoever may change a private object has
// logged in, and the values of other objects are always open to the server.
func (o *Object) SecurityContext() []byte {
	b := []byte{contextVersion}
	b = binary.AppendUvarint(b, uint64(o.granted))
	for _, a := range o.shown {
		if o.rules.byType[a.Type].marks&bound != 0 && len(a.Value) > 0 && !isFalse(a.Value) {
			b = appendAttribute(b, a.Type, a.Value)
		}
	}
	return b
}
