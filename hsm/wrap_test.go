package hsm_test

import (
	"bytes"
	"crypto/ecdsa"
	hash "crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"math/big"
	"slices"
	"testing"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/wire"
)

func (s session) wrap(m cryptoki.Mechanism, wrapping, key, capacity uint64) (wire.WrapKeyReply, cryptoki.RV) {
	var p wire.WrapKeyReply
	rv := s.do(wire.CallWrapKey, &wire.WrapKeyRequest{Mechanism: m, WrappingKey: wrapping, Key: key, Capacity: capacity}, &p)
	p.Wrapped = bytes.Clone(p.Wrapped)
	return p, rv
}

func (s session) mustWrap(m cryptoki.Mechanism, wrapping, key uint64) []byte {
	s.t.Helper()
	p, rv := s.wrap(m, wrapping, key, anyRoom)
	s.must(rv)
	return p.Wrapped
}

func (s session) unwrap(token wire.ID, m cryptoki.Mechanism, key uint64, wrapped []byte, t cryptoki.Template) (uint64, cryptoki.RV) {
	var p wire.UnwrapKeyReply
	rv := s.do(wire.CallUnwrapKey, &wire.UnwrapKeyRequest{Token: token, Mechanism: m, UnwrappingKey: key, Wrapped: wrapped, Template: t}, &p)
	return p.Object, rv
}

func (s session) derive(token wire.ID, m cryptoki.Mechanism, base uint64, t cryptoki.Template) (uint64, cryptoki.RV) {
	var p wire.DeriveKeyReply
	rv := s.do(wire.CallDeriveKey, &wire.DeriveKeyRequest{Token: token, Mechanism: m, BaseKey: base, Template: t}, &p)
	return p.Object, rv
}

func (s session) digestKey(key uint64) cryptoki.RV {
	return s.do(wire.CallDigestKey, &wire.DigestKeyRequest{Key: key}, &wire.DigestKeyReply{})
}

// aes generates an AES key of 32 bytes, or of what the attributes say.
func (s session) aes(pairs ...any) uint64 {
	s.t.Helper()
	t := attrs(pairs...)
	if _, given := t.Find(cryptoki.CKA_VALUE_LEN); !given {
		t = with(t, cryptoki.CKA_VALUE_LEN, 32)
	}
	h, rv := s.generate(newToken(), aesKeyGen, t)
	s.must(rv)
	return h
}

var (
	keyWrap       = cryptoki.New(cryptoki.CKM_AES_KEY_WRAP)
	genericKeyGen = cryptoki.New(cryptoki.CKM_GENERIC_SECRET_KEY_GEN)
	keyWrapPad    = cryptoki.New(cryptoki.CKM_AES_KEY_WRAP_KWP)
	hkdf          = cryptoki.NewHKDF(cryptoki.CKM_HKDF_DERIVE, cryptoki.HKDFParameters{
		Extract: true, Expand: true, HashAlg: cryptoki.CKM_SHA256, SaltType: cryptoki.CKF_HKDF_SALT_NULL, Info: []byte("info"),
	})
	secretAES = attrs(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_AES)
)

// template is a template as the value of an attribute.
func templateOf(pairs ...any) []byte {
	t := attrs(pairs...)
	return wire.AppendTemplate(nil, t)
}

// encrypted is what a key makes of a block, to compare keys by.
func (s session) encrypted(key uint64) []byte {
	s.t.Helper()
	p, rv := s.fused(mech.Encrypt, cbc, key, []byte("a block to compare keys by"), nil, anyRoom)
	s.must(rv)
	return bytes.Clone(p.Output)
}

// testKeyCalls uses each call that makes something of a key.
func (s session) testKeyCalls() {
	s.t.Helper()
	kek := s.aes(cryptoki.CKA_WRAP, true, cryptoki.CKA_UNWRAP, true)
	wrapped := s.mustWrap(keyWrap, kek, s.aes(cryptoki.CKA_EXTRACTABLE, true))
	s.must(only(s.unwrap(newToken(), keyWrap, kek, wrapped, secretAES)))
	base, rv := s.generate(newToken(), genericKeyGen, attrs(cryptoki.CKA_VALUE_LEN, 32, cryptoki.CKA_DERIVE, true))
	s.must(rv)
	s.must(only(s.derive(newToken(), hkdf, base, nil)))
	s.mustInit(mech.Digest, sha256, 0)
	want(s.t, "digesting a key by default", s.digestKey(kek), cryptoki.CKR_KEY_INDIGESTIBLE)
	messages := s.aesKey(false, "messages")
	s.must(s.messageInit(mech.Encrypt, messagesGCM, messages))
	s.must(only(s.message(mech.Encrypt, messagesGCM, messages, nil)))
}

func TestWrapAndUnwrapSecretKeys(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	kek := s.aes(cryptoki.CKA_WRAP, true, cryptoki.CKA_UNWRAP, true)
	for _, m := range []cryptoki.Mechanism{keyWrap, keyWrapPad, cbc} {
		t.Run(m.Type.String(), func(t *testing.T) {
			key := s.aes(cryptoki.CKA_EXTRACTABLE, true, cryptoki.CKA_ENCRYPT, true)
			asked, rv := s.wrap(m, kek, key, partition.AskLength)
			s.must(rv)
			wrapped := s.mustWrap(m, kek, key)
			if len(asked.Wrapped) != 0 || asked.Length != uint64(len(wrapped)) {
				t.Errorf("asked for the length: %d, %d bytes given; wrapped to %d", asked.Length, len(asked.Wrapped), len(wrapped))
			}
			short, rv := s.wrap(m, kek, key, asked.Length-1)
			want(t, "too little room", rv, cryptoki.CKR_BUFFER_TOO_SMALL)
			if short.Length != asked.Length || len(short.Wrapped) != 0 {
				t.Errorf("too little room: %d bytes of %d given", len(short.Wrapped), short.Length)
			}
			back, rv := s.unwrap(newToken(), m, kek, wrapped, with(secretAES, cryptoki.CKA_ENCRYPT, true, cryptoki.CKA_VALUE_LEN, 32))
			s.must(rv)
			if !bytes.Equal(s.encrypted(key), s.encrypted(back)) {
				t.Error("another key came back")
			}
			for attribute, value := range map[cryptoki.AttributeType]bool{
				cryptoki.CKA_LOCAL: false, cryptoki.CKA_SENSITIVE: true, cryptoki.CKA_EXTRACTABLE: false, cryptoki.CKA_ALWAYS_SENSITIVE: false,
				cryptoki.CKA_NEVER_EXTRACTABLE: false, cryptoki.CKA_PRIVATE: true, cryptoki.CKA_DECRYPT: false, cryptoki.CKA_TOKEN: false,
			} {
				if got := s.value(back, attribute); !bytes.Equal(got, cryptoki.Bool(value)) {
					t.Errorf("%v is %x", attribute, got)
				}
			}
			_, rv = s.get(back, cryptoki.CKA_VALUE)
			want(t, "the value of what came back", rv, cryptoki.CKR_ATTRIBUTE_SENSITIVE)
			objects := len(s.find(nil))
			for i := range wrapped {
				bad := bytes.Clone(wrapped)
				bad[i] ^= 1
				_, rv := s.unwrap(newToken(), m, kek, bad, with(secretAES, cryptoki.CKA_ENCRYPT, true))
				if m.Type != cryptoki.CKM_AES_CBC_PAD { // which authenticates nothing
					want(t, "a changed byte", rv, cryptoki.CKR_WRAPPED_KEY_INVALID)
				} else if rv == cryptoki.CKR_OK {
					objects++
				} else {
					want(t, "a changed byte", rv, cryptoki.CKR_WRAPPED_KEY_INVALID)
				}
			}
			if n := len(s.find(nil)); n != objects {
				t.Errorf("%d objects, want %d", n, objects)
			}
			_, rv = s.unwrap(newToken(), m, kek, wrapped, with(secretAES, cryptoki.CKA_VALUE_LEN, 16))
			want(t, "another length", rv, cryptoki.CKR_WRAPPED_KEY_INVALID)
		})
	}
}

// Both halves of a pair tell the public key as certificates have it.
func TestPublicKeyInfo(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	public, private := s.pair(true, "pair")
	info := s.value(public, cryptoki.CKA_PUBLIC_KEY_INFO)
	key, err := x509.ParsePKIXPublicKey(info)
	if err != nil {
		t.Fatal(err)
	}
	signed, rv := s.fused(mech.Sign, ecdsaSHA256, private, []byte("message"), nil, 64)
	s.must(rv)
	sum := hash.Sum256([]byte("message"))
	r, q := new(big.Int).SetBytes(signed.Output[:32]), new(big.Int).SetBytes(signed.Output[32:])
	if !ecdsa.Verify(key.(*ecdsa.PublicKey), sum[:], r, q) {
		t.Error("the key does not verify what its private half has signed")
	}
	if got := s.value(private, cryptoki.CKA_PUBLIC_KEY_INFO); !bytes.Equal(got, info) {
		t.Errorf("the private half tells %x, the public one %x", got, info)
	}
	want(t, "to be set as it is", s.set(public, attrs(cryptoki.CKA_PUBLIC_KEY_INFO, info)), cryptoki.CKR_OK)
	want(t, "to be set otherwise", s.set(public, attrs(cryptoki.CKA_PUBLIC_KEY_INFO, info[1:])), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID)
	_, rv = s.get(s.aes(), cryptoki.CKA_PUBLIC_KEY_INFO)
	want(t, "of a secret key", rv, cryptoki.CKR_ATTRIBUTE_TYPE_INVALID)
}

// A private key leaves under policy 1 alone, which excludes cloning.
func TestWrapPrivateKeys(t *testing.T) {
	b := newHSM(t)
	b.setPartition(policy.Change{ID: policy.PrivateCloning, Value: 0}, policy.Change{ID: policy.PrivateWrapping, Value: 1})
	s := b.user()
	kek := s.aes(cryptoki.CKA_WRAP, true, cryptoki.CKA_UNWRAP, true)
	public, private, rv := s.generatePair(newToken(), ecKeyPairGen, attrs(cryptoki.CKA_EC_PARAMS, p256), attrs(cryptoki.CKA_SIGN, true, cryptoki.CKA_EXTRACTABLE, true))
	s.must(rv)
	wrapped := s.mustWrap(keyWrapPad, kek, private)
	kind := func(class cryptoki.ObjectClass, typ cryptoki.KeyType) cryptoki.Template {
		return attrs(cryptoki.CKA_CLASS, class, cryptoki.CKA_KEY_TYPE, typ, cryptoki.CKA_SIGN, true)
	}
	back, rv := s.unwrap(newToken(), keyWrapPad, kek, wrapped, kind(cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_EC))
	s.must(rv)
	signed, rv := s.fused(mech.Sign, ecdsaSHA256, back, []byte("message"), nil, 64)
	s.must(rv)
	if !verifies(t, s.value(public, cryptoki.CKA_EC_POINT), []byte("message"), signed.Output) {
		t.Error("the signature of the key that came back does not verify")
	}
	// The blob is a key of another type, or no private key at all.
	_, rv = s.unwrap(newToken(), keyWrapPad, kek, wrapped, kind(cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_RSA))
	want(t, "an EC key as an RSA key", rv, cryptoki.CKR_WRAPPED_KEY_INVALID)
	_, rv = s.unwrap(newToken(), keyWrapPad, kek, wrapped, kind(cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES))
	want(t, "an EC key as an AES key", rv, cryptoki.CKR_WRAPPED_KEY_INVALID)
	secret := s.mustWrap(keyWrapPad, kek, s.aes(cryptoki.CKA_EXTRACTABLE, true))
	_, rv = s.unwrap(newToken(), keyWrapPad, kek, secret, kind(cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_EC))
	want(t, "an AES key as an EC key", rv, cryptoki.CKR_WRAPPED_KEY_INVALID)
}

// setPartition changes policies of the partition as its Partition SO.
func (b *box) setPartition(changes ...policy.Change) {
	b.t.Helper()
	so := b.app().open(readWrite)
	so.must(so.login(cryptoki.CKU_SO, soPIN))
	_, rv := so.setPolicies(true, changes...)
	so.must(rv)
	so.must(so.logout())
}

// What the wrapping key may, and what it must be for a sensitive key.
func TestWhoWrapsWhat(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	key := s.aes(cryptoki.CKA_TOKEN, true, cryptoki.CKA_EXTRACTABLE, true)
	open := s.aes(cryptoki.CKA_EXTRACTABLE, true, cryptoki.CKA_SENSITIVE, false)
	imported := with(secretAES, cryptoki.CKA_TOKEN, true, cryptoki.CKA_PRIVATE, false, cryptoki.CKA_WRAP, true, cryptoki.CKA_VALUE, bytes.Repeat([]byte{7}, 32))
	known := s.mustCreate(imported)
	_, privateKey, rv := s.generatePair(newToken(), ecKeyPairGen, attrs(cryptoki.CKA_EC_PARAMS, p256), attrs(cryptoki.CKA_EXTRACTABLE, true))
	s.must(rv)
	for _, c := range []struct {
		what    string
		by, key uint64
		want    cryptoki.RV
	}{
		{"what is not extractable", s.aes(cryptoki.CKA_WRAP, true), s.aes(), cryptoki.CKR_KEY_UNEXTRACTABLE},
		{"under a known key", known, key, cryptoki.CKR_KEY_NOT_WRAPPABLE},
		{"what may be read, under a known key", known, open, cryptoki.CKR_OK},
		{"under a shorter key", s.aes(cryptoki.CKA_WRAP, true, cryptoki.CKA_VALUE_LEN, 16), key, cryptoki.CKR_WRAPPING_KEY_SIZE_RANGE},
		{"what may be read, under a shorter key", s.aes(cryptoki.CKA_WRAP, true, cryptoki.CKA_VALUE_LEN, 16), open, cryptoki.CKR_OK},
		{"by a key for all purposes", s.aes(cryptoki.CKA_WRAP, true, cryptoki.CKA_UNWRAP, true, cryptoki.CKA_ENCRYPT, true, cryptoki.CKA_DECRYPT, true), key, cryptoki.CKR_KEY_NOT_WRAPPABLE},
		{"a private key, with policy 1 off", s.aes(cryptoki.CKA_WRAP, true), privateKey, cryptoki.CKR_KEY_NOT_WRAPPABLE},
		{"by a key that does not wrap", s.aes(cryptoki.CKA_ENCRYPT, true), key, cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED},
		{"by another mechanism than allowed", s.aes(cryptoki.CKA_WRAP, true, cryptoki.CKA_ALLOWED_MECHANISMS, cryptoki.CKM_AES_CBC_PAD), key, cryptoki.CKR_MECHANISM_INVALID},
		{"what does not match", s.aes(cryptoki.CKA_WRAP, true, cryptoki.CKA_WRAP_TEMPLATE, templateOf(cryptoki.CKA_LABEL, "other")), key, cryptoki.CKR_KEY_NOT_WRAPPABLE},
	} {
		p, rv := s.wrap(keyWrapPad, c.by, c.key, anyRoom)
		want(t, c.what, rv, c.want)
		if rv != cryptoki.CKR_OK && len(p.Wrapped) > 0 {
			t.Errorf("%s: %d bytes came out", c.what, len(p.Wrapped))
		}
	}
	ecb := cryptoki.New(cryptoki.CKM_AES_ECB)
	_, rv = s.wrap(ecb, s.aes(cryptoki.CKA_WRAP, true), key, anyRoom)
	want(t, "block by block", rv, cryptoki.CKR_MECHANISM_INVALID)

	// The Partition SO trusts a key, nobody else, and he does nothing else with it.
	want(t, "trust by the user", s.set(known, attrs(cryptoki.CKA_TRUSTED, true)), cryptoki.CKR_ATTRIBUTE_READ_ONLY)
	_, rv = s.create(newToken(), with(imported, cryptoki.CKA_TRUSTED, true))
	want(t, "trust at creation", rv, cryptoki.CKR_ATTRIBUTE_READ_ONLY)
	so := b.app().open(readWrite)
	so.must(so.login(cryptoki.CKU_SO, soPIN))
	want(t, "trust by the SO of a private key", so.set(key, attrs(cryptoki.CKA_TRUSTED, true)), cryptoki.CKR_OBJECT_HANDLE_INVALID)
	want(t, "trust and a label by the SO", so.set(known, attrs(cryptoki.CKA_TRUSTED, true, cryptoki.CKA_LABEL, "x")), cryptoki.CKR_USER_NOT_LOGGED_IN)
	want(t, "a label by the SO", so.set(known, attrs(cryptoki.CKA_LABEL, "x")), cryptoki.CKR_USER_NOT_LOGGED_IN)
	_, rv = so.wrap(keyWrapPad, known, known, anyRoom)
	want(t, "wrapping by the SO", rv, cryptoki.CKR_USER_NOT_LOGGED_IN)
	so.must(so.set(known, attrs(cryptoki.CKA_TRUSTED, true)))
	s.mustWrap(keyWrapPad, known, key)
	so.must(so.set(known, attrs(cryptoki.CKA_TRUSTED, false)))
	_, rv = s.wrap(keyWrapPad, known, key, anyRoom)
	want(t, "under a key that is trusted no more", rv, cryptoki.CKR_KEY_NOT_WRAPPABLE)
}

// Whoever makes a pair may decrypt with its private half, so its public half wraps what is
// sensitive only when it is trusted.
func TestWrappingUnderOwnPair(t *testing.T) {
	s := newHSM(t).user()
	key := s.aes(cryptoki.CKA_EXTRACTABLE, true)
	public, private, rv := s.generatePair(newToken(), cryptoki.New(cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN),
		attrs(cryptoki.CKA_MODULUS_BITS, 2048, cryptoki.CKA_WRAP, true), attrs(cryptoki.CKA_DECRYPT, true))
	s.must(rv)
	oaep := cryptoki.NewOAEP(cryptoki.CKM_RSA_PKCS_OAEP, cryptoki.OAEPParameters{HashAlg: cryptoki.CKM_SHA256, MGF: cryptoki.CKG_MGF1_SHA256, Source: cryptoki.CKZ_DATA_SPECIFIED})
	p, rv := s.wrap(oaep, public, key, anyRoom)
	want(t, "under the own pair", rv, cryptoki.CKR_KEY_NOT_WRAPPABLE)
	if rv != cryptoki.CKR_OK {
		return
	}
	out, rv := s.fused(mech.Decrypt, oaep, private, p.Wrapped, nil, anyRoom)
	t.Errorf("the sensitive key was decrypted: %v, %d bytes", rv, len(out.Output))
}

// An unwrapping key says what becomes of what it unwraps, a base key of what is derived.
func TestTemplatesOfKeys(t *testing.T) {
	s := newHSM(t).user()
	inner := templateOf(cryptoki.CKA_EXTRACTABLE, false, cryptoki.CKA_LABEL, "from outside", cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY)
	kek := s.aes(cryptoki.CKA_WRAP, true, cryptoki.CKA_UNWRAP, true, cryptoki.CKA_UNWRAP_TEMPLATE, inner)
	if got := s.value(kek, cryptoki.CKA_UNWRAP_TEMPLATE); !bytes.Equal(got, inner) {
		t.Errorf("the template reads %x", got)
	}
	wrapped := s.mustWrap(keyWrap, kek, s.aes(cryptoki.CKA_EXTRACTABLE, true))
	back, rv := s.unwrap(newToken(), keyWrap, kek, wrapped, attrs(cryptoki.CKA_KEY_TYPE, cryptoki.CKK_AES))
	s.must(rv)
	if got := s.value(back, cryptoki.CKA_LABEL); string(got) != "from outside" {
		t.Errorf("the label is %q", got)
	}
	_, rv = s.unwrap(newToken(), keyWrap, kek, wrapped, with(secretAES, cryptoki.CKA_EXTRACTABLE, true))
	want(t, "against the template", rv, cryptoki.CKR_TEMPLATE_INCONSISTENT)

	generic, rv := s.generate(newToken(), genericKeyGen, attrs(cryptoki.CKA_VALUE_LEN, 32, cryptoki.CKA_DERIVE, true,
		cryptoki.CKA_DERIVE_TEMPLATE, templateOf(cryptoki.CKA_VALUE_LEN, 16)))
	s.must(rv)
	derived, rv := s.derive(newToken(), hkdf, generic, nil)
	s.must(rv)
	if got := s.value(derived, cryptoki.CKA_VALUE_LEN); binary.LittleEndian.Uint64(got) != 16 {
		t.Errorf("derived a key of length %x", got)
	}
	_, rv = s.derive(newToken(), hkdf, generic, attrs(cryptoki.CKA_VALUE_LEN, 32))
	want(t, "against the template", rv, cryptoki.CKR_TEMPLATE_INCONSISTENT)
}

func TestDerive(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	generic := func(pairs ...any) uint64 {
		t.Helper()
		h, rv := s.generate(newToken(), genericKeyGen, with(attrs(pairs...), cryptoki.CKA_VALUE_LEN, 32, cryptoki.CKA_DERIVE, true))
		s.must(rv)
		return h
	}
	base := generic(cryptoki.CKA_EXTRACTABLE, true)
	aes := attrs(cryptoki.CKA_KEY_TYPE, cryptoki.CKK_AES, cryptoki.CKA_VALUE_LEN, 32, cryptoki.CKA_ENCRYPT, true)
	one, rv := s.derive(newToken(), hkdf, base, aes)
	s.must(rv)
	two, rv := s.derive(newToken(), hkdf, base, aes)
	s.must(rv)
	if !bytes.Equal(s.encrypted(one), s.encrypted(two)) {
		t.Error("two keys that were derived alike differ")
	}
	for _, c := range []struct {
		what     string
		base     uint64
		template cryptoki.Template
		want     cryptoki.RV
	}{
		{"that could be read", base, with(aes, cryptoki.CKA_SENSITIVE, false, cryptoki.CKA_EXTRACTABLE, true), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"extractable, from what is not", generic(), with(aes, cryptoki.CKA_EXTRACTABLE, true), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"that may be read, from what may", generic(cryptoki.CKA_SENSITIVE, false, cryptoki.CKA_EXTRACTABLE, true), with(aes, cryptoki.CKA_EXTRACTABLE, true), cryptoki.CKR_OK},
		{"of one byte", base, attrs(cryptoki.CKA_VALUE_LEN, 1), cryptoki.CKR_KEY_SIZE_RANGE},
		{"of no byte", base, attrs(cryptoki.CKA_VALUE_LEN, 0), cryptoki.CKR_KEY_SIZE_RANGE},
		{"of too many", base, attrs(cryptoki.CKA_VALUE_LEN, 1<<40), cryptoki.CKR_KEY_SIZE_RANGE},
		{"of an impossible length", base, with(aes[:1], cryptoki.CKA_VALUE_LEN, 20), cryptoki.CKR_KEY_SIZE_RANGE},
		{"that is public", base, attrs(cryptoki.CKA_CLASS, cryptoki.CKO_PUBLIC_KEY), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"for the purposes of two", base, with(aes, cryptoki.CKA_UNWRAP, true), cryptoki.CKR_TEMPLATE_INCONSISTENT},
		{"with a history", base, with(aes, cryptoki.CKA_LOCAL, true), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"with a value", base, with(aes, cryptoki.CKA_VALUE, make([]byte, 32)), cryptoki.CKR_ATTRIBUTE_READ_ONLY},
		{"of a bad type", base, attrs(cryptoki.CKA_KEY_TYPE, "AES"), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"from a key that does not derive", one, aes, cryptoki.CKR_KEY_TYPE_INCONSISTENT},
	} {
		objects := s.find(nil)
		_, rv := s.derive(newToken(), hkdf, c.base, c.template)
		want(t, "a key "+c.what, rv, c.want)
		if rv != cryptoki.CKR_OK && !slices.Equal(objects, s.find(nil)) {
			t.Errorf("a key %s was left behind", c.what)
		}
	}
}

// Calls that make keys of keys are repeated by their token, too, and are in the audit log
// with both keys.
func TestWrapCallsAreRepeatedAndAudited(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	kek := s.aes(cryptoki.CKA_TOKEN, true, cryptoki.CKA_WRAP, true, cryptoki.CKA_UNWRAP, true)
	key := s.aes(cryptoki.CKA_EXTRACTABLE, true, cryptoki.CKA_TOKEN, true)
	stuck := s.aes(cryptoki.CKA_TOKEN, true)
	base, rv := s.generate(newToken(), genericKeyGen, attrs(cryptoki.CKA_VALUE_LEN, 32, cryptoki.CKA_DERIVE, true, cryptoki.CKA_TOKEN, true))
	s.must(rv)
	auditor := b.dial(owner)
	auditor.must(auditor.hello(newIdentity()))
	before := auditor.auditEntries()
	_, rv = s.wrap(keyWrap, kek, key, partition.AskLength)
	s.must(rv)
	wrapped := s.mustWrap(keyWrap, kek, key)
	_, rv = s.wrap(keyWrap, kek, stuck, anyRoom)
	want(t, "wrapping", rv, cryptoki.CKR_KEY_UNEXTRACTABLE)
	_, rv = s.wrap(cryptoki.NewBytes(cryptoki.CKM_AES_CBC_PAD, []byte{1}), kek, key, anyRoom)
	want(t, "wrapping with a bad parameter", rv, cryptoki.CKR_MECHANISM_PARAM_INVALID)
	tokens := [2]wire.ID{newToken(), newToken()}
	var made [2]uint64
	calls := [2]func() (uint64, cryptoki.RV){
		func() (uint64, cryptoki.RV) {
			return s.unwrap(tokens[0], keyWrap, kek, wrapped, with(secretAES, cryptoki.CKA_TOKEN, true))
		},
		func() (uint64, cryptoki.RV) { return s.derive(tokens[1], hkdf, base, attrs(cryptoki.CKA_TOKEN, true)) },
	}
	for i, call := range calls {
		made[i], rv = call()
		s.must(rv)
	}
	type entry struct {
		event           audit.Event
		object, related uint64
		result          cryptoki.RV
	}
	var got []entry
	for _, e := range auditor.auditEntries()[len(before):] {
		got = append(got, entry{e.Record.Event, uint64(e.Record.Object), uint64(e.Record.Related), e.Record.Result})
	}
	if wanted := []entry{
		{audit.EventWrap, key, kek, cryptoki.CKR_OK}, {audit.EventWrap, stuck, kek, cryptoki.CKR_KEY_UNEXTRACTABLE},
		{audit.EventWrap, key, kek, cryptoki.CKR_MECHANISM_PARAM_INVALID},
		{audit.EventUnwrap, made[0], kek, cryptoki.CKR_OK}, {audit.EventKeyDerive, made[1], base, cryptoki.CKR_OK},
	}; !slices.Equal(got, wanted) {
		t.Errorf("the log has %v, want %v", got, wanted)
	}
	// A session object's repeat finds it as well.
	for what, call := range map[string]func(wire.ID) (uint64, cryptoki.RV){
		"unwrap": func(k wire.ID) (uint64, cryptoki.RV) { return s.unwrap(k, keyWrap, kek, wrapped, secretAES) },
		"derive": func(k wire.ID) (uint64, cryptoki.RV) { return s.derive(k, hkdf, base, nil) },
	} {
		k := newToken()
		one, rv := call(k)
		s.must(rv)
		if again, rv := call(k); rv != cryptoki.CKR_OK || again != one {
			t.Errorf("%s made %#x, the repeat %#x: %v", what, one, again, rv)
		}
	}
	for range 2 {
		for i, call := range calls {
			again, rv := call()
			s.must(rv)
			if again != made[i] {
				t.Errorf("made %d, the repeat gave %d", made[i], again)
			}
		}
		b.restart()
		s = b.user()
	}
}

func TestDigestKey(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	key := s.mustCreate(with(secretAES, cryptoki.CKA_TOKEN, true, cryptoki.CKA_VALUE, bytes.Repeat([]byte{7}, 32)))
	want(t, "without a digest", s.digestKey(key), cryptoki.CKR_OPERATION_NOT_INITIALIZED)
	s.mustInit(mech.Digest, sha256, 0)
	want(t, "with policy 9 off", s.digestKey(key), cryptoki.CKR_KEY_INDIGESTIBLE)
	want(t, "after a refusal", only(s.final(mech.Digest, nil, anyRoom)), cryptoki.CKR_OPERATION_NOT_INITIALIZED)

	b.setPartition(policy.Change{ID: policy.DigestKey, Value: 1})
	s = b.user()
	key = s.mustCreate(with(secretAES, cryptoki.CKA_TOKEN, true, cryptoki.CKA_VALUE, bytes.Repeat([]byte{7}, 32)))
	short := s.mustCreate(attrs(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_GENERIC_SECRET, cryptoki.CKA_VALUE, "short"))
	public, _ := s.pair(false, "pair")
	data := s.mustCreate(dataObject(false, false, ""))
	for handle, code := range map[uint64]cryptoki.RV{
		short: cryptoki.CKR_KEY_SIZE_RANGE, public: cryptoki.CKR_KEY_INDIGESTIBLE, data: cryptoki.CKR_KEY_HANDLE_INVALID, 999_999: cryptoki.CKR_KEY_HANDLE_INVALID,
	} {
		s.mustInit(mech.Digest, sha256, 0)
		want(t, "digesting", s.digestKey(handle), code)
	}
	s.mustInit(mech.Digest, sha256, 0)
	s.must(only(s.update(mech.Digest, []byte("before"), anyRoom)))
	s.must(s.digestKey(key))
	s.must(only(s.update(mech.Digest, []byte("after"), anyRoom)))
	got, rv := s.final(mech.Digest, nil, anyRoom)
	s.must(rv)
	whole, rv := s.fused(mech.Digest, sha256, 0, slices.Concat([]byte("before"), bytes.Repeat([]byte{7}, 32), []byte("after")), nil, anyRoom)
	s.must(rv)
	if !bytes.Equal(got.Output, whole.Output) {
		t.Errorf("the digest is %x", got.Output)
	}
	s.mustInit(mech.Digest, sha256, 0)
	s.must(s.digestKey(key))
	want(t, "one part after a key", only(s.operate(mech.Digest, nil, nil, anyRoom)), cryptoki.CKR_OPERATION_ACTIVE)
}

// Each policy about keys, off.
func TestKeyPolicies(t *testing.T) {
	wrapping := func(s session) uint64 { return s.aes(cryptoki.CKA_WRAP, true, cryptoki.CKA_UNWRAP, true) }
	key := func(s session) uint64 { return s.aes(cryptoki.CKA_EXTRACTABLE, true, cryptoki.CKA_TOKEN, true) }
	generic := func(s session, n int) uint64 {
		return s.mustCreate(attrs(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_GENERIC_SECRET,
			cryptoki.CKA_VALUE, make([]byte, n), cryptoki.CKA_EXTRACTABLE, true))
	}
	type call struct {
		what string
		do   func(s session) cryptoki.RV
		want cryptoki.RV
	}
	for _, c := range []struct {
		off   policy.ID
		calls []call
	}{
		{policy.SecretWrapping, []call{
			{"wrapping a secret key", func(s session) cryptoki.RV { return only(s.wrap(keyWrap, wrapping(s), key(s), anyRoom)) }, cryptoki.CKR_KEY_NOT_WRAPPABLE},
		}},
		{policy.SecretUnwrapping, []call{
			{"unwrapping a secret key", func(s session) cryptoki.RV {
				return only(s.unwrap(newToken(), keyWrap, wrapping(s), make([]byte, 24), secretAES))
			}, cryptoki.CKR_ACTION_PROHIBITED},
			{"unwrapping a private key", func(s session) cryptoki.RV {
				return only(s.unwrap(newToken(), keyWrap, wrapping(s), make([]byte, 24), attrs(cryptoki.CKA_CLASS, cryptoki.CKO_PRIVATE_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_RSA)))
			}, cryptoki.CKR_WRAPPED_KEY_INVALID},
		}},
		{policy.PrivateUnwrapping, []call{
			{"unwrapping a private key", func(s session) cryptoki.RV {
				return only(s.unwrap(newToken(), keyWrap, wrapping(s), make([]byte, 24), attrs(cryptoki.CKA_CLASS, cryptoki.CKO_PRIVATE_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_RSA)))
			}, cryptoki.CKR_ACTION_PROHIBITED},
		}},
		{policy.CBCPad, []call{
			{"wrapping 15 bytes", func(s session) cryptoki.RV { return only(s.wrap(cbc, wrapping(s), generic(s, 15), anyRoom)) }, cryptoki.CKR_KEY_SIZE_RANGE},
			{"wrapping 16 bytes", func(s session) cryptoki.RV { return only(s.wrap(cbc, wrapping(s), generic(s, 16), anyRoom)) }, cryptoki.CKR_OK},
			{"wrapping 15 bytes with KWP", func(s session) cryptoki.RV {
				return only(s.wrap(keyWrapPad, wrapping(s), generic(s, 15), anyRoom))
			}, cryptoki.CKR_OK},
			{"unwrapping one block", func(s session) cryptoki.RV {
				return only(s.unwrap(newToken(), cbc, wrapping(s), make([]byte, 16), secretAES))
			}, cryptoki.CKR_WRAPPED_KEY_LEN_RANGE},
		}},
		{policy.Multipurpose, []call{
			{"one pair", func(s session) cryptoki.RV {
				s.aes(cryptoki.CKA_ENCRYPT, true, cryptoki.CKA_DECRYPT, true)
				return cryptoki.CKR_OK
			}, cryptoki.CKR_OK},
			{"two pairs", func(s session) cryptoki.RV {
				return only(s.generate(newToken(), aesKeyGen, attrs(cryptoki.CKA_VALUE_LEN, 32, cryptoki.CKA_ENCRYPT, true, cryptoki.CKA_SIGN, true)))
			}, cryptoki.CKR_TEMPLATE_INCONSISTENT},
			{"a second pair later", func(s session) cryptoki.RV {
				return s.set(s.aes(cryptoki.CKA_ENCRYPT, true, cryptoki.CKA_TOKEN, true), attrs(cryptoki.CKA_SIGN, true))
			}, cryptoki.CKR_TEMPLATE_INCONSISTENT},
			{"a second pair of a session object", func(s session) cryptoki.RV {
				return s.set(s.aes(cryptoki.CKA_ENCRYPT, true), attrs(cryptoki.CKA_SIGN, true))
			}, cryptoki.CKR_TEMPLATE_INCONSISTENT},
		}},
		{policy.ChangingAttributes, []call{
			{"a purpose more", func(s session) cryptoki.RV { return s.set(key(s), attrs(cryptoki.CKA_SIGN, true)) }, cryptoki.CKR_ATTRIBUTE_READ_ONLY},
			{"a purpose less in a copy", func(s session) cryptoki.RV {
				return only(s.copyObject(newToken(), s.aes(cryptoki.CKA_SIGN, true), attrs(cryptoki.CKA_SIGN, false)))
			}, cryptoki.CKR_ATTRIBUTE_READ_ONLY},
			{"a label", func(s session) cryptoki.RV { return s.set(key(s), attrs(cryptoki.CKA_LABEL, "new")) }, cryptoki.CKR_OK},
		}},
	} {
		b := newHSM(t)
		b.setPartition(policy.Change{ID: c.off, Value: 0})
		s := b.user()
		for _, call := range c.calls {
			want(t, call.what, call.do(s), call.want)
		}
	}
}

// Without key management keys are used, and that is all; what is no key is not concerned.
func TestKeyManagementOff(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	kek := s.aes(cryptoki.CKA_TOKEN, true, cryptoki.CKA_WRAP, true, cryptoki.CKA_UNWRAP, true)
	key := s.aes(cryptoki.CKA_TOKEN, true, cryptoki.CKA_EXTRACTABLE, true, cryptoki.CKA_ENCRYPT, true)
	base, rv := s.generate(newToken(), genericKeyGen, attrs(cryptoki.CKA_VALUE_LEN, 32, cryptoki.CKA_DERIVE, true, cryptoki.CKA_TOKEN, true))
	s.must(rv)
	wrapped := s.mustWrap(keyWrap, kek, key)
	b.setPartition(policy.Change{ID: policy.KeyManagement, Value: 0})
	s = b.user()
	_, _, pair := s.generatePair(newToken(), ecKeyPairGen, attrs(cryptoki.CKA_EC_PARAMS, p256), nil)
	for what, rv := range map[string]cryptoki.RV{
		"create": only(s.create(newToken(), with(secretAES, cryptoki.CKA_VALUE, make([]byte, 32)))), "generate": only(s.generate(newToken(), aesKeyGen, attrs(cryptoki.CKA_VALUE_LEN, 32))),
		"generate a pair": pair, "copy": only(s.copyObject(newToken(), key, nil)), "destroy": s.destroy(key),
		"set": s.set(key, attrs(cryptoki.CKA_LABEL, "new")), "unwrap": only(s.unwrap(newToken(), keyWrap, kek, wrapped, secretAES)), "derive": only(s.derive(newToken(), hkdf, base, nil)),
	} {
		want(t, what, rv, cryptoki.CKR_ACTION_PROHIBITED)
	}
	s.encrypted(key)
	s.mustWrap(keyWrap, kek, key)
	data := s.mustCreate(dataObject(true, true, ""))
	s.must(s.set(data, attrs(cryptoki.CKA_LABEL, "new")))
	s.must(s.destroy(data))
}
