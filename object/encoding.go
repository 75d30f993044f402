package object

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tidelock.dev/tidelock/cryptoki"
)

// The encodings. Both are canonical: an object has one encoding, and what Parse
// accepts is the encoding of the object that it gives.
//
//	metadata = version granted attributes lengths
//	  version    one byte, the object's format
//	  granted    number: every purpose that the key ever had (purposes.go)
//	  attributes count, then per attribute in ascending order of the types: type, length, the value
//	  lengths    count, then per attribute of the value part in the same order: type, length
//	secrets  = per attribute of the value part in the same order: type, length, the value
//
// A number, a count, a type and a length are each a base-128 varint of the
// fewest bytes.
//
// The version tells which attributes every object has: format.go.

// maxAttributes bounds the attributes of an object; the table has far fewer.
const maxAttributes = 256

// maxEncoded bounds either encoding, in bytes; the largest object that a frame can
// carry is smaller.
const maxEncoded = 1 << 20

// Metadata is the canonical encoding of everything but the values of the value
// part: private and secret key values, the content of data objects and
// certificates. It holds their lengths. The caller owns it.
func (o *Object) Metadata() []byte {
	b := make([]byte, 0, o.encodedSize())
	b = append(b, byte(o.format))
	b = binary.AppendUvarint(b, uint64(o.granted))
	b = binary.AppendUvarint(b, uint64(len(o.shown)))
	for _, a := range o.shown {
		b = appendAttribute(b, a.Type, a.Value)
	}
	b = binary.AppendUvarint(b, uint64(len(o.values)))
	for _, v := range o.values {
		b = binary.AppendUvarint(b, uint64(v.typ))
		b = binary.AppendUvarint(b, uint64(v.length))
	}
	return b
}

// Secrets is the canonical encoding of the value part; nil when there is none or
// when it is closed. The caller owns it and wipes it.
func (o *Object) Secrets() []byte {
	if o.closed || len(o.values) == 0 {
		return nil
	}
	n := 0
	for _, v := range o.values {
		n += 2*binary.MaxVarintLen64 + v.length
	}
	// Secrets must not be left behind in a smaller buffer that this one outgrew.
	b := make([]byte, 0, n)
	for _, v := range o.values {
		b = appendAttribute(b, v.typ, v.bytes)
	}
	return b
}

func appendAttribute(b []byte, t cryptoki.AttributeType, v []byte) []byte {
	b = binary.AppendUvarint(b, uint64(t))
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// Parse reads an object back. With nil secrets an object that has a value part is
// closed: it can be found and shown, and its values read Sensitive. Parse keeps
// no reference to what it is given.
//
// It applies the table again, so that an object that no call could have made is
// refused. Error: CKR_DEVICE_ERROR.
func Parse(metadata, secrets []byte) (*Object, error) {
	o, err := parseMetadata(metadata)
	if err == nil && secrets != nil {
		err = o.open(secrets)
	}
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "stored object: %w", err)
	}
	return o, nil
}

// Open gives the object its value part, as Secrets encodes it, which the caller
// wipes. Error: CKR_DEVICE_ERROR when it is not the one that belongs to the object.
func (o *Object) Open(secrets []byte) (*Object, error) {
	n := o.fork()
	if err := n.open(secrets); err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "stored object: %w", err)
	}
	return n, nil
}

func parseMetadata(b []byte) (*Object, error) {
	if len(b) > maxEncoded {
		return nil, fmt.Errorf("%d bytes of metadata are too many", len(b))
	}
	if len(b) == 0 || b[0] < byte(FormatPlain) || b[0] > byte(newestFormat) {
		return nil, errors.New("unknown version of the metadata")
	}
	format := Format(b[0])
	r := reader{b: clone(b[1:])}
	granted := r.number()
	o := &Object{format: format, granted: purposes(granted)}
	n := r.count()
	o.shown = make([]cryptoki.Attribute, 0, n)
	for range n {
		t := cryptoki.AttributeType(r.number())
		o.shown = append(o.shown, cryptoki.Attribute{Type: t, Value: r.bytes(r.number())})
	}
	if n = r.count(); n > 0 {
		o.values = make([]value, 0, n)
	}
	for range n {
		t, length := cryptoki.AttributeType(r.number()), r.number()
		if length > maxEncoded {
			r.fail("a value of %d bytes is too long", length)
		}
		o.values = append(o.values, value{typ: t, length: int(length)})
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	o.closed = n > 0
	if granted&^uint64(allPurposes|narrow) != 0 {
		return nil, errors.New("unknown purposes")
	}
	if err := o.findRules(); err != nil {
		return nil, err
	}
	return o, o.checkStored()
}

// findRules finds the rules of an object of which only the attributes are known.
func (o *Object) findRules() error {
	selector := func(t cryptoki.AttributeType) uint64 {
		if n, ok := cryptoki.ParseULong(o.metadata(t)); ok {
			return n
		}
		return cryptoki.UnavailableInformation
	}
	class, v := cryptoki.ObjectClass(selector(cryptoki.CKA_CLASS)), noVariety
	if attribute, varies := varieties[class]; varies {
		v = variety(selector(attribute))
	}
	var err error
	o.rules, err = findRules(class, v)
	return err
}

// checkStored applies the rules to a parsed object, and finds attributes that are not
// in order. Values of the value part are not looked at.
func (o *Object) checkStored() error {
	shown, values := o.shown, o.values
	for _, r := range o.rules.sorted {
		switch {
		case !o.format.has(r):
		case len(shown) > 0 && shown[0].Type <= r.attribute:
			if err := r.checkStored(shown[0].Type, false); err != nil {
				return err
			}
			if err := r.form.check(shown[0].Value); err != nil {
				return fmt.Errorf("%v %w", r.attribute, err)
			}
			shown = shown[1:]
		case len(values) > 0 && values[0].typ <= r.attribute:
			if err := r.checkStored(values[0].typ, true); err != nil {
				return err
			}
			values = values[1:]
		case r.create == required || r.initial != nil:
			return fmt.Errorf("%v is missing", r.attribute)
		}
	}
	if len(shown) > 0 || len(values) > 0 {
		return errors.New("unknown attributes")
	}
	if purposesOf(o.Bool)&^o.granted != 0 {
		return errors.New("a purpose was never granted")
	}
	return checkTogether(o.metadata)
}

// checkStored decides whether r is the rule of an attribute that was found in one of the
// parts.
func (r *rule) checkStored(t cryptoki.AttributeType, inValuePart bool) error {
	if t != r.attribute {
		return fmt.Errorf("unknown attribute %v", t)
	}
	if r.marks&inValue != 0 != inValuePart {
		return fmt.Errorf("%v is in the wrong part", t)
	}
	return nil
}

// open adds the value part to an object whose metadata is there.
func (o *Object) open(secrets []byte) error {
	if len(secrets) > maxEncoded {
		return fmt.Errorf("%d bytes of values are too many", len(secrets))
	}
	r := reader{b: clone(secrets)}
	for i := range o.values {
		v := &o.values[i]
		t, n := cryptoki.AttributeType(r.number()), r.number()
		if r.err == nil && (t != v.typ || n != uint64(v.length)) {
			return errors.New("the values are not those of the metadata")
		}
		v.bytes = r.bytes(n)
		if r.err != nil {
			return r.err
		}
		if err := o.rules.byType[t].form.check(v.bytes); err != nil {
			return fmt.Errorf("%v %w", t, err)
		}
	}
	o.closed = false
	return r.end()
}

// reader reads the encodings. After the first error it gives zeros; the error is
// kept.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
	r.b = nil
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	// A varint ending in a zero byte has a shorter form.
	if n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.fail("bad number")
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a number of attributes, each of which takes two bytes at least.
func (r *reader) count() int {
	n := r.number()
	if n > maxAttributes || n > uint64(len(r.b)/2) {
		r.fail("%d attributes do not fit", n)
		return 0
	}
	return int(n)
}

// bytes reads n bytes. They are the reader's memory and cannot be grown into what
// follows.
func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail("a value of %d bytes does not fit", n)
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes are left over", len(r.b))
	}
	return r.err
}

// encodedSize is about what an object's encoding takes, in bytes.
func (o *Object) encodedSize() int {
	const each = 16
	n := each * (len(o.shown) + len(o.values))
	for i := range o.shown {
		n += len(o.shown[i].Value)
	}
	return n
}
