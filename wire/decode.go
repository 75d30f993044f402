package wire

import (
	"encoding/binary"
	"unicode/utf8"

	"tidelock.dev/tidelock/cryptoki"
)

// The problems that several types can have.
const (
	cutShort    = "is cut short"
	tooLong     = "claims more bytes than the message has"
	tooMany     = "claims more elements than the message has bytes for"
	tooManyRows = "has more than 256 attributes"
)

// decoder takes the fields off a body, one after another; its methods are named
// after the types of docs/wire.md, "Field types". The first problem stays: what
// follows it reads as zero, and end reports it.
type decoder struct {
	rest           []byte
	field, problem string
}

func (d *decoder) fail(field, problem string) {
	if d.problem == "" {
		d.field, d.problem = field, problem
	}
	d.rest = nil
}

// end reports the first problem; bytes that are left over are one.
func (d *decoder) end(c Call, kind string) error {
	if d.problem != "" {
		return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "wire: %s %s: %s %s", c, kind, d.field, d.problem)
	}
	if len(d.rest) > 0 {
		return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "wire: %s %s: %d bytes left over", c, kind, len(d.rest))
	}
	return nil
}

// take returns the next n bytes, without capacity beyond them; nil when there
// are fewer.
func (d *decoder) take(n uint64, field, problem string) []byte {
	if n > uint64(len(d.rest)) {
		d.fail(field, problem)
		return nil
	}
	taken := d.rest[:n:n]
	d.rest = d.rest[n:]
	return taken
}

func (d *decoder) u8(field string) uint8 {
	b := d.take(1, field, cutShort)
	if b == nil {
		return 0
	}
	return b[0]
}

func (d *decoder) u16(field string) uint16 {
	b := d.take(2, field, cutShort)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint16(b)
}

func (d *decoder) u32(field string) uint32 {
	b := d.take(4, field, cutShort)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint32(b)
}

func (d *decoder) u64(field string) uint64 {
	b := d.take(8, field, cutShort)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

func (d *decoder) bool(field string) bool {
	v := d.u8(field)
	if v > 1 {
		d.fail(field, "is neither 0 nor 1")
	}
	return v == 1
}

func (d *decoder) id(field string) (id ID) {
	copy(id[:], d.take(uint64(len(id)), field, cutShort))
	return id
}

func (d *decoder) bytes(field string) []byte {
	n := d.u32(field)
	return d.take(uint64(n), field, tooLong)
}

func (d *decoder) secret(field string) Secret { return d.bytes(field) }

func (d *decoder) text(field string) string {
	b := d.bytes(field)
	if !utf8.Valid(b) {
		d.fail(field, "is not UTF-8")
		return ""
	}
	return string(b)
}

// count takes the number of elements of a list. Each has at least size bytes.
func (d *decoder) count(size int, field string) int {
	n := d.u32(field)
	if uint64(n)*uint64(size) > uint64(len(d.rest)) {
		d.fail(field, tooMany)
		return 0
	}
	return int(n)
}

func (d *decoder) texts(dst []string, field string) []string {
	dst = dst[:0]
	for n := d.count(4, field); n > 0 && d.problem == ""; n-- {
		dst = append(dst, d.text(field))
	}
	return dst
}

func (d *decoder) u64s(dst []uint64, field string) []uint64 {
	dst = dst[:0]
	for n := d.count(8, field); n > 0; n-- {
		dst = append(dst, d.u64(field))
	}
	return dst
}
