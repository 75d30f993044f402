package object

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

func TestFromTemplateErrors(t *testing.T) {
	const (
		class     = cryptoki.CKA_CLASS
		sensitive = cryptoki.CKA_SENSITIVE
	)
	for _, c := range []struct {
		what     string
		template cryptoki.Template
		want     cryptoki.RV
	}{
		{"nothing", nil, cryptoki.CKR_TEMPLATE_INCOMPLETE},
		{"short class", attributes(class, []byte{0}), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"unknown class", attributes(class, 77), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"unsupported class", attributes(class, cryptoki.CKO_HW_FEATURE), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"no key type", without(samples["aes"], cryptoki.CKA_KEY_TYPE), cryptoki.CKR_TEMPLATE_INCOMPLETE},
		{"unknown key type", with(samples["aes"], cryptoki.CKA_KEY_TYPE, 0x7777), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"unavailable key type", with(samples["aes"], cryptoki.CKA_KEY_TYPE, noKeyType), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"key type of another class", with(samples["aes"], cryptoki.CKA_KEY_TYPE, cryptoki.CKK_RSA), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"data with a key type", with(samples["data"], cryptoki.CKA_KEY_TYPE, cryptoki.CKK_AES), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"unknown attribute", with(samples["aes"], cryptoki.AttributeType(0x8fffffff), true), cryptoki.CKR_ATTRIBUTE_TYPE_INVALID},
		{"attribute of another class", with(samples["aes"], cryptoki.CKA_MODULUS, odd(256)), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"attribute of another key type", with(samples["ec private"], cryptoki.CKA_PRIME_1, odd(256)), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"the same twice", append(attributes(cryptoki.CKA_LABEL, "a", cryptoki.CKA_LABEL, "a"), samples["aes"]...), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"two classes", append(attributes(class, cryptoki.CKO_SECRET_KEY), samples["aes"]...), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"bool of 2", with(samples["aes"], sensitive, []byte{2}), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"bool of 8 bytes", with(samples["aes"], sensitive, 1), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"empty bool", with(samples["aes"], sensitive, ""), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"AES key of 17 bytes", with(samples["aes"], cryptoki.CKA_VALUE, odd(17)), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"empty generic secret", with(samples["generic"], cryptoki.CKA_VALUE, ""), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"long label", with(samples["aes"], cryptoki.CKA_LABEL, strings.Repeat("x", maxName+1)), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"31 June", with(samples["aes"], cryptoki.CKA_START_DATE, "20260631"), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"short date", with(samples["aes"], cryptoki.CKA_START_DATE, "2026061"), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"end before start", with(samples["aes"], cryptoki.CKA_START_DATE, "20260601", cryptoki.CKA_END_DATE, "20260531"), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"half a mechanism", with(samples["aes"], cryptoki.CKA_ALLOWED_MECHANISMS, odd(12)), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"no certificate type", without(samples["certificate"], cryptoki.CKA_CERTIFICATE_TYPE), cryptoki.CKR_TEMPLATE_INCOMPLETE},
		{"unknown certificate type", with(samples["certificate"], cryptoki.CKA_CERTIFICATE_TYPE, 3), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"subject of an attribute certificate", with(samples["attribute certificate"], cryptoki.CKA_SUBJECT, "s"), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"certificate that is nowhere", with(samples["certificate"], cryptoki.CKA_VALUE, ""), cryptoki.CKR_TEMPLATE_INCOMPLETE},
		{"certificate elsewhere", with(samples["certificate"], cryptoki.CKA_VALUE, "", cryptoki.CKA_URL, "u",
			cryptoki.CKA_HASH_OF_SUBJECT_PUBLIC_KEY, odd(20), cryptoki.CKA_HASH_OF_ISSUER_PUBLIC_KEY, odd(20)), cryptoki.CKR_OK},
		{"certificate elsewhere, of an unknown issuer", with(samples["certificate"], cryptoki.CKA_VALUE, "", cryptoki.CKA_URL, "u",
			cryptoki.CKA_HASH_OF_SUBJECT_PUBLIC_KEY, odd(20)), cryptoki.CKR_TEMPLATE_INCOMPLETE},
		{"certificate elsewhere, of an unknown key", with(samples["wtls certificate"], cryptoki.CKA_URL, "u",
			cryptoki.CKA_HASH_OF_ISSUER_PUBLIC_KEY, odd(20)), cryptoki.CKR_TEMPLATE_INCOMPLETE},
		{"WTLS certificate of nobody", with(samples["wtls certificate"], cryptoki.CKA_SUBJECT, ""), cryptoki.CKR_TEMPLATE_INCOMPLETE},
		{"check value of a certificate", with(samples["certificate"], cryptoki.CKA_CHECK_VALUE, "\xb7\xd0\xa7"), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"DSA public key", with(samples["rsa public"], cryptoki.CKA_KEY_TYPE, cryptoki.CKK_DSA), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"RSA parameters", with(samples["dh parameters"], cryptoki.CKA_KEY_TYPE, cryptoki.CKK_RSA), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"subprime of DH", with(samples["dh parameters"], cryptoki.CKA_SUBPRIME, odd(9)), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"even prime", with(samples["dh parameters"], cryptoki.CKA_PRIME, "\xc0\x02"), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"base 0", with(samples["dh parameters"], cryptoki.CKA_BASE, "\x00"), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"base of a prime's size", with(samples["dh parameters"], cryptoki.CKA_BASE, odd(256)), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"subprime above the prime", with(samples["dsa parameters"], cryptoki.CKA_SUBPRIME, odd(257)), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"bits of a prime", with(samples["dsa parameters"], cryptoki.CKA_PRIME_BITS, 2048), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"local parameters", with(samples["dsa parameters"], cryptoki.CKA_LOCAL, false), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"modulus 0", with(samples["rsa public"], cryptoki.CKA_MODULUS, "\x00\x00"), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"even modulus", with(samples["rsa public"], cryptoki.CKA_MODULUS, "\xc0\x02"), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"even exponent", with(samples["rsa public"], cryptoki.CKA_PUBLIC_EXPONENT, "\x02"), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"exponent 1", with(samples["rsa public"], cryptoki.CKA_PUBLIC_EXPONENT, "\x00\x01"), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"huge modulus", with(samples["rsa public"], cryptoki.CKA_MODULUS, odd(maxNumber+1)), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"private exponent 0", with(samples["rsa private"], cryptoki.CKA_PRIVATE_EXPONENT, ""), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"context login for a public object", with(samples["ec private"], cryptoki.CKA_ALWAYS_AUTHENTICATE, true, cryptoki.CKA_PRIVATE, false), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"trusted key", with(samples["aes"], cryptoki.CKA_TRUSTED, true), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"trusted public key", with(samples["rsa public"], cryptoki.CKA_TRUSTED, true), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"trusted certificate", with(samples["certificate"], cryptoki.CKA_TRUSTED, true), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"not trusted", with(samples["aes"], cryptoki.CKA_TRUSTED, false), cryptoki.CKR_OK},
		{"unique id", with(samples["aes"], cryptoki.CKA_UNIQUE_ID, "x"), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"local", with(samples["aes"], cryptoki.CKA_LOCAL, true), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"not local", with(samples["aes"], cryptoki.CKA_LOCAL, false), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"always sensitive", with(samples["ec private"], cryptoki.CKA_ALWAYS_SENSITIVE, true), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"never extractable", with(samples["aes"], cryptoki.CKA_NEVER_EXTRACTABLE, true), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"generating mechanism", with(samples["aes"], cryptoki.CKA_KEY_GEN_MECHANISM, 1), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"length of a value", with(samples["aes"], cryptoki.CKA_VALUE_LEN, 32), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"bits of a modulus", with(samples["rsa public"], cryptoki.CKA_MODULUS_BITS, 2048), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
	} {
		t.Run(c.what, func(t *testing.T) {
			o, err := FromTemplate(Context{LoggedIn: true}, c.template)
			wantCode(t, err, c.want)
			if (o == nil) != (err != nil) {
				t.Errorf("object %v with error %v", o, err)
			}
		})
	}
}

// TestRequired takes each attribute out of the smallest templates in turn.
func TestRequired(t *testing.T) {
	optional := map[cryptoki.AttributeType]bool{cryptoki.CKA_PRIME_1: true, cryptoki.CKA_PRIME_2: true}
	for name, template := range samples {
		for _, a := range template {
			want := cryptoki.CKR_TEMPLATE_INCOMPLETE
			if optional[a.Type] {
				want = cryptoki.CKR_OK
			}
			t.Run(fmt.Sprint(name, " without ", a.Type), func(t *testing.T) {
				_, err := FromTemplate(Context{}, without(template, a.Type))
				wantCode(t, err, want)
			})
		}
	}
}

func TestCreatedDefaults(t *testing.T) {
	for name, template := range samples {
		o := create(t, with(template, cryptoki.CKA_LABEL, "l"))
		wantBools(t, o, cryptoki.CKA_TOKEN, false, cryptoki.CKA_MODIFIABLE, true, cryptoki.CKA_COPYABLE, true,
			cryptoki.CKA_DESTROYABLE, true, cryptoki.CKA_PRIVATE, o.rules.kind&(certificates|parameters) == 0, cryptoki.CKA_LABEL, "l")
		if o.rules.kind&confidential != 0 {
			wantBools(t, o, cryptoki.CKA_SENSITIVE, true, cryptoki.CKA_EXTRACTABLE, false, cryptoki.CKA_WRAP_WITH_TRUSTED, false,
				cryptoki.CKA_ALWAYS_SENSITIVE, false, cryptoki.CKA_NEVER_EXTRACTABLE, false, cryptoki.CKA_SIGN, false)
		}
		if o.rules.kind&keys != 0 {
			wantBools(t, o, cryptoki.CKA_LOCAL, false, cryptoki.CKA_KEY_GEN_MECHANISM, noKeyType, cryptoki.CKA_ID, "")
		}
		if p, err := FromTemplate(Context{}, template); err != nil || p.Private() {
			t.Errorf("%s: private for somebody who is not logged in, or %v", name, err)
		}
		for _, a := range template {
			if v := o.Value(a.Type); string(v) != string(a.Value) {
				t.Errorf("%s: %v is %x, want %x", name, a.Type, v, a.Value)
			}
		}
	}
}

func TestMeasured(t *testing.T) {
	for _, c := range []struct {
		modulus []byte
		bits    int
	}{
		{odd(256), 2048}, {append([]byte{0, 0}, odd(256)...), 2048}, {append([]byte{1}, odd(255)...), 2041},
	} {
		o := create(t, with(samples["rsa public"], cryptoki.CKA_MODULUS, c.modulus))
		wantBools(t, o, cryptoki.CKA_MODULUS_BITS, c.bits)
		if v := o.Value(cryptoki.CKA_MODULUS); v[0] == 0 {
			t.Error("a modulus kept its leading zeros")
		}
	}
	wantBools(t, create(t, samples["generic"]), cryptoki.CKA_VALUE_LEN, 20)
	// What the mechanism made counts, not what the template wished.
	o, err := New(Context{Origin: Generated}, cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES,
		attributes(cryptoki.CKA_VALUE_LEN, 16), attributes(cryptoki.CKA_VALUE, odd(32)))
	if err != nil {
		t.Fatal(err)
	}
	wantBools(t, o, cryptoki.CKA_VALUE_LEN, 32)
}

func TestGeneratedHistory(t *testing.T) {
	for _, sensitive := range []bool{false, true} {
		for _, extractable := range []bool{false, true} {
			o, err := generateAES(attributes(cryptoki.CKA_SENSITIVE, sensitive, cryptoki.CKA_EXTRACTABLE, extractable))
			if err != nil {
				t.Fatal(err)
			}
			wantBools(t, o, cryptoki.CKA_LOCAL, true, cryptoki.CKA_KEY_GEN_MECHANISM, int(cryptoki.CKM_AES_KEY_GEN),
				cryptoki.CKA_ALWAYS_SENSITIVE, sensitive, cryptoki.CKA_NEVER_EXTRACTABLE, !extractable)
		}
	}
	o, err := generateAES(nil)
	if err != nil {
		t.Fatal(err)
	}
	wantBools(t, o, cryptoki.CKA_SENSITIVE, true, cryptoki.CKA_EXTRACTABLE, false,
		cryptoki.CKA_ALWAYS_SENSITIVE, true, cryptoki.CKA_NEVER_EXTRACTABLE, true)
}

func TestGeneratedTemplates(t *testing.T) {
	secret := attributes(cryptoki.CKA_VALUE_LEN, 32)
	for _, c := range []struct {
		what     string
		class    cryptoki.ObjectClass
		keyType  cryptoki.KeyType
		template cryptoki.Template
		want     cryptoki.RV
	}{
		{"class and key type repeated", cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES, with(secret, cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_AES), cryptoki.CKR_OK},
		{"other class", cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES, with(secret, cryptoki.CKA_CLASS, cryptoki.CKO_DATA), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"other key type", cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES, with(secret, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_GENERIC_SECRET), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"no length", cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES, nil, cryptoki.CKR_TEMPLATE_INCOMPLETE},
		{"a value", cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES, with(secret, cryptoki.CKA_VALUE, odd(32)), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"trusted", cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES, with(secret, cryptoki.CKA_TRUSTED, true), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"history", cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES, with(secret, cryptoki.CKA_ALWAYS_SENSITIVE, true), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"not sensitive", cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES, with(secret, cryptoki.CKA_SENSITIVE, false), cryptoki.CKR_OK},
		{"no modulus bits", cryptoki.CKO_PUBLIC_KEY, cryptoki.CKK_RSA, nil, cryptoki.CKR_TEMPLATE_INCOMPLETE},
		{"a modulus", cryptoki.CKO_PUBLIC_KEY, cryptoki.CKK_RSA, attributes(cryptoki.CKA_MODULUS_BITS, 2048, cryptoki.CKA_MODULUS, odd(256)), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"no curve", cryptoki.CKO_PUBLIC_KEY, cryptoki.CKK_EC, nil, cryptoki.CKR_TEMPLATE_INCOMPLETE},
		{"a curve", cryptoki.CKO_PUBLIC_KEY, cryptoki.CKK_EC, attributes(cryptoki.CKA_EC_PARAMS, "c"), cryptoki.CKR_OK},
		{"a private key with a curve", cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_EC, attributes(cryptoki.CKA_EC_PARAMS, "c"), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"a private key", cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_RSA, nil, cryptoki.CKR_OK},
	} {
		t.Run(c.what, func(t *testing.T) {
			ctx := Context{Origin: Generated, Mechanism: cryptoki.CKM_AES_KEY_GEN, LoggedIn: true}
			wantCode(t, Check(ctx, c.class, c.keyType, c.template), c.want)
		})
	}
}

// TestMechanismValues: what a mechanism leaves out or makes wrong is no fault of
// the caller's.
func TestMechanismValues(t *testing.T) {
	for _, values := range []cryptoki.Template{
		nil,
		attributes(cryptoki.CKA_VALUE, odd(5)),
		attributes(cryptoki.CKA_MODULUS, odd(5)),
	} {
		_, err := New(Context{Origin: Generated}, cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES, attributes(cryptoki.CKA_VALUE_LEN, 32), values)
		wantCode(t, err, cryptoki.CKR_GENERAL_ERROR)
	}
}

// TestNewCopies: a caller wipes its template.
func TestNewCopies(t *testing.T) {
	template := with(samples["aes"], cryptoki.CKA_LABEL, []byte("label"), cryptoki.CKA_VALUE, odd(32))
	for i := range template {
		template[i].Value = bytes.Clone(template[i].Value)
	}
	o := create(t, template)
	for _, a := range template {
		clear(a.Value)
	}
	if string(o.Value(cryptoki.CKA_LABEL)) != "label" || string(o.Value(cryptoki.CKA_VALUE)) != string(odd(32)) {
		t.Error("the object shares memory with its template")
	}
}

// TestNoSecretsPrinted formats objects and errors in every way.
func TestNoSecretsPrinted(t *testing.T) {
	o := create(t, with(samples["data"], cryptoki.CKA_VALUE, "hunter2"))
	_, err := FromTemplate(Context{}, with(samples["aes"], cryptoki.CKA_VALUE, "hunter2"))
	for _, s := range []string{
		fmt.Sprint(o), fmt.Sprintf("%+v %#v %x %s %q", o, o, o, o, o), fmt.Sprintf("%v", struct{ O *Object }{o}),
		err.Error(), o.LogValue().String(),
	} {
		if strings.Contains(s, "hunter2") || strings.Contains(s, "68756e74657232") || strings.Contains(s, "104 117") || strings.Contains(s, "0x68, 0x75") {
			t.Errorf("%q shows a value", s)
		}
	}
}
