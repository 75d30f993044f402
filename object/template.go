package object

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"tidelock.dev/tidelock/cryptoki"
)

// The most that a template inside an attribute (CKA_WRAP_TEMPLATE and its like) holds.
const (
	maxInner      = 64   // attributes
	maxInnerBytes = 8192 // of the encoding
)

// inner is a template as the value of an attribute, in its wire form: the number of
// attributes in four bytes, then each one's type in eight, its length in four, and its
// value; numbers are little-endian.
var inner = form{check: func(v []byte) error {
	t, err := parseInner(v)
	if err != nil {
		return err
	}
	seen := make(map[cryptoki.AttributeType]bool, len(t))
	for _, a := range t {
		if seen[a.Type] {
			return fmt.Errorf("names %v twice", a.Type)
		}
		seen[a.Type] = true
		if err := checkInner(a); err != nil {
			return err
		}
	}
	return nil
}}

// checkInner finds what is wrong with an attribute inside a template: an object of some
// kind must be able to have it, with that value.
func checkInner(a cryptoki.Attribute) error {
	if a.Type.Kind() == cryptoki.KindTemplate {
		return fmt.Errorf("has a template, %v, in it", a.Type)
	}
	err := fmt.Errorf("names %v, which no object has", a.Type)
	for _, f := range forms[a.Type] {
		if err = f.check(a.Value); err == nil {
			return nil
		}
		err = fmt.Errorf("says that %v %w", a.Type, err)
	}
	return err
}

var errInner = errors.New("is not a template")

// parseInner reads a template that is an attribute's value; it shares v's memory.
func parseInner(v []byte) (cryptoki.Template, error) {
	if len(v) > maxInnerBytes {
		return nil, fmt.Errorf("is a template of %d bytes, at most %d are supported", len(v), maxInnerBytes)
	}
	if len(v) < 4 {
		return nil, errInner
	}
	n := binary.LittleEndian.Uint32(v)
	if n > maxInner {
		return nil, fmt.Errorf("is a template of %d attributes, at most %d are supported", n, maxInner)
	}
	v = v[4:]
	t := make(cryptoki.Template, 0, n)
	for range n {
		if len(v) < 12 {
			return nil, errInner
		}
		a := cryptoki.Attribute{Type: cryptoki.AttributeType(binary.LittleEndian.Uint64(v))}
		length := uint64(binary.LittleEndian.Uint32(v[8:]))
		if v = v[12:]; length > uint64(len(v)) {
			return nil, errInner
		}
		a.Value, v = v[:length:length], v[length:]
		t = append(t, a)
	}
	if len(v) > 0 {
		return nil, errInner
	}
	return t, nil
}

// inner is the template that an attribute of the object holds; empty when it has none.
func (o *Object) inner(t cryptoki.AttributeType) cryptoki.Template {
	v := o.metadata(t)
	if v == nil {
		return nil
	}
	list, _ := parseInner(v) // checked when the object was made or read
	return list
}

// Impose adds to the template of a new key what the key's CKA_UNWRAP_TEMPLATE or
// CKA_DERIVE_TEMPLATE, which, says of keys made with it (PKCS#11 3.2, 4.9 and 4.10).
// Error: CKR_TEMPLATE_INCONSISTENT when t says otherwise.
func (o *Object) Impose(which cryptoki.AttributeType, t cryptoki.Template) (cryptoki.Template, error) {
	imposed := o.inner(which)
	if len(imposed) == 0 {
		return t, nil
	}
	out := append(make(cryptoki.Template, 0, len(t)+len(imposed)), t...)
	for _, a := range imposed {
		wish, given := t.Find(a.Type)
		switch {
		case !given:
			out = append(out, a)
		case !sameValue(a.Type, wish, a.Value):
			return nil, cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCONSISTENT, "%v of the key in use asks for another %v", which, a.Type)
		}
	}
	return out, nil
}

// sameValue compares two values of an attribute as any kind of object would.
func sameValue(t cryptoki.AttributeType, a, b []byte) bool {
	for _, f := range forms[t] {
		if bytes.Equal(f.normal(a), f.normal(b)) {
			return true
		}
	}
	return false
}
