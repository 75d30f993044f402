// Package cryptoki is the vocabulary of PKCS#11 3.2 and of the vendor
// extensions that Tidelock speaks: names, numbers and the few plain types that
// every other package shares. All of its tables are generated from
// cryptoki/table by internal/gen.
//
// It may import nothing but the standard library.
package cryptoki

import "encoding/binary"

// The integer types of the standard, 64 bits wide as on 64-bit Unix. Each has
// its own Go type, so that a handle cannot be taken for a flag.
type (
	// AttributeType is a CK_ATTRIBUTE_TYPE (CKA_).
	AttributeType uint64
	// ObjectClass is a CK_OBJECT_CLASS (CKO_).
	ObjectClass uint64
	// KeyType is a CK_KEY_TYPE (CKK_).
	KeyType uint64
	// MechanismType is a CK_MECHANISM_TYPE (CKM_).
	MechanismType uint64
	// MGF is a CK_RSA_PKCS_MGF_TYPE (CKG_).
	MGF uint64
	// Flags is a CK_FLAGS (CKF_); which set of flags depends on the structure.
	Flags uint64
	// UserType is a CK_USER_TYPE (CKU_).
	UserType uint64
	// SessionState is a CK_STATE (CKS_).
	SessionState uint64
	// SlotID is a CK_SLOT_ID.
	SlotID uint64
	// SessionHandle is a CK_SESSION_HANDLE; 0 is invalid.
	SessionHandle uint64
	// ObjectHandle is a CK_OBJECT_HANDLE; 0 is invalid. A token object's handle is
	// its persistent number, a session object's handle has the top bit set.
	ObjectHandle uint64
)

// SessionObject is the bit that tells a session object's handle from a token
// object's.
const SessionObject ObjectHandle = 1 << 63

// UnavailableInformation is CK_UNAVAILABLE_INFORMATION, all ones.
const UnavailableInformation = ^uint64(0)

// Attribute is one CK_ATTRIBUTE in its wire form: CK_BBOOL in one byte, CK_ULONG
// in eight little-endian bytes, the rest as PKCS#11 has it.
type Attribute struct {
	Type  AttributeType
	Value []byte
}

// Template is a list of attributes as a caller gave it: any order, possibly with
// repetitions.
type Template []Attribute

// Find returns the value of the first attribute of type t.
func (t Template) Find(typ AttributeType) ([]byte, bool) {
	for i := range t {
		if t[i].Type == typ {
			return t[i].Value, true
		}
	}
	return nil, false
}

// Bool encodes a CK_BBOOL.
func Bool(b bool) []byte {
	if b {
		return []byte{1}
	}
	return []byte{0}
}

// ULong encodes a CK_ULONG.
func ULong[T ~uint64](v T) []byte {
	return binary.LittleEndian.AppendUint64(nil, uint64(v))
}

// ParseULong decodes a CK_ULONG; false when b is not eight bytes long.
func ParseULong(b []byte) (uint64, bool) {
	if len(b) != 8 {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b), true
}

// ParseBool decodes a CK_BBOOL; false when b is not one byte of value 0 or 1.
func ParseBool(b []byte) (value, ok bool) {
	if len(b) != 1 || b[0] > 1 {
		return false, false
	}
	return b[0] == 1, true
}

// Shape names the form of a mechanism's parameter, a set of rows in
// table/parameters.csv.
type Shape uint16

// ShapeMalformed marks a parameter that the caller's library could not read.
const ShapeMalformed Shape = 0xffff

// Mechanism is a CK_MECHANISM in its wire form (docs/wire.md, "Mechanisms"): one
// number per field of the shape, and the contents of the byte-string fields in
// order.
type Mechanism struct {
	Type   MechanismType
	Shape  Shape
	Fields []uint64
	Data   []byte
}
