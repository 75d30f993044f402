package wire

import (
	"math/bits"

	"tidelock.dev/tidelock/cryptoki"
)

// maxFields bounds the fields of a mechanism of any shape, also of one that only
// the other side knows.
const maxFields = 32

// shapeInfo is what the codec knows of a shape.
type shapeInfo struct {
	name   string
	fields int
	// lengths has bit i set when field i is the length of a byte string.
	lengths uint32
	// element is the number of fields of each element of the list that follows the
	// fields, 0 where none does; elementLengths is as lengths, for one element.
	element        int
	elementLengths uint32
}

// mechanism takes a mechanism off the body. Where the shape is known, the fields
// are as many as it has and the lengths among them add up to the data, so that
// the data can be cut by them. An unknown shape is left to whoever knows the
// mechanisms: the right answer is then that the mechanism is unknown, too.
func (d *decoder) mechanism(m *cryptoki.Mechanism, field string) {
	m.Type = cryptoki.MechanismType(d.u64(field))
	m.Shape = cryptoki.Shape(d.u16(field))
	n := int(d.u16(field))
	dataLength := d.u32(field)
	if n > maxFields {
		d.fail(field, "has more than 32 parameter fields")
		return
	}
	m.Fields = m.Fields[:0]
	for range n {
		m.Fields = append(m.Fields, d.u64(field))
	}
	m.Data = d.take(uint64(dataLength), field, tooLong)
	if d.problem == "" && !fieldsFit(m) {
		d.fail(field, "has parameter fields that do not fit its shape or its data")
	}
}

func fieldsFit(m *cryptoki.Mechanism) bool {
	if m.Shape == cryptoki.ShapeMalformed {
		return len(m.Fields) == 0 && len(m.Data) == 0
	}
	if int(m.Shape) >= len(shapes) {
		return true
	}
	info := &shapes[m.Shape]
	if len(m.Fields) < info.fields {
		return false
	}
	rest := uint64(len(m.Data))
	fields, list := m.Fields[:info.fields], m.Fields[info.fields:]
	if !takeLengths(&rest, fields, info.lengths) {
		return false
	}
	for ; len(list) > 0; list = list[info.element:] {
		if info.element == 0 || len(list) < info.element || !takeLengths(&rest, list, info.elementLengths) {
			return false
		}
	}
	return rest == 0
}

// takeLengths takes the lengths among fields off rest; false when it is less.
func takeLengths(rest *uint64, fields []uint64, lengths uint32) bool {
	for ; lengths != 0; lengths &= lengths - 1 {
		length := fields[bits.TrailingZeros32(lengths)]
		if length > *rest {
			return false
		}
		*rest -= length
	}
	return true
}
