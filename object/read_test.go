package object

import (
	"strings"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

func TestRead(t *testing.T) {
	secrets := map[string][]cryptoki.AttributeType{
		"aes":             {cryptoki.CKA_VALUE},
		"generic":         {cryptoki.CKA_VALUE},
		"ec private":      {cryptoki.CKA_VALUE},
		"edwards private": {cryptoki.CKA_VALUE},
		"rsa private": {cryptoki.CKA_PRIVATE_EXPONENT, cryptoki.CKA_PRIME_1, cryptoki.CKA_PRIME_2,
			cryptoki.CKA_EXPONENT_1, cryptoki.CKA_EXPONENT_2, cryptoki.CKA_COEFFICIENT},
	}
	crt := attributes(cryptoki.CKA_EXPONENT_1, odd(128), cryptoki.CKA_EXPONENT_2, odd(128), cryptoki.CKA_COEFFICIENT, odd(128))
	for name, types := range secrets {
		for _, sensitive := range []bool{false, true} {
			for _, extractable := range []bool{false, true} {
				template := with(samples[name], cryptoki.CKA_SENSITIVE, sensitive, cryptoki.CKA_EXTRACTABLE, extractable)
				if name == "rsa private" {
					template = append(template, crt...)
				}
				o := create(t, template)
				want := Sensitive
				if !sensitive && extractable {
					want = Present
				}
				for _, typ := range types {
					v, s := o.Read(typ)
					if s != want || (s == Present) != (v != nil) {
						t.Errorf("%s, sensitive %v, extractable %v: %v reads %x, status %d", name, sensitive, extractable, typ, v, s)
					}
					search, _ := template.Find(typ)
					if o.Matches(attributes(typ, search)) != (want == Present) {
						t.Errorf("%s, sensitive %v, extractable %v: a search for %v tells its value", name, sensitive, extractable, typ)
					}
					if string(o.Value(typ)) != string(search) {
						t.Errorf("%s: Value(%v) is %x", name, typ, o.Value(typ))
					}
				}
			}
		}
	}
	o := create(t, samples["rsa private"])
	for _, typ := range []cryptoki.AttributeType{cryptoki.CKA_COEFFICIENT, cryptoki.CKA_VALUE, cryptoki.CKA_ALLOWED_MECHANISMS, 0x8fffffff} {
		if v, s := o.Read(typ); s != Absent || v != nil || o.Value(typ) != nil {
			t.Errorf("%v reads %x, status %d", typ, v, s)
		}
	}
	// What a data object or certificate holds is no key.
	wantBools(t, create(t, with(samples["data"], cryptoki.CKA_VALUE, "x")), cryptoki.CKA_VALUE, "x")
	wantBools(t, create(t, samples["certificate"]), cryptoki.CKA_VALUE, "certificate")
}

func TestMatches(t *testing.T) {
	o := create(t, with(samples["rsa public"], cryptoki.CKA_LABEL, "web", cryptoki.CKA_ID, []byte{1}))
	for _, c := range []struct {
		template cryptoki.Template
		want     bool
	}{
		{nil, true},
		{attributes(cryptoki.CKA_LABEL, "web", cryptoki.CKA_CLASS, cryptoki.CKO_PUBLIC_KEY), true},
		{attributes(cryptoki.CKA_LABEL, "web", cryptoki.CKA_CLASS, cryptoki.CKO_PRIVATE_KEY), false},
		{attributes(cryptoki.CKA_LABEL, "we"), false},
		{attributes(cryptoki.CKA_LABEL, ""), false},
		{attributes(cryptoki.CKA_TOKEN, false), true},
		{attributes(cryptoki.CKA_MODULUS_BITS, 2048), true},
		{attributes(cryptoki.CKA_MODULUS, append([]byte{0}, odd(256)...)), true},
		{attributes(cryptoki.CKA_VALUE, ""), false},
		{attributes(cryptoki.AttributeType(0x8fffffff), ""), false},
	} {
		if got := o.Matches(c.template); got != c.want {
			t.Errorf("Matches(%v) is %v", c.template, got)
		}
	}
}

func TestAllowsMechanism(t *testing.T) {
	list := append(cryptoki.ULong(cryptoki.CKM_AES_GCM), cryptoki.ULong(cryptoki.CKM_AES_CBC)...)
	for _, c := range []struct {
		template cryptoki.Template
		m        cryptoki.MechanismType
		want     bool
	}{
		{samples["aes"], cryptoki.CKM_AES_ECB, true},
		{with(samples["aes"], cryptoki.CKA_ALLOWED_MECHANISMS, list), cryptoki.CKM_AES_GCM, true},
		{with(samples["aes"], cryptoki.CKA_ALLOWED_MECHANISMS, list), cryptoki.CKM_AES_CBC, true},
		{with(samples["aes"], cryptoki.CKA_ALLOWED_MECHANISMS, list), cryptoki.CKM_AES_ECB, false},
		{with(samples["aes"], cryptoki.CKA_ALLOWED_MECHANISMS, ""), cryptoki.CKM_AES_GCM, false},
	} {
		if got := create(t, c.template).AllowsMechanism(c.m); got != c.want {
			t.Errorf("%v: AllowsMechanism(%v) is %v", c.template, c.m, got)
		}
	}
}

func TestSizeAndKind(t *testing.T) {
	o := create(t, samples["data"])
	if got := o.Size(); got != MinSize {
		t.Errorf("size %d, want %d", got, MinSize)
	}
	if o.KeyType() != noKeyType || o.Class() != cryptoki.CKO_DATA {
		t.Errorf("%v %v", o.Class(), o.KeyType())
	}
	n, err := o.Set(attributes(cryptoki.CKA_VALUE, strings.Repeat("x", 100)))
	if err != nil {
		t.Fatal(err)
	}
	if want := uint64(64 + 4 + 100); n.Size() != want {
		t.Errorf("size %d with a value of 100 bytes, want %d", n.Size(), want)
	}
	// 64, the value with its length, and the room for Per-Key Authorization.
	aes := create(t, with(samples["aes"], cryptoki.CKA_LABEL, strings.Repeat("l", 40)))
	if want := uint64(64 + 4 + len(aes.Value(cryptoki.CKA_VALUE)) + 4 + 40 + 96); aes.Size() != max(want, MinSize+96) {
		t.Errorf("size %d of an AES key, want %d", aes.Size(), want)
	}
	closed, err := Parse(n.Metadata(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if closed.Size() != n.Size() {
		t.Errorf("size %d when closed, %d when open", closed.Size(), n.Size())
	}
}
