package object

import (
	"bytes"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tidelock.dev/tidelock/cryptoki"
)

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := anyObject(t)
		n := rebuilt(t, o)
		for _, r := range o.rules.rules {
			if !bytes.Equal(o.Value(r.attribute), n.Value(r.attribute)) || (o.Value(r.attribute) == nil) != (n.Value(r.attribute) == nil) {
				t.Fatalf("%v is %x, was %x", r.attribute, n.Value(r.attribute), o.Value(r.attribute))
			}
		}

		closed, err := Parse(o.Metadata(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(closed.Metadata(), o.Metadata()) || !bytes.Equal(closed.SecurityContext(), o.SecurityContext()) || closed.Size() != o.Size() {
			t.Fatal("a closed object is another one")
		}
		for _, v := range o.values {
			got, s := closed.Read(v.typ)
			if s != Sensitive || got != nil || closed.Value(v.typ) != nil || closed.Secrets() != nil {
				t.Fatalf("%v of a closed object reads %x, status %d", v.typ, got, s)
			}
		}
		if secrets := o.Secrets(); secrets != nil {
			open, err := closed.Open(secrets)
			if err != nil {
				t.Fatal(err)
			}
			clear(secrets)
			if !bytes.Equal(open.Secrets(), o.Secrets()) || closed.Secrets() != nil {
				t.Fatal("Open gave another object, or opened the closed one")
			}
		}
	})
}

// TestEncodings holds the encodings fast: what is stored must stay readable.
func TestEncodings(t *testing.T) {
	ctx := Context{Origin: Generated, Mechanism: cryptoki.CKM_AES_KEY_GEN, LoggedIn: true, Format: FormatPlain}
	key, err := New(ctx, cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES,
		attributes(cryptoki.CKA_LABEL, "k", cryptoki.CKA_ENCRYPT, true, cryptoki.CKA_VALUE_LEN, 16), attributes(cryptoki.CKA_VALUE, []byte("0123456789abcdef")))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		got  []byte
		want string
	}{
		{"metadata", key.Metadata(), metadataOfKey},
		{"secrets", key.Secrets(), "11 10 30313233343536373839616263646566"},
		{"security context", key.SecurityContext(), contextOfKey},
		{"metadata of data", create(t, samples["data"]).Metadata(), metadataOfData},
		{"metadata of the upgraded key", key.Upgraded(FormatPerKey).Metadata(), metadataOfUpgraded},
		{"security context of the upgraded key", key.Upgraded(FormatPerKey).SecurityContext(), contextOfKey},
	} {
		if want, err := hex.DecodeString(strings.Join(strings.Fields(c.want), "")); err != nil || !bytes.Equal(c.got, want) {
			t.Errorf("%s is\n%x, want\n%x (%v)", c.what, c.got, want, err)
		}
	}
}

const (
	metadataOfKey = `01 01 1c
		00 08 0400000000000000  01 01 00  02 01 01  03 01 6b
		8601 01 00  9001 03 0b9b15  8002 08 1f00000000000000  8202 00  8302 01 01  8402 01 01  8502 01 00  8602 01 00  8702 01 00
		8802 01 00  8a02 01 00  8c02 01 00  9002 00  9102 00  e102 08 1000000000000000  e202 01 00  e302 01 01
		e402 01 01  e502 01 01  e602 08 8010000000000000  f002 01 01  f102 01 01  f202 01 01  9004 01 00
		01  11 10`
	metadataOfUpgraded = `02 01 1f
		00 08 0400000000000000  01 01 00  02 01 01  03 01 6b
		8601 01 00  9001 03 0b9b15  8002 08 1f00000000000000  8202 00  8302 01 01  8402 01 01  8502 01 00  8602 01 00  8702 01 00
		8802 01 00  8a02 01 00  8c02 01 00  9002 00  9102 00  e102 08 1000000000000000  e202 01 00  e302 01 01
		e402 01 01  e502 01 01  e602 08 8010000000000000  f002 01 01  f102 01 01  f202 01 01  9004 01 00
		86a0808008 01 00  87a0808008 04 00030000  88a0808008 08 0000000000000000
		01  11 10`
	contextOfKey = `01 01
		00 08 0400000000000000  02 01 01  8002 08 1f00000000000000  8302 01 01  8402 01 01  e302 01 01  e402 01 01
		e502 01 01  e602 08 8010000000000000  f002 01 01  f102 01 01`
	metadataOfData = `02 00 09
		00 08 0000000000000000  01 01 00  02 01 01  03 00  10 00  12 00  f002 01 01  f102 01 01  f202 01 01
		01  11 00`
)

// TestSecurityContext changes each attribute that may change by Set or Copy and looks
// whether the context tells.
func TestSecurityContext(t *testing.T) {
	names := map[cryptoki.AttributeType]bool{cryptoki.CKA_TOKEN: true, cryptoki.CKA_DESTROYABLE: true, cryptoki.CKA_LABEL: true,
		cryptoki.CKA_ID: true, cryptoki.CKA_SUBJECT: true, cryptoki.CKA_CHECK_VALUE: true}
	o := create(t, with(samples["aes"], cryptoki.CKA_SENSITIVE, false, cryptoki.CKA_EXTRACTABLE, true, cryptoki.CKA_PRIVATE, false))
	copied, err := o.Copy(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range o.rules.rules {
		before, change := o, (*Object).Set
		if r.set == fixed {
			before, change = copied, (*Object).Copy
			if r.copy != free && r.copy != raise {
				continue
			}
		}
		v := cryptoki.Bool(!o.Bool(r.attribute))
		switch {
		case r.set == drop:
			v = nil
		case r.attribute.Kind() != cryptoki.KindBool:
			v = []byte("20260101")
		}
		n, err := change(before, cryptoki.Template{{Type: r.attribute, Value: v}})
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Equal(before.SecurityContext(), n.SecurityContext()); got != names[r.attribute] {
			t.Errorf("%v: the contexts are equal: %v", r.attribute, got)
		}
	}
	// That a purpose was there once counts as well.
	n, err := o.Set(uses(cryptoki.CKA_WRAP))
	if err == nil {
		n, err = n.Set(attributes(cryptoki.CKA_WRAP, false))
	}
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(o.SecurityContext(), n.SecurityContext()) {
		t.Error("the context does not tell of a purpose that the key had")
	}
}

func TestParseErrors(t *testing.T) {
	good := create(t, with(samples["aes"], cryptoki.CKA_ENCRYPT, true))
	alter := func(f func(*Object)) []byte {
		o := good.fork()
		f(o)
		return o.Metadata()
	}
	put := func(typ cryptoki.AttributeType, v []byte) func(*Object) {
		return func(o *Object) {
			i, ok := slices.BinarySearchFunc(o.shown, typ, byType)
			if !ok {
				o.shown = slices.Insert(o.shown, i, cryptoki.Attribute{Type: typ})
			}
			o.shown[i].Value = v
		}
	}
	remove := func(typ cryptoki.AttributeType) func(*Object) {
		return func(o *Object) {
			o.shown = slices.DeleteFunc(o.shown, func(a cryptoki.Attribute) bool { return a.Type == typ })
		}
	}
	m := good.Metadata()
	for what, metadata := range map[string][]byte{
		"empty":                           nil,
		"version":                         append([]byte{3}, m[1:]...),
		"version 0":                       append([]byte{0}, m[1:]...),
		"an older version":                append([]byte{1}, m[1:]...),
		"too long":                        make([]byte, maxEncoded+1),
		"left over":                       append(bytes.Clone(m), 0),
		"long number":                     append([]byte{1, 0x81, 0}, m[2:]...),
		"number without end":              {1, 0x80},
		"too many attributes":             append([]byte{1, 1, 0xff, 0x7f}, make([]byte, 0x8000)...),
		"count beyond the end":            {1, 1, 5, 0, 0},
		"no class":                        alter(remove(cryptoki.CKA_CLASS)),
		"no key type":                     alter(remove(cryptoki.CKA_KEY_TYPE)),
		"no CKA_SENSITIVE":                alter(remove(cryptoki.CKA_SENSITIVE)),
		"no history":                      alter(remove(cryptoki.CKA_ALWAYS_SENSITIVE)),
		"no value":                        alter(func(o *Object) { o.values = nil }),
		"unknown class":                   alter(put(cryptoki.CKA_CLASS, cryptoki.ULong(uint64(77)))),
		"short class":                     alter(put(cryptoki.CKA_CLASS, []byte{4})),
		"bool of 2":                       alter(put(cryptoki.CKA_SENSITIVE, []byte{2})),
		"another key's":                   alter(put(cryptoki.CKA_MODULUS, odd(256))),
		"unknown attribute":               alter(put(0x8fffffff, nil)),
		"unknown, before an optional one": alter(put(0x40000500, nil)),
		"value in metadata":               alter(func(o *Object) { put(cryptoki.CKA_VALUE, odd(32))(o); o.values = nil }),
		"value in both":                   alter(put(cryptoki.CKA_VALUE, odd(32))),
		"label in the value": alter(func(o *Object) {
			remove(cryptoki.CKA_LABEL)(o)
			o.values = []value{{typ: cryptoki.CKA_LABEL}, o.values[0]}
		}),
		"values not in order": alter(func(o *Object) { o.values = append(o.values, value{typ: cryptoki.CKA_LABEL}) }),
		"not in order":        alter(func(o *Object) { slices.Reverse(o.shown) }),
		"twice":               alter(func(o *Object) { o.shown = slices.Insert(o.shown, 1, o.shown[1]) }),
		"endless value":       alter(func(o *Object) { o.values[0].length = maxEncoded + 1 }),
		"unknown purpose":     alter(func(o *Object) { o.granted |= 1 << 14 }),
		"purpose not granted": alter(func(o *Object) { o.granted = 0 }),
		"dates": alter(func(o *Object) {
			put(cryptoki.CKA_START_DATE, []byte("20270101"))(o)
			put(cryptoki.CKA_END_DATE, []byte("20260101"))(o)
		}),
	} {
		o, err := Parse(metadata, nil)
		if o != nil || cryptoki.Code(err) != cryptoki.CKR_DEVICE_ERROR {
			t.Errorf("%s: %v, error %v", what, o, err)
		}
	}
	for n := range m {
		if _, err := Parse(m[:n], nil); err == nil {
			t.Errorf("the first %d bytes of %d are accepted", n, len(m))
		}
	}

	s := good.Secrets()
	for what, secrets := range map[string][]byte{
		"empty":       {},
		"cut":         s[:len(s)-1],
		"left over":   append(bytes.Clone(s), 0),
		"other type":  append([]byte{0x12}, s[1:]...),
		"shorter":     append([]byte{0x11, 16}, odd(16)...),
		"long number": append([]byte{0x91, 0}, s[1:]...),
		"too long":    make([]byte, maxEncoded+1),
	} {
		o, err := Parse(m, secrets)
		if o != nil || cryptoki.Code(err) != cryptoki.CKR_DEVICE_ERROR {
			t.Errorf("secrets %s: %v, error %v", what, o, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range slices.Sorted(maps.Keys(samples)) {
		o := create(f, samples[name])
		f.Add(o.Metadata(), o.Secrets())
		f.Add(o.Metadata(), []byte(nil))
	}
	f.Fuzz(func(t *testing.T, metadata, secrets []byte) {
		if len(secrets) == 0 {
			secrets = nil
		}
		o, err := Parse(metadata, secrets)
		if err != nil {
			return
		}
		if !bytes.Equal(o.Metadata(), metadata) {
			t.Errorf("metadata %x, not %x", o.Metadata(), metadata)
		}
		if !o.closed && !bytes.Equal(o.Secrets(), secrets) {
			t.Errorf("secrets %x, not %x", o.Secrets(), secrets)
		}
		exercise(o)
	})
}

func FuzzFromTemplate(f *testing.F) {
	for _, name := range slices.Sorted(maps.Keys(samples)) {
		var b []byte
		for _, a := range samples[name] {
			b = appendAttribute(b, a.Type, a.Value)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		// The attributes until the first that does not parse are the template.
		var template cryptoki.Template
		for r := (reader{b: b}); ; {
			a := cryptoki.Attribute{Type: cryptoki.AttributeType(r.number()), Value: r.bytes(r.number())}
			if r.err != nil {
				break
			}
			template = append(template, a)
		}
		o, err := FromTemplate(Context{}, template)
		if (o == nil) != (err != nil) {
			t.Fatalf("object %v with error %v", o, err)
		}
		if err != nil {
			if code := cryptoki.Code(err); code == cryptoki.CKR_GENERAL_ERROR || code == cryptoki.CKR_OK {
				t.Errorf("%v", err)
			}
			return
		}
		for _, a := range []cryptoki.AttributeType{cryptoki.CKA_LOCAL, cryptoki.CKA_ALWAYS_SENSITIVE, cryptoki.CKA_NEVER_EXTRACTABLE, cryptoki.CKA_TRUSTED} {
			if o.Bool(a) {
				t.Errorf("an object that was created has %v", a)
			}
		}
		exercise(rebuilt(t, o))
	})
}

// exercise calls what must not fail on any object.
func exercise(o *Object) {
	for _, r := range o.rules.rules {
		v, _ := o.Read(r.attribute)
		o.Matches(cryptoki.Template{{Type: r.attribute, Value: v}})
		_, _ = o.Set(cryptoki.Template{{Type: r.attribute, Value: v}})
		_, _ = o.Copy(cryptoki.Template{{Type: r.attribute, Value: v}})
	}
	o.AllowsMechanism(cryptoki.CKM_AES_GCM)
	o.mixed()
	_ = o.String()
	o.SecurityContext()
	o.Size()
}
