package object

import (
	"fmt"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// uses makes a template of purposes that are true.
func uses(types ...cryptoki.AttributeType) cryptoki.Template {
	var t cryptoki.Template
	for _, typ := range types {
		t = append(t, attributes(typ, true)...)
	}
	return t
}

const (
	toEncrypt = cryptoki.CKA_ENCRYPT
	toDecrypt = cryptoki.CKA_DECRYPT
	toSign    = cryptoki.CKA_SIGN
	toVerify  = cryptoki.CKA_VERIFY
	toWrap    = cryptoki.CKA_WRAP
	toUnwrap  = cryptoki.CKA_UNWRAP
	toDerive  = cryptoki.CKA_DERIVE
)

func TestPurposesMade(t *testing.T) {
	for _, c := range []struct {
		sample   string
		purposes cryptoki.Template
		want     cryptoki.RV
		mixed    bool
	}{
		{"aes", nil, cryptoki.CKR_OK, false},
		{"aes", uses(toEncrypt, toDecrypt), cryptoki.CKR_OK, false},
		{"aes", uses(toWrap, toUnwrap), cryptoki.CKR_OK, false},
		{"generic", uses(toSign, toVerify), cryptoki.CKR_OK, false},
		{"generic", uses(toDerive), cryptoki.CKR_OK, false},
		{"aes", uses(toEncrypt, toDecrypt, toSign, toVerify), cryptoki.CKR_OK, false},
		{"aes", uses(toEncrypt, toWrap), cryptoki.CKR_OK, false},
		{"aes", uses(toWrap, toDecrypt), cryptoki.CKR_TEMPLATE_INCONSISTENT, false},
		{"aes", uses(toUnwrap, toEncrypt), cryptoki.CKR_TEMPLATE_INCONSISTENT, false},
		{"aes", uses(toEncrypt, toDerive), cryptoki.CKR_TEMPLATE_INCONSISTENT, false},
		{"hmac", uses(toSign, toDerive), cryptoki.CKR_TEMPLATE_INCONSISTENT, false},
		{"aes", uses(toEncrypt, toDecrypt, toWrap), cryptoki.CKR_TEMPLATE_INCONSISTENT, false},
		{"aes", uses(toEncrypt, toDecrypt, toSign, toVerify, toDerive), cryptoki.CKR_TEMPLATE_INCONSISTENT, false},
		{"aes", uses(toEncrypt, toDecrypt, toWrap, toUnwrap), cryptoki.CKR_OK, true},
		{"aes", uses(toEncrypt, toDecrypt, toSign, toVerify, toWrap, toUnwrap, toDerive), cryptoki.CKR_OK, true},
		{"rsa private", uses(toSign, toDecrypt), cryptoki.CKR_OK, false},
		{"rsa private", uses(toUnwrap, toDecrypt), cryptoki.CKR_TEMPLATE_INCONSISTENT, false},
		{"ec private", uses(toSign, toDerive), cryptoki.CKR_OK, false},
		{"rsa public", uses(toEncrypt, toVerify, toWrap), cryptoki.CKR_OK, false},
		{"rsa public", uses(toSign), cryptoki.CKR_TEMPLATE_INCONSISTENT, false},
	} {
		t.Run(fmt.Sprint(c.sample, c.purposes), func(t *testing.T) {
			o, err := FromTemplate(Context{}, append(samples[c.sample][:len(samples[c.sample]):len(samples[c.sample])], c.purposes...))
			wantCode(t, err, c.want)
			if o == nil {
				return
			}
			if o.mixed() != c.mixed {
				t.Errorf("mixed is %v", o.mixed())
			}
			for _, u := range usage {
				if _, want := c.purposes.Find(u.attribute); o.Permits(u.attribute) != want {
					t.Errorf("Permits(%v) is %v", u.attribute, !want)
				}
			}
		})
	}
	_, err := generateAES(uses(toWrap, toDecrypt))
	wantCode(t, err, cryptoki.CKR_TEMPLATE_INCONSISTENT)
}

// TestPurposesOverTime: each step is a template that C_SetAttributeValue, or
// C_CopyObject, is given.
func TestPurposesOverTime(t *testing.T) {
	for _, c := range []struct {
		what  string
		start cryptoki.Template
		steps []cryptoki.Template
		want  cryptoki.RV // of the last step; those before succeed
		copy  bool        // a copy would get a purpose that its original never had
	}{
		{"decrypt, then wrap", uses(toDecrypt), []cryptoki.Template{uses(toWrap)}, cryptoki.CKR_TEMPLATE_INCONSISTENT, false},
		{"one for the other", uses(toDecrypt), []cryptoki.Template{attributes(toDecrypt, false, toWrap, true)}, cryptoki.CKR_TEMPLATE_INCONSISTENT, false},
		{"wrap, none, then decrypt", nil, []cryptoki.Template{uses(toWrap), attributes(toWrap, false), uses(toDecrypt)}, cryptoki.CKR_TEMPLATE_INCONSISTENT, true},
		{"all at once, later", uses(toEncrypt, toDecrypt), []cryptoki.Template{uses(toWrap, toUnwrap)}, cryptoki.CKR_TEMPLATE_INCONSISTENT, false},
		{"a mixed key gets one more", uses(toEncrypt, toDecrypt, toWrap, toUnwrap), []cryptoki.Template{uses(toSign)}, cryptoki.CKR_TEMPLATE_INCONSISTENT, false},
		{"a mixed key gets one back", uses(toEncrypt, toDecrypt, toWrap, toUnwrap), []cryptoki.Template{attributes(toWrap, false), uses(toWrap)}, cryptoki.CKR_OK, false},
		{"encrypt, then decrypt", uses(toEncrypt), []cryptoki.Template{uses(toDecrypt)}, cryptoki.CKR_OK, true},
		{"off and on", uses(toEncrypt), []cryptoki.Template{attributes(toEncrypt, false), uses(toEncrypt)}, cryptoki.CKR_OK, false},
	} {
		for how, change := range map[string]func(*Object, cryptoki.Template) (*Object, error){"set": (*Object).Set, "copy": (*Object).Copy} {
			t.Run(c.what+", "+how, func(t *testing.T) {
				o, err := generateAES(c.start)
				if err != nil {
					t.Fatal(err)
				}
				mixed := o.mixed()
				for i, step := range c.steps {
					n, err := change(o, step)
					want := cryptoki.CKR_OK
					switch {
					case c.copy && how == "copy":
						want = cryptoki.CKR_TEMPLATE_INCONSISTENT
					case i == len(c.steps)-1:
						want = c.want
					}
					wantCode(t, err, want)
					if n == nil {
						return
					}
					if o = n; o.mixed() != mixed {
						t.Errorf("mixed became %v", o.mixed())
					}
				}
			})
		}
	}
}
