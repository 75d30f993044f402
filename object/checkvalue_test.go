package object

import (
	"encoding/hex"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

func TestCheckValues(t *testing.T) {
	zeros := make([]byte, 16)
	for _, c := range []struct {
		what   string
		sample string
		value  []byte
		given  cryptoki.Template
		want   string // in hex; of what is absent "-"
		code   cryptoki.RV
	}{
		// FIPS 197 has E(0) of the key of zeros as 66e94b..., FIPS 180-4's SHA-1 of "abc" begins a9993e.
		{"an AES key", "aes", zeros, nil, "66e94b", cryptoki.CKR_OK},
		{"an AES key with its own", "aes", zeros, attributes(cryptoki.CKA_CHECK_VALUE, "\x66\xe9\x4b"), "66e94b", cryptoki.CKR_OK},
		{"an AES key with another's", "aes", zeros, attributes(cryptoki.CKA_CHECK_VALUE, "\x66\xe9\x4c"), "", cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"an AES key with half of it", "aes", zeros, attributes(cryptoki.CKA_CHECK_VALUE, "\x66"), "", cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"an AES key with too much", "aes", zeros, attributes(cryptoki.CKA_CHECK_VALUE, "\x66\xe9\x4b\xd4"), "", cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"an AES key that is to have none", "aes", zeros, attributes(cryptoki.CKA_CHECK_VALUE, ""), "-", cryptoki.CKR_OK},
		{"a generic secret", "generic", []byte("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), nil, "84983e", cryptoki.CKR_OK},
		{"a short secret", "generic", []byte("abc"), nil, "-", cryptoki.CKR_OK},
		{"a short secret with one", "generic", []byte("abc"), attributes(cryptoki.CKA_CHECK_VALUE, "\xa9\x99\x3e"), "", cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"a private key", "ec private", odd(32), attributes(cryptoki.CKA_CHECK_VALUE, ""), "", cryptoki.CKR_TEMPLATE_INCONSISTENT},
	} {
		t.Run(c.what, func(t *testing.T) {
			o, err := FromTemplate(Context{}, append(with(samples[c.sample], cryptoki.CKA_VALUE, c.value), c.given...))
			wantCode(t, err, c.code)
			if err != nil {
				return
			}
			for _, o := range []*Object{o, rebuilt(t, o)} {
				v, status := o.Read(cryptoki.CKA_CHECK_VALUE)
				got := hex.EncodeToString(v)
				if status == Absent {
					got = "-"
				}
				if got != c.want {
					t.Errorf("the check value is %s", got)
				}
			}
		})
	}
	key, err := generateAES(nil)
	if err != nil {
		t.Fatal(err)
	}
	copied, err := key.Copy(nil)
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := copied.Read(cryptoki.CKA_CHECK_VALUE); len(v) != checkValueSize {
		t.Errorf("the copy of a generated key has the check value %x", v)
	}
	_, err = New(Context{Origin: Unwrapped}, cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES,
		attributes(cryptoki.CKA_CHECK_VALUE, "\x01\x02\x03"), attributes(cryptoki.CKA_VALUE, odd(32)))
	wantCode(t, err, cryptoki.CKR_WRAPPED_KEY_INVALID)
}
