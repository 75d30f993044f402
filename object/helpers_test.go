package object

import (
	"bytes"
	"slices"

	"pgregory.net/rapid"

	"tidelock.dev/tidelock/cryptoki"
)

// attributes makes a template of types and values in turn: a bool, an int or a
// typed number, a string or bytes.
func attributes(list ...any) cryptoki.Template {
	var t cryptoki.Template
	for i := 0; i < len(list); i += 2 {
		a := cryptoki.Attribute{Type: list[i].(cryptoki.AttributeType)}
		switch v := list[i+1].(type) {
		case bool:
			a.Value = cryptoki.Bool(v)
		case int:
			a.Value = cryptoki.ULong(uint64(v))
		case cryptoki.ObjectClass:
			a.Value = cryptoki.ULong(v)
		case cryptoki.KeyType:
			a.Value = cryptoki.ULong(v)
		case string:
			a.Value = []byte(v)
		case []byte:
			a.Value = v
		}
		t = append(t, a)
	}
	return t
}

// with is the template with other values for some attributes.
func with(t cryptoki.Template, list ...any) cryptoki.Template {
	t = slices.Clone(t)
	for _, a := range attributes(list...) {
		i := slices.IndexFunc(t, func(b cryptoki.Attribute) bool { return b.Type == a.Type })
		if i < 0 {
			t = append(t, a)
		} else {
			t[i] = a
		}
	}
	return t
}

// without is the template without some attributes.
func without(t cryptoki.Template, types ...cryptoki.AttributeType) cryptoki.Template {
	return slices.DeleteFunc(slices.Clone(t), func(a cryptoki.Attribute) bool { return slices.Contains(types, a.Type) })
}

// odd is an odd number of n bytes without leading zeros.
func odd(n int) []byte { return bytes.Repeat([]byte{0xc5}, n) }

// samples are templates for C_CreateObject with just what each kind of object needs.
var samples = map[string]cryptoki.Template{
	"data": attributes(cryptoki.CKA_CLASS, cryptoki.CKO_DATA),
	"certificate": attributes(cryptoki.CKA_CLASS, cryptoki.CKO_CERTIFICATE, cryptoki.CKA_CERTIFICATE_TYPE, 0,
		cryptoki.CKA_SUBJECT, "subject", cryptoki.CKA_VALUE, "certificate"),
	"wtls certificate": attributes(cryptoki.CKA_CLASS, cryptoki.CKO_CERTIFICATE, cryptoki.CKA_CERTIFICATE_TYPE, cryptoki.CKC_WTLS,
		cryptoki.CKA_SUBJECT, "subject", cryptoki.CKA_VALUE, "certificate"),
	"attribute certificate": attributes(cryptoki.CKA_CLASS, cryptoki.CKO_CERTIFICATE, cryptoki.CKA_CERTIFICATE_TYPE, cryptoki.CKC_X_509_ATTR_CERT,
		cryptoki.CKA_OWNER, "owner", cryptoki.CKA_VALUE, "certificate"),
	"dsa parameters": attributes(cryptoki.CKA_CLASS, cryptoki.CKO_DOMAIN_PARAMETERS, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_DSA,
		cryptoki.CKA_PRIME, odd(256), cryptoki.CKA_SUBPRIME, odd(32), cryptoki.CKA_BASE, odd(255)),
	"dh parameters": attributes(cryptoki.CKA_CLASS, cryptoki.CKO_DOMAIN_PARAMETERS, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_DH,
		cryptoki.CKA_PRIME, odd(256), cryptoki.CKA_BASE, "\x02"),
	"x9.42 parameters": attributes(cryptoki.CKA_CLASS, cryptoki.CKO_DOMAIN_PARAMETERS, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_X9_42_DH,
		cryptoki.CKA_PRIME, odd(256), cryptoki.CKA_BASE, odd(255), cryptoki.CKA_SUBPRIME, odd(32)),
	"rsa public": attributes(cryptoki.CKA_CLASS, cryptoki.CKO_PUBLIC_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_RSA,
		cryptoki.CKA_MODULUS, odd(256), cryptoki.CKA_PUBLIC_EXPONENT, "\x01\x00\x01"),
	"ec public": attributes(cryptoki.CKA_CLASS, cryptoki.CKO_PUBLIC_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_EC,
		cryptoki.CKA_EC_PARAMS, "curve", cryptoki.CKA_EC_POINT, "point"),
	"edwards public": attributes(cryptoki.CKA_CLASS, cryptoki.CKO_PUBLIC_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_EC_EDWARDS,
		cryptoki.CKA_EC_PARAMS, "curve", cryptoki.CKA_EC_POINT, "point"),
	"rsa private": attributes(cryptoki.CKA_CLASS, cryptoki.CKO_PRIVATE_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_RSA,
		cryptoki.CKA_MODULUS, odd(256), cryptoki.CKA_PUBLIC_EXPONENT, "\x01\x00\x01",
		cryptoki.CKA_PRIVATE_EXPONENT, odd(255), cryptoki.CKA_PRIME_1, odd(128), cryptoki.CKA_PRIME_2, odd(128)),
	"ec private": attributes(cryptoki.CKA_CLASS, cryptoki.CKO_PRIVATE_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_EC,
		cryptoki.CKA_EC_PARAMS, "curve", cryptoki.CKA_VALUE, odd(32)),
	"edwards private": attributes(cryptoki.CKA_CLASS, cryptoki.CKO_PRIVATE_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_EC_EDWARDS,
		cryptoki.CKA_EC_PARAMS, "curve", cryptoki.CKA_VALUE, odd(32)),
	"aes": attributes(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_AES,
		cryptoki.CKA_VALUE, odd(32)),
	"generic": attributes(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_GENERIC_SECRET,
		cryptoki.CKA_VALUE, odd(20)),
	"hmac": attributes(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_SHA256_HMAC,
		cryptoki.CKA_VALUE, odd(64)),
}

// create makes an object that must be possible.
func create(t rapid.TB, template cryptoki.Template) *Object {
	t.Helper()
	o, err := FromTemplate(Context{LoggedIn: true}, template)
	if err != nil {
		t.Fatalf("FromTemplate: %v", err)
	}
	return o
}

// generateAES makes a key as CKM_AES_KEY_GEN does.
func generateAES(template cryptoki.Template) (*Object, error) {
	ctx := Context{Origin: Generated, Mechanism: cryptoki.CKM_AES_KEY_GEN, LoggedIn: true}
	return New(ctx, cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES, with(template, cryptoki.CKA_VALUE_LEN, 32),
		attributes(cryptoki.CKA_VALUE, odd(32)))
}

func wantCode(t rapid.TB, err error, want cryptoki.RV) {
	t.Helper()
	if got := cryptoki.Code(err); got != want {
		t.Errorf("error %v (%v), want %v", err, got, want)
	}
}

func wantBools(t rapid.TB, o *Object, list ...any) {
	t.Helper()
	for _, a := range attributes(list...) {
		v, status := o.Read(a.Type)
		if status != Present || !bytes.Equal(v, a.Value) {
			t.Errorf("%v reads %x, status %d; want %x", a.Type, v, status, a.Value)
		}
	}
}

// mixed tells whether the key has or had purposes that conflict.
func (o *Object) mixed() bool { return conflictOf(o.rules.kind, o.granted) != nil }
