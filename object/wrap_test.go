package object

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tidelock.dev/tidelock/cryptoki"
)

// made makes an AES key, generated or brought in.
func made(t rapid.TB, local bool, list ...any) *Object {
	t.Helper()
	if !local {
		return create(t, with(samples["aes"], list...))
	}
	o, err := generateAES(attributes(list...))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func trusted(t rapid.TB, o *Object) *Object {
	t.Helper()
	o, err := o.Trust(true)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestMayWrap(t *testing.T) {
	const (
		wrap        = cryptoki.CKA_WRAP
		extractable = cryptoki.CKA_EXTRACTABLE
		sensitive   = cryptoki.CKA_SENSITIVE
		ok          = cryptoki.CKR_OK
		not         = cryptoki.CKR_KEY_NOT_WRAPPABLE
	)
	key := made(t, true, extractable, true, cryptoki.CKA_LABEL, "key", cryptoki.CKA_SIGN, true)
	open := made(t, true, extractable, true, sensitive, false)
	forTrusted := made(t, true, extractable, true, cryptoki.CKA_WRAP_WITH_TRUSTED, true)
	general := append(uses(toEncrypt, toDecrypt, wrap, toUnwrap), attributes(cryptoki.CKA_VALUE_LEN, 32)...)
	mixed, err := generateAES(general)
	if err != nil {
		t.Fatal(err)
	}
	narrowed, err := mixed.Set(attributes(toDecrypt, false, toEncrypt, false))
	if err != nil {
		t.Fatal(err)
	}
	public := create(t, with(samples["rsa public"], wrap, true))
	local, err := New(Context{Origin: Generated, LoggedIn: true}, cryptoki.CKO_PUBLIC_KEY, cryptoki.CKK_RSA,
		attributes(cryptoki.CKA_MODULUS_BITS, 2048, wrap, true), attributes(cryptoki.CKA_MODULUS, odd(256), cryptoki.CKA_PUBLIC_EXPONENT, "\x01\x00\x01"))
	if err != nil {
		t.Fatal(err)
	}
	only := func(list ...any) *Object {
		return made(t, true, wrap, true, cryptoki.CKA_WRAP_TEMPLATE, innerOf(attributes(list...)))
	}
	for _, c := range []struct {
		what     string
		by, this *Object
		want     cryptoki.RV
	}{
		{"generated", made(t, true, wrap, true), key, ok},
		{"what is not extractable", made(t, true, wrap, true), made(t, true), cryptoki.CKR_KEY_UNEXTRACTABLE},
		{"what is not extractable, by a trusted key", trusted(t, made(t, true, wrap, true)), made(t, true), cryptoki.CKR_KEY_UNEXTRACTABLE},
		{"imported", made(t, false, wrap, true), key, not},
		{"imported and trusted", trusted(t, made(t, false, wrap, true)), key, ok},
		{"imported, what is not sensitive", made(t, false, wrap, true), open, ok},
		{"a public key of others", public, key, not},
		{"a public key of others, trusted", trusted(t, public), key, ok},
		{"a public key of a pair that was generated here", local, key, not},
		{"a public key of a pair that was generated here, trusted", trusted(t, local), key, ok},
		{"a public key, what is not sensitive", local, open, ok},
		{"extractable", made(t, true, wrap, true, extractable, true), key, not},
		{"extractable, by itself", key, key, not},
		{"extractable and trusted", trusted(t, made(t, true, wrap, true, extractable, true)), key, ok},
		{"mixed", mixed, key, not},
		{"mixed and trusted", trusted(t, mixed), key, not},
		{"mixed once", narrowed, key, not},
		{"mixed, what is not sensitive", mixed, open, ok},
		{"not trusted, what wants it", made(t, true, wrap, true), forTrusted, not},
		{"trusted, what wants it", trusted(t, made(t, true, wrap, true)), forTrusted, ok},
		{"matches", only(cryptoki.CKA_SIGN, true, cryptoki.CKA_LABEL, "key"), key, ok},
		{"does not match in a flag", only(cryptoki.CKA_SIGN, false), key, not},
		{"does not match in a string", only(cryptoki.CKA_LABEL, "other"), key, not},
		{"does not match in what is not there", only(cryptoki.CKA_MODULUS, "m\x01"), key, not},
		{"does not match in a secret", only(cryptoki.CKA_VALUE, odd(32)), key, not},
	} {
		t.Run(c.what, func(t *testing.T) { wantCode(t, c.by.MayWrap(c.this), c.want) })
	}
}

func TestTrust(t *testing.T) {
	_, err := create(t, samples["data"]).Trust(true)
	wantCode(t, err, cryptoki.CKR_TEMPLATE_INCONSISTENT)
	_, err = create(t, samples["rsa private"]).Trust(true)
	wantCode(t, err, cryptoki.CKR_TEMPLATE_INCONSISTENT)
	_, err = create(t, with(samples["aes"], cryptoki.CKA_MODIFIABLE, false)).Trust(true)
	wantCode(t, err, cryptoki.CKR_ACTION_PROHIBITED)
	o := trusted(t, create(t, samples["certificate"]))
	wantBools(t, o, cryptoki.CKA_TRUSTED, true)
	if o, err = o.Trust(false); err != nil {
		t.Fatal(err)
	}
	wantBools(t, rebuilt(t, o), cryptoki.CKA_TRUSTED, false)
}

// TestOrigins: what a key takes from how it came, and what it may not.
func TestOrigins(t *testing.T) {
	const (
		sensitive   = cryptoki.CKA_SENSITIVE
		extractable = cryptoki.CKA_EXTRACTABLE
	)
	value := attributes(cryptoki.CKA_VALUE, odd(32))
	from := func(list ...any) Context { return Context{Origin: Derived, Base: made(t, true, list...)} }
	imported := Context{Origin: Derived, Base: made(t, false, extractable, true)}
	for _, c := range []struct {
		what     string
		ctx      Context
		template cryptoki.Template
		want     cryptoki.RV
		then     cryptoki.Template // what the key has
	}{
		{"unwrapped", Context{Origin: Unwrapped}, nil, cryptoki.CKR_OK, attributes(sensitive, true, extractable, false,
			cryptoki.CKA_ALWAYS_SENSITIVE, false, cryptoki.CKA_NEVER_EXTRACTABLE, false, cryptoki.CKA_LOCAL, false,
			cryptoki.CKA_KEY_GEN_MECHANISM, noKeyType, cryptoki.CKA_VALUE_LEN, 32, cryptoki.CKA_DECRYPT, false)},
		{"unwrapped, extractable", Context{Origin: Unwrapped}, attributes(extractable, true), cryptoki.CKR_OK, attributes(extractable, true)},
		{"unwrapped, not sensitive", Context{Origin: Unwrapped}, attributes(sensitive, false), cryptoki.CKR_OK, attributes(sensitive, true)},
		{"unwrapped, with a value", Context{Origin: Unwrapped}, value, cryptoki.CKR_ATTRIBUTE_READ_ONLY, nil},
		{"unwrapped, with a history", Context{Origin: Unwrapped}, attributes(cryptoki.CKA_LOCAL, true), cryptoki.CKR_ATTRIBUTE_READ_ONLY, nil},
		{"unwrapped, trusted", Context{Origin: Unwrapped}, attributes(cryptoki.CKA_TRUSTED, true), cryptoki.CKR_ATTRIBUTE_READ_ONLY, nil},
		{"derived", from(), nil, cryptoki.CKR_OK, attributes(sensitive, true, extractable, false,
			cryptoki.CKA_ALWAYS_SENSITIVE, true, cryptoki.CKA_NEVER_EXTRACTABLE, true, cryptoki.CKA_LOCAL, false)},
		{"derived from what was extractable", from(extractable, true), nil, cryptoki.CKR_OK, attributes(extractable, false,
			cryptoki.CKA_ALWAYS_SENSITIVE, true, cryptoki.CKA_NEVER_EXTRACTABLE, false)},
		{"derived from an import", imported, nil, cryptoki.CKR_OK, attributes(
			cryptoki.CKA_ALWAYS_SENSITIVE, false, cryptoki.CKA_NEVER_EXTRACTABLE, false)},
		{"derived from what is not sensitive", from(sensitive, false, extractable, true), nil, cryptoki.CKR_OK, attributes(sensitive, false, extractable, false)},
		{"derived from what is not sensitive, sensitive", from(sensitive, false), attributes(sensitive, true), cryptoki.CKR_OK, attributes(
			sensitive, true, cryptoki.CKA_ALWAYS_SENSITIVE, false)},
		{"derived from what is extractable, extractable", from(extractable, true), attributes(extractable, true), cryptoki.CKR_OK, attributes(extractable, true)},
		{"derived from what is sensitive, not sensitive", from(extractable, true), attributes(sensitive, false), cryptoki.CKR_TEMPLATE_INCONSISTENT, nil},
		{"derived from what is not extractable, extractable", from(), attributes(extractable, true), cryptoki.CKR_TEMPLATE_INCONSISTENT, nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			o, err := New(c.ctx, cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES, c.template, value)
			wantCode(t, err, c.want)
			wantCode(t, Check(c.ctx, cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES, c.template), c.want)
			if err != nil {
				return
			}
			for _, a := range c.then {
				if v, s := rebuilt(t, o).Read(a.Type); s != Present || string(v) != string(a.Value) {
					t.Errorf("%v reads %x, status %d; want %x", a.Type, v, s, a.Value)
				}
			}
		})
	}
	for origin, want := range map[Origin]cryptoki.RV{
		Generated: cryptoki.CKR_GENERAL_ERROR, Unwrapped: cryptoki.CKR_WRAPPED_KEY_INVALID, Derived: cryptoki.CKR_KEY_SIZE_RANGE,
	} {
		ctx := Context{Origin: origin, Base: made(t, true)}
		_, err := New(ctx, cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES, attributes(cryptoki.CKA_VALUE_LEN, 16), attributes(cryptoki.CKA_VALUE, odd(17)))
		wantCode(t, err, want)
	}
}

func TestLimits(t *testing.T) {
	one := Limits{OnePair: true}
	for _, c := range []struct {
		sample   string
		purposes cryptoki.Template
		want     cryptoki.RV
	}{
		{"aes", nil, cryptoki.CKR_OK},
		{"aes", uses(toEncrypt, toDecrypt), cryptoki.CKR_OK},
		{"aes", uses(toWrap, toUnwrap), cryptoki.CKR_OK},
		{"aes", uses(toDerive), cryptoki.CKR_OK},
		{"aes", uses(toEncrypt, toWrap), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"aes", uses(toEncrypt, toDecrypt, toWrap, toUnwrap), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"rsa private", uses(toSign, toDecrypt), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"rsa public", uses(toVerify, cryptoki.CKA_VERIFY_RECOVER), cryptoki.CKR_OK},
	} {
		t.Run(fmt.Sprint(c.sample, c.purposes), func(t *testing.T) {
			_, err := FromTemplate(Context{Limits: one}, append(samples[c.sample][:len(samples[c.sample]):len(samples[c.sample])], c.purposes...))
			wantCode(t, err, c.want)
		})
	}
	signing := create(t, with(samples["rsa private"], toSign, true))
	for _, c := range []struct {
		what   string
		limits Limits
		change cryptoki.Template
		want   cryptoki.RV
	}{
		{"a second pair", one, uses(toDecrypt), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"another pair instead", one, attributes(toSign, false, toDecrypt, true), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"no purpose", one, attributes(toSign, false), cryptoki.CKR_OK},
		{"a second pair, unlimited", Limits{}, uses(toDecrypt), cryptoki.CKR_OK},
		{"a purpose more", Limits{Fixed: true}, uses(toDecrypt), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"a purpose less", Limits{Fixed: true}, attributes(toSign, false), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"the same purpose", Limits{Fixed: true}, attributes(toSign, true), cryptoki.CKR_OK},
		{"a label", Limits{Fixed: true, OnePair: true}, attributes(cryptoki.CKA_LABEL, "new"), cryptoki.CKR_OK},
	} {
		t.Run(c.what, func(t *testing.T) {
			n, err := signing.Set(c.change)
			if err != nil {
				t.Fatal(err)
			}
			wantCode(t, c.limits.CheckChange(signing, n), c.want)
		})
	}
}

// TestNoWayToAKeyThatWrapsAndDecrypts draws ways of a key through changes, copies, and
// wrapping and unwrapping: whatever comes of it, of the keys of one value none wraps, or
// wrapped, what is sensitive while another decrypts, or did.
func TestNoWayToAKeyThatWrapsAndDecrypts(t *testing.T) {
	sensitive := made(t, true, cryptoki.CKA_EXTRACTABLE, true)
	flags := []cryptoki.AttributeType{toDecrypt, toWrap, cryptoki.CKA_EXTRACTABLE}
	rapid.Check(t, func(t *rapid.T) {
		template := func() (l cryptoki.Template) {
			if rapid.IntRange(0, 9).Draw(t, "general") == 0 {
				return uses(toEncrypt, toDecrypt, toWrap, toUnwrap)
			}
			for _, f := range flags {
				if rapid.Bool().Draw(t, "give") {
					l = append(l, attributes(f, rapid.Bool().Draw(t, f.String()))...)
				}
			}
			return l
		}
		var wraps, decrypts bool
		var family []*Object
		add := func(o *Object) {
			wraps = wraps || o.Permits(toWrap) && o.MayWrap(sensitive) == nil
			decrypts = decrypts || o.Permits(toDecrypt)
			family = append(family, o)
		}
		first, err := generateAES(template())
		if err != nil {
			t.Skip("refused")
		}
		add(first)
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			i := rapid.IntRange(0, len(family)-1).Draw(t, "key")
			switch rapid.IntRange(0, 2).Draw(t, "way") {
			case 0:
				if o, err := family[i].Set(template()); err == nil {
					add(o)
					family = slices.Delete(family, i, i+1)
				}
			case 1:
				if o, err := family[i].Copy(template()); err == nil {
					add(o)
				}
			default:
				// The key leaves, wrapped by whatever may, and comes back under a new template.
				by := rapid.SampledFrom(append(slices.Clone(family), made(t, true, toWrap, true))).Draw(t, "by")
				if by.MayWrap(family[i]) != nil {
					continue
				}
				o, err := New(Context{Origin: Unwrapped}, cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES, template(), attributes(cryptoki.CKA_VALUE, odd(32)))
				if err == nil {
					add(o)
				}
			}
		}
		if wraps && decrypts {
			t.Fatal("keys of one value wrap what is sensitive, and decrypt")
		}
	})
}
