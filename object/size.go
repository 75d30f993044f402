package object

import "tidelock.dev/tidelock/cryptoki"

// What an object's size is made of, in bytes.
const (
	// sizeHead covers what every object has: its number, class, type, dates and all
	// attributes that are a flag or a number.
	sizeHead = 64
	// sizeAttribute is what a value of any length takes beside the value.
	sizeAttribute = 4
	// sizePerKey is what the attributes of Per-Key Authorization take, in private and
	// secret keys.
	sizePerKey = 96
	// MinSize is the size of the smallest object.
	MinSize = 128
)

// Size is the object's size as C_GetObjectSize gives it and as a partition counts it
// against its quota, in bytes: a head, the values longer than a number with their
// lengths, and in private and secret keys of the newer format the room for Per-Key
// Authorization. It does not depend on how the object is stored, and sizePerKey is below
// MinSize, so that no object more than doubles by it.
func (o *Object) Size() uint64 {
	n := sizeHead
	for i := range o.shown {
		if o.shown[i].Type != cryptoki.CKA_OUID {
			n += sizeOf(len(o.shown[i].Value))
		}
	}
	for i := range o.values {
		if o.values[i].typ != cryptoki.CKA_AUTH_DATA {
			n += sizeOf(o.values[i].length)
		}
	}
	n = max(n, MinSize)
	if c := o.Class(); o.format >= FormatPerKey && (c == cryptoki.CKO_PRIVATE_KEY || c == cryptoki.CKO_SECRET_KEY) {
		n += sizePerKey
	}
	return uint64(n)
}

func sizeOf(length int) int {
	if length <= ulongSize {
		return 0
	}
	return sizeAttribute + length
}
