package object

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tidelock.dev/tidelock/cryptoki"
)

func TestSetAndCopy(t *testing.T) {
	const (
		sensitive   = cryptoki.CKA_SENSITIVE
		extractable = cryptoki.CKA_EXTRACTABLE
		readOnly    = cryptoki.CKR_ATTRIBUTE_READ_ONLY
		prohibited  = cryptoki.CKR_ACTION_PROHIBITED
		ok          = cryptoki.CKR_OK
	)
	key := with(samples["aes"], sensitive, false, extractable, true)
	closedKey := with(samples["aes"], sensitive, true, extractable, false, cryptoki.CKA_WRAP_WITH_TRUSTED, true)
	fixedKey := with(key, cryptoki.CKA_MODIFIABLE, false)
	for _, c := range []struct {
		what      string
		of        cryptoki.Template
		change    cryptoki.Template
		set, copy cryptoki.RV
	}{
		{"nothing", key, nil, ok, ok},
		{"label and id", key, attributes(cryptoki.CKA_LABEL, "new", cryptoki.CKA_ID, "new"), ok, ok},
		{"sensitive", key, attributes(sensitive, true), ok, ok},
		{"sensitive still", closedKey, attributes(sensitive, true), ok, ok},
		{"sensitive no more", closedKey, attributes(sensitive, false), readOnly, readOnly},
		{"not extractable", key, attributes(extractable, false), ok, ok},
		{"not extractable still", closedKey, attributes(extractable, false), ok, ok},
		{"extractable again", closedKey, attributes(extractable, true), readOnly, readOnly},
		{"wrap with trusted", key, attributes(cryptoki.CKA_WRAP_WITH_TRUSTED, true), ok, ok},
		{"wrap with any", closedKey, attributes(cryptoki.CKA_WRAP_WITH_TRUSTED, false), readOnly, readOnly},
		{"trusted", key, attributes(cryptoki.CKA_TRUSTED, true), readOnly, readOnly},
		{"token", key, attributes(cryptoki.CKA_TOKEN, true), readOnly, ok},
		{"public", key, attributes(cryptoki.CKA_PRIVATE, false), readOnly, readOnly},
		{"private", with(key, cryptoki.CKA_PRIVATE, false), attributes(cryptoki.CKA_PRIVATE, true), readOnly, ok},
		{"class", key, attributes(cryptoki.CKA_CLASS, cryptoki.CKO_DATA), readOnly, readOnly},
		{"key type", key, attributes(cryptoki.CKA_KEY_TYPE, cryptoki.CKK_GENERIC_SECRET), readOnly, readOnly},
		{"value", key, attributes(cryptoki.CKA_VALUE, odd(32)), readOnly, readOnly},
		{"length", key, attributes(cryptoki.CKA_VALUE_LEN, 16), readOnly, readOnly},
		{"local", key, attributes(cryptoki.CKA_LOCAL, true), readOnly, readOnly},
		{"always sensitive", key, attributes(cryptoki.CKA_ALWAYS_SENSITIVE, true), readOnly, readOnly},
		{"never extractable", key, attributes(cryptoki.CKA_NEVER_EXTRACTABLE, true), readOnly, readOnly},
		{"unique id", key, attributes(cryptoki.CKA_UNIQUE_ID, "x"), readOnly, readOnly},
		{"allowed mechanisms", key, attributes(cryptoki.CKA_ALLOWED_MECHANISMS, ""), readOnly, readOnly},
		{"unknown", key, attributes(cryptoki.AttributeType(0x8fffffff), ""), cryptoki.CKR_ATTRIBUTE_TYPE_INVALID, cryptoki.CKR_ATTRIBUTE_TYPE_INVALID},
		{"not a key's", key, attributes(cryptoki.CKA_MODULUS, odd(9)), cryptoki.CKR_TEMPLATE_INCONSISTENT, cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"bad bool", key, attributes(cryptoki.CKA_ENCRYPT, "true"), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"twice", key, attributes(cryptoki.CKA_LABEL, "1", cryptoki.CKA_LABEL, "2"), cryptoki.CKR_TEMPLATE_INCONSISTENT, cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"dates", key, attributes(cryptoki.CKA_START_DATE, "20270101", cryptoki.CKA_END_DATE, "20260101"), cryptoki.CKR_TEMPLATE_INCONSISTENT, cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"end before the start that is there", with(key, cryptoki.CKA_START_DATE, "20270101"), attributes(cryptoki.CKA_END_DATE, "20260101"), cryptoki.CKR_TEMPLATE_INCONSISTENT, cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"one good, one bad", key, attributes(cryptoki.CKA_LABEL, "new", cryptoki.CKA_LOCAL, true), readOnly, readOnly},

		{"not modifiable any more", key, attributes(cryptoki.CKA_MODIFIABLE, false), ok, ok},
		{"modifiable again", fixedKey, attributes(cryptoki.CKA_MODIFIABLE, true), readOnly, readOnly},
		{"label of what is not modifiable", fixedKey, attributes(cryptoki.CKA_LABEL, "new"), prohibited, prohibited},
		{"sensitive what is not modifiable", fixedKey, attributes(sensitive, true), prohibited, prohibited},
		{"token of what is not modifiable", fixedKey, attributes(cryptoki.CKA_TOKEN, true), readOnly, ok},
		{"nothing of what is not modifiable", fixedKey, nil, prohibited, ok},
		{"same of what is not modifiable", fixedKey, attributes(cryptoki.CKA_ID, ""), prohibited, ok},
		{"not copyable any more", key, attributes(cryptoki.CKA_COPYABLE, false), ok, ok},
		{"copyable again", with(key, cryptoki.CKA_COPYABLE, false), attributes(cryptoki.CKA_COPYABLE, true), readOnly, prohibited},
		{"copy of what is not copyable", with(key, cryptoki.CKA_COPYABLE, false), nil, ok, prohibited},
		{"not destroyable any more", key, attributes(cryptoki.CKA_DESTROYABLE, false), ok, ok},
		{"destroyable again", with(key, cryptoki.CKA_DESTROYABLE, false), attributes(cryptoki.CKA_DESTROYABLE, true), readOnly, readOnly},

		{"content of data", samples["data"], attributes(cryptoki.CKA_VALUE, "new", cryptoki.CKA_APPLICATION, "a"), ok, ok},
		{"content of a certificate", samples["certificate"], attributes(cryptoki.CKA_VALUE, "new"), readOnly, readOnly},
		{"issuer of a certificate", samples["certificate"], attributes(cryptoki.CKA_ISSUER, "i", cryptoki.CKA_SERIAL_NUMBER, "s"), ok, ok},
		{"subject of a certificate", samples["certificate"], attributes(cryptoki.CKA_SUBJECT, "s"), readOnly, readOnly},
		{"issuer of an attribute certificate", samples["attribute certificate"], attributes(cryptoki.CKA_AC_ISSUER, "i", cryptoki.CKA_ATTR_TYPES, "t"), ok, ok},
		{"owner of an attribute certificate", samples["attribute certificate"], attributes(cryptoki.CKA_OWNER, "o"), readOnly, readOnly},
		{"check value of a certificate", samples["certificate"], attributes(cryptoki.CKA_CHECK_VALUE, ""), readOnly, readOnly},
		{"check value", key, attributes(cryptoki.CKA_CHECK_VALUE, "abc"), readOnly, readOnly},
		{"no check value", key, attributes(cryptoki.CKA_CHECK_VALUE, ""), ok, ok},
		{"prime", samples["dh parameters"], attributes(cryptoki.CKA_PRIME, odd(20)), readOnly, readOnly},
		{"label of parameters", samples["dsa parameters"], attributes(cryptoki.CKA_LABEL, "l"), ok, ok},
		{"trusted certificate", samples["certificate"], attributes(cryptoki.CKA_TRUSTED, true), readOnly, readOnly},
		{"context login", samples["ec private"], attributes(cryptoki.CKA_ALWAYS_AUTHENTICATE, true), readOnly, readOnly},
	} {
		o := create(t, c.of)
		before := o.Metadata()
		for how, f := range map[string]struct {
			change func(*Object, cryptoki.Template) (*Object, error)
			want   cryptoki.RV
		}{"set": {(*Object).Set, c.set}, "copy": {(*Object).Copy, c.copy}} {
			t.Run(c.what+", "+how, func(t *testing.T) {
				n, err := f.change(o, c.change)
				wantCode(t, err, f.want)
				if !bytes.Equal(o.Metadata(), before) {
					t.Error("the object changed")
				}
				if err != nil {
					return
				}
				for _, a := range c.change {
					if !bytes.Equal(n.Value(a.Type), a.Value) {
						t.Errorf("%v is %x, want %x", a.Type, n.Value(a.Type), a.Value)
					}
				}
				if n.Size() != rebuilt(t, n).Size() {
					t.Error("the object does not survive Parse")
				}
			})
		}
	}
}

// TestTrustedCertificate: nobody changes what the SO has said is to be trusted, but a copy is
// not trusted.
func TestTrustedCertificate(t *testing.T) {
	o, err := create(t, samples["certificate"]).Trust(true)
	if err != nil {
		t.Fatal(err)
	}
	change := attributes(cryptoki.CKA_ISSUER, "i")
	_, err = o.Set(change)
	wantCode(t, err, cryptoki.CKR_ACTION_PROHIBITED)
	n, err := o.Copy(change)
	if err != nil || n.Bool(cryptoki.CKA_TRUSTED) {
		t.Errorf("a copy: trusted %v, %v", n.Bool(cryptoki.CKA_TRUSTED), err)
	}
	if n, err = o.Trust(false); err == nil {
		_, err = n.Set(change)
	}
	wantCode(t, err, cryptoki.CKR_OK)
}

// TestNoCheckValue: a key whose check value was taken away has none, and nobody gets it back.
func TestNoCheckValue(t *testing.T) {
	o := create(t, samples["aes"])
	if _, status := o.Read(cryptoki.CKA_CHECK_VALUE); status != Present {
		t.Fatal("no check value")
	}
	n, err := o.Set(attributes(cryptoki.CKA_CHECK_VALUE, ""))
	if err != nil {
		t.Fatal(err)
	}
	if _, status := n.Read(cryptoki.CKA_CHECK_VALUE); status != Absent {
		t.Errorf("status %d", status)
	}
	_, err = n.Set(attributes(cryptoki.CKA_CHECK_VALUE, o.Value(cryptoki.CKA_CHECK_VALUE)))
	wantCode(t, err, cryptoki.CKR_ATTRIBUTE_READ_ONLY)
}

// TestClosed: an object whose value part was not opened changes in its metadata
// only.
func TestClosed(t *testing.T) {
	o, err := Parse(create(t, samples["data"]).Metadata(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Set(attributes(cryptoki.CKA_LABEL, "new")); err != nil {
		t.Error(err)
	}
	_, err = o.Set(attributes(cryptoki.CKA_VALUE, "new"))
	wantCode(t, err, cryptoki.CKR_GENERAL_ERROR)
}

// TestCopyForgetsTrust makes a trusted key as only storage can hold it by now.
func TestCopyForgetsTrust(t *testing.T) {
	o := create(t, samples["rsa public"]).fork()
	o.put(o.rules.byType[cryptoki.CKA_TRUSTED], cryptoki.Bool(true))
	o = rebuilt(t, o)
	n, err := o.Set(attributes(cryptoki.CKA_LABEL, "new"))
	if err != nil {
		t.Fatal(err)
	}
	wantBools(t, n, cryptoki.CKA_TRUSTED, true)
	if n, err = o.Copy(attributes(cryptoki.CKA_LABEL, "new")); err != nil {
		t.Fatal(err)
	}
	wantBools(t, n, cryptoki.CKA_TRUSTED, false)
}

// rebuilt is the object after a trip through storage.
func rebuilt(t rapid.TB, o *Object) *Object {
	t.Helper()
	metadata, secrets := o.Metadata(), o.Secrets()
	n, err := Parse(metadata, secrets)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(n.Metadata(), metadata) || !bytes.Equal(n.Secrets(), secrets) ||
		!bytes.Equal(n.SecurityContext(), o.SecurityContext()) {
		t.Fatal("another object after Parse")
	}
	return n
}

// anyObject draws an object of any kind, created or generated, with any flags.
func anyObject(t *rapid.T) *Object {
	names := slices.Sorted(maps.Keys(samples))
	name := rapid.SampledFrom(names).Draw(t, "sample")
	template := samples[name]
	o := create(t, template)
	var flags cryptoki.Template
	for _, r := range o.rules.rules {
		if r.create == optional && r.attribute != cryptoki.CKA_MODIFIABLE && r.attribute.Kind() == cryptoki.KindBool && rapid.Bool().Draw(t, "give") {
			flags = append(flags, attributes(r.attribute, rapid.Bool().Draw(t, r.attribute.String()))...)
		}
	}
	flags = with(flags, cryptoki.CKA_LABEL, rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "label"))
	if name == "aes" && rapid.Bool().Draw(t, "generated") {
		o, err := generateAES(flags)
		if err != nil {
			t.Skip("conflicting purposes")
		}
		return o
	}
	o, err := FromTemplate(Context{LoggedIn: rapid.Bool().Draw(t, "logged in")}, slices.Concat(template, flags))
	if err != nil {
		t.Skip("conflicting attributes")
	}
	return o
}

// anyChange draws a template of attributes that the object has or has not, with
// values that may be good or bad.
func anyChange(t *rapid.T, o *Object) cryptoki.Template {
	types := make([]cryptoki.AttributeType, 0, len(o.rules.rules)+1)
	for _, r := range o.rules.rules {
		types = append(types, r.attribute)
	}
	types = append(types, cryptoki.CKA_PRIME)
	var change cryptoki.Template
	for _, typ := range rapid.SliceOfNDistinct(rapid.SampledFrom(types), 1, rapid.SampledFrom([]int{1, 1, 3}).Draw(t, "most"), rapid.ID).Draw(t, "types") {
		v := cryptoki.Bool(rapid.Bool().Draw(t, typ.String()))
		if typ.Kind() != cryptoki.KindBool || rapid.IntRange(0, 9).Draw(t, "bad") == 0 {
			v = rapid.SampledFrom([][]byte{{}, {2}, cryptoki.ULong(uint64(0)), odd(32), []byte("20260101")}).Draw(t, typ.String())
		}
		change = append(change, cryptoki.Attribute{Type: typ, Value: v})
	}
	return change
}

// TestNeverWidens: no sequence of changes and copies gives a key back what it lost,
// makes a better history for it, or brings two conflicting purposes together.
func TestNeverWidens(t *testing.T) {
	up := []cryptoki.AttributeType{cryptoki.CKA_PRIVATE, cryptoki.CKA_SENSITIVE, cryptoki.CKA_WRAP_WITH_TRUSTED}
	down := []cryptoki.AttributeType{cryptoki.CKA_EXTRACTABLE, cryptoki.CKA_MODIFIABLE, cryptoki.CKA_COPYABLE, cryptoki.CKA_DESTROYABLE}
	same := []cryptoki.AttributeType{cryptoki.CKA_LOCAL, cryptoki.CKA_ALWAYS_SENSITIVE, cryptoki.CKA_NEVER_EXTRACTABLE,
		cryptoki.CKA_KEY_GEN_MECHANISM, cryptoki.CKA_ALLOWED_MECHANISMS, cryptoki.CKA_ALWAYS_AUTHENTICATE, cryptoki.CKA_TRUSTED,
		cryptoki.CKA_CLASS, cryptoki.CKA_KEY_TYPE}
	var changed int
	rapid.Check(t, func(t *rapid.T) {
		o := anyObject(t)
		mixed, ever := o.mixed(), purposesOf(o.Bool)
		secrets := o.rules.kind&confidential != 0
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			change := anyChange(t, o)
			f := rapid.SampledFrom([]func(*Object, cryptoki.Template) (*Object, error){(*Object).Set, (*Object).Copy}).Draw(t, "how")
			before := o.Metadata()
			n, err := f(o, change)
			if !bytes.Equal(before, o.Metadata()) {
				t.Fatal("the object itself changed")
			}
			if err != nil {
				continue
			}
			changed++
			for _, a := range up {
				if o.Bool(a) && !n.Bool(a) {
					t.Fatalf("%v became false", a)
				}
			}
			for _, a := range down {
				if !o.Bool(a) && n.Bool(a) {
					t.Fatalf("%v became true", a)
				}
			}
			for _, a := range same {
				if !bytes.Equal(o.Value(a), n.Value(a)) {
					t.Fatalf("%v changed", a)
				}
			}
			if secrets && !bytes.Equal(o.Secrets(), n.Secrets()) {
				t.Fatal("the value changed")
			}
			for _, v := range o.values {
				_, was := o.Read(v.typ)
				if _, is := n.Read(v.typ); is < was {
					t.Fatalf("%v can be read", v.typ)
				}
			}
			ever |= purposesOf(n.Bool)
			if !mixed && conflictOf(n.rules.kind, ever) != nil {
				t.Fatalf("conflicting purposes %#x", ever)
			}
			if n.granted&^narrow != ever {
				t.Fatalf("purposes %#x are on record, %#x were granted", n.granted, ever)
			}
			o = rebuilt(t, n)
		}
	})
	if changed == 0 {
		t.Fatal("no change was ever accepted")
	}
}
