package seal

import "encoding/binary"

// Context says what a sealed record or a derived key is for. It begins with a
// label, which stands for one meaning and one list of fields, and goes on with the
// fields' values.
//
// In its encoding each part has its length before it, in four big-endian bytes. So
// different lists of parts have different encodings, whatever the parts contain. The
// types of fields are not encoded: they follow from the label.
//
// A Context does not change; its methods return longer ones. It is not secret, with
// one exception: what a MAC computes over may be.
type Context struct{ encoded []byte }

// NewContext begins a context.
func NewContext(label string) Context { return Context{}.String(label) }

// String adds a text.
func (c Context) String(s string) Context { return add(c, s) }

// Bytes adds a byte string, which is copied.
func (c Context) Bytes(b []byte) Context { return add(c, b) }

// Uint64 adds a number, as eight big-endian bytes.
func (c Context) Uint64(v uint64) Context {
	return c.Bytes(binary.BigEndian.AppendUint64(nil, v))
}

func add[T string | []byte](c Context, part T) Context {
	// Always a new array: two contexts may go on from the same one.
	encoded := make([]byte, 0, len(c.encoded)+4+len(part))
	encoded = append(encoded, c.encoded...)
	encoded = binary.BigEndian.AppendUint32(encoded, uint32(len(part)))
	return Context{append(encoded, part...)}
}
