package cryptoki

// AttributeKind is what the value of an attribute is.
type AttributeKind uint8

// The kinds of attribute values. docs/wire.md tells how each travels.
const (
	// KindUnknown is the kind of an attribute that the tables do not know.
	KindUnknown AttributeKind = iota
	// KindBool is a CK_BBOOL.
	KindBool
	// KindULong is a CK_ULONG or a type derived from it.
	KindULong
	// KindBytes is a byte string.
	KindBytes
	// KindUTF8 is a string of CK_UTF8CHAR, without a terminating zero.
	KindUTF8
	// KindDate is a CK_DATE, or empty.
	KindDate
	// KindBigInt is an unsigned integer of any length, most significant byte first.
	KindBigInt
	// KindULongs is an array of CK_ULONG.
	KindULongs
	// KindTemplate is an array of CK_ATTRIBUTE.
	KindTemplate
)
