package object

import (
	"bytes"
	"encoding/binary"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// innerOf is a template in the form of an attribute's value.
func innerOf(t cryptoki.Template) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(t)))
	for _, a := range t {
		b = binary.LittleEndian.AppendUint64(b, uint64(a.Type))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(a.Value)))
		b = append(b, a.Value...)
	}
	return b
}

func TestInnerTemplates(t *testing.T) {
	many := func(n int) cryptoki.Template { return make(cryptoki.Template, n) }
	good := innerOf(attributes(cryptoki.CKA_EXTRACTABLE, false, cryptoki.CKA_LABEL, "l"))
	for _, c := range []struct {
		what  string
		value []byte
		want  cryptoki.RV
	}{
		{"two attributes", good, cryptoki.CKR_OK},
		{"none", innerOf(nil), cryptoki.CKR_OK},
		{"nothing", nil, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"cut", good[:len(good)-1], cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"cut in an attribute's head", good[:10], cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"more", append(bytes.Clone(good), 0), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"too many", innerOf(many(maxInner + 1)), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"too long", innerOf(attributes(cryptoki.CKA_LABEL, odd(4096), cryptoki.CKA_ID, odd(4096))), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"an unknown attribute", innerOf(attributes(cryptoki.AttributeType(0x8fffffff), true)), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"a malformed value", innerOf(attributes(cryptoki.CKA_EXTRACTABLE, "yes")), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"a value of another kind of key", innerOf(attributes(cryptoki.CKA_VALUE, odd(17))), cryptoki.CKR_OK},
		{"the same twice", innerOf(attributes(cryptoki.CKA_LABEL, "a", cryptoki.CKA_LABEL, "a")), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"a template in a template", innerOf(attributes(cryptoki.CKA_WRAP_TEMPLATE, innerOf(nil))), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
	} {
		t.Run(c.what, func(t *testing.T) {
			o, err := FromTemplate(Context{}, with(samples["aes"], cryptoki.CKA_UNWRAP_TEMPLATE, c.value))
			wantCode(t, err, c.want)
			if err != nil {
				return
			}
			if v, s := rebuilt(t, o).Read(cryptoki.CKA_UNWRAP_TEMPLATE); s != Present || !bytes.Equal(v, c.value) {
				t.Errorf("reads %x, status %d", v, s)
			}
			_, err = o.Set(attributes(cryptoki.CKA_UNWRAP_TEMPLATE, c.value))
			wantCode(t, err, cryptoki.CKR_ATTRIBUTE_READ_ONLY)
		})
	}
	for sample, want := range map[string]cryptoki.RV{
		"rsa public": cryptoki.CKR_TEMPLATE_INCONSISTENT, "data": cryptoki.CKR_TEMPLATE_INCONSISTENT, "ec private": cryptoki.CKR_OK,
	} {
		_, err := FromTemplate(Context{}, with(samples[sample], cryptoki.CKA_UNWRAP_TEMPLATE, good))
		wantCode(t, err, want)
	}
}

func TestImpose(t *testing.T) {
	key := create(t, with(samples["aes"], cryptoki.CKA_UNWRAP_TEMPLATE,
		innerOf(attributes(cryptoki.CKA_EXTRACTABLE, false, cryptoki.CKA_MODULUS, "\x01\x03"))))
	for _, c := range []struct {
		what        string
		given, want cryptoki.Template
		code        cryptoki.RV
	}{
		{"nothing", nil, attributes(cryptoki.CKA_EXTRACTABLE, false, cryptoki.CKA_MODULUS, "\x01\x03"), cryptoki.CKR_OK},
		{"the same", attributes(cryptoki.CKA_MODULUS, "\x00\x01\x03", cryptoki.CKA_EXTRACTABLE, false),
			attributes(cryptoki.CKA_MODULUS, "\x00\x01\x03", cryptoki.CKA_EXTRACTABLE, false), cryptoki.CKR_OK},
		{"other", attributes(cryptoki.CKA_LABEL, "l"),
			attributes(cryptoki.CKA_LABEL, "l", cryptoki.CKA_EXTRACTABLE, false, cryptoki.CKA_MODULUS, "\x01\x03"), cryptoki.CKR_OK},
		{"the contrary", attributes(cryptoki.CKA_EXTRACTABLE, true), nil, cryptoki.CKR_TEMPLATE_INCONSISTENT},
	} {
		t.Run(c.what, func(t *testing.T) {
			got, err := key.Impose(cryptoki.CKA_UNWRAP_TEMPLATE, c.given)
			wantCode(t, err, c.code)
			if !bytes.Equal(innerOf(got), innerOf(c.want)) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if got, err := key.Impose(cryptoki.CKA_DERIVE_TEMPLATE, nil); err != nil || got != nil {
		t.Errorf("a key without such a template imposes %v, %v", got, err)
	}
}

func FuzzInnerTemplate(f *testing.F) {
	f.Add(innerOf(attributes(cryptoki.CKA_EXTRACTABLE, false, cryptoki.CKA_LABEL, "l")))
	f.Add(innerOf(nil))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, v []byte) {
		list, err := parseInner(v)
		if err != nil {
			return
		}
		if !bytes.Equal(innerOf(list), v) {
			t.Errorf("%x reads as %v", v, list)
		}
	})
}
