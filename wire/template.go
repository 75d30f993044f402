package wire

import (
	"tidelock.dev/tidelock/cryptoki"
)

const (
	// MaxAttributes is the most that a template, or a list of values, holds.
	MaxAttributes = 256
	// MaxDepth is how deep templates nest; one without templates in it counts 1.
	MaxDepth = 4
)

// Status tells what became of an attribute that GetAttributes asked for.
type Status = uint8

// The states of a Value.
const (
	ValuePresent   Status = 0
	ValueSensitive Status = 1
	ValueAbsent    Status = 2
)

// Value answers for one attribute that GetAttributes asked for, in its order.
type Value struct {
	Status Status
	// Value has the form of an attribute's value in a template; empty unless present.
	Value []byte
}

// AppendTemplate appends the encoding of t to b. For an attribute that is itself
// a template (CKA_WRAP_TEMPLATE and its like) this encoding is the value.
func AppendTemplate(b []byte, t cryptoki.Template) []byte {
	b = appendU32(b, uint32(len(t)))
	for i := range t {
		b = appendU64(b, uint64(t[i].Type))
		b = appendBytes(b, t[i].Value)
	}
	return b
}

// ParseTemplate decodes a template that is an attribute's value, into dst where
// that has the room. Values refer to b. Parse has checked the templates inside its
// messages, to any depth; of other ones the error is CKR_ATTRIBUTE_VALUE_INVALID.
func ParseTemplate(dst cryptoki.Template, b []byte) (cryptoki.Template, error) {
	d := decoder{rest: b}
	dst = d.templateAt(1, dst, "template")
	if d.problem == "" && len(d.rest) > 0 {
		d.fail("template", "has bytes left over")
	}
	if d.problem != "" {
		return nil, cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, "wire: a nested template %s", d.problem)
	}
	return dst, nil
}

func (d *decoder) template(dst cryptoki.Template, field string) cryptoki.Template {
	return d.templateAt(1, dst, field)
}

// templateAt takes a template that is depth templates deep.
func (d *decoder) templateAt(depth int, dst cryptoki.Template, field string) cryptoki.Template {
	dst = dst[:0]
	for n := d.attributeCount(12, field); n > 0 && d.problem == ""; n-- {
		dst = append(dst, d.attributeAt(depth, field))
	}
	return dst
}

// attributeAt takes one attribute of such a template.
func (d *decoder) attributeAt(depth int, field string) cryptoki.Attribute {
	a := cryptoki.Attribute{Type: cryptoki.AttributeType(d.u64(field)), Value: d.bytes(field)}
	if d.problem == "" && isTemplate(a.Type) {
		d.checkNested(depth+1, a.Value, field)
	}
	return a
}

// checkNested goes through a template inside a value without keeping it.
func (d *decoder) checkNested(depth int, value []byte, field string) {
	if depth > MaxDepth {
		d.fail(field, "nests templates more than 4 deep")
		return
	}
	inner := decoder{rest: value}
	for n := inner.attributeCount(12, field); n > 0 && inner.problem == ""; n-- {
		inner.attributeAt(depth, field)
	}
	switch {
	case inner.problem != "":
		d.fail(field, inner.problem)
	case len(inner.rest) > 0:
		d.fail(field, "has bytes left over after a nested template")
	}
}

// attributeCount takes the length of a list in which each attribute has at
// least size bytes.
func (d *decoder) attributeCount(size int, field string) int {
	n := d.count(size, field)
	if n > MaxAttributes {
		d.fail(field, tooManyRows)
		return 0
	}
	return n
}

// isTemplate tells whether an attribute's value is a template. Few attributes have
// the bit, which spares the others the search for their kind.
func isTemplate(t cryptoki.AttributeType) bool {
	return t&cryptoki.AttributeType(cryptoki.CKF_ARRAY_ATTRIBUTE) != 0 && t.Kind() == cryptoki.KindTemplate
}

func (d *decoder) values(dst []Value, field string) []Value {
	dst = dst[:0]
	for n := d.attributeCount(5, field); n > 0 && d.problem == ""; n-- {
		v := Value{Status: d.u8(field), Value: d.bytes(field)}
		if v.Status > ValueAbsent || v.Status != ValuePresent && len(v.Value) > 0 {
			d.fail(field, "has a status that is unknown or contradicts its value")
		}
		dst = append(dst, v)
	}
	return dst
}
