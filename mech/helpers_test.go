package mech

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// attribute is short for one attribute of a template.
func attribute(t cryptoki.AttributeType, v []byte) cryptoki.Attribute {
	return cryptoki.Attribute{Type: t, Value: v}
}

// getter gives ParseKey the attributes of a template.
func getter(t cryptoki.Template) func(cryptoki.AttributeType) []byte {
	return func(typ cryptoki.AttributeType) []byte {
		v, _ := t.Find(typ)
		return v
	}
}

// with returns the template with one attribute set, or removed where v is nil.
func with(template cryptoki.Template, t cryptoki.AttributeType, v []byte) cryptoki.Template {
	changed := slices.DeleteFunc(slices.Clone(template), func(a cryptoki.Attribute) bool { return a.Type == t })
	if v == nil {
		return changed
	}
	return append(changed, attribute(t, v))
}

func value(template cryptoki.Template, t cryptoki.AttributeType) []byte {
	v, _ := template.Find(t)
	return v
}

func mustParse(t testing.TB, class cryptoki.ObjectClass, typ cryptoki.KeyType, template cryptoki.Template) Key {
	t.Helper()
	key, err := ParseKey(class, typ, getter(template))
	if err != nil {
		t.Fatalf("ParseKey: %v", err)
	}
	return key
}

// keys is a key of each sort; public and private are the same for a secret key.
type keys struct{ public, private Key }

// fixture is a key pair as templates: made once, because RSA takes its time.
type fixture struct{ public, private cryptoki.Template }

func generated(t cryptoki.MechanismType, template cryptoki.Template) func() fixture {
	return sync.OnceValue(func() fixture {
		entry, ok := Lookup(t)
		if !ok {
			panic("no such mechanism")
		}
		m := cryptoki.New(t)
		if entry.Generate != nil {
			secret, err := entry.Generate(&m, template)
			if err != nil {
				panic(err)
			}
			return fixture{secret, secret}
		}
		public, private, err := entry.GeneratePair(&m, template, nil)
		if err != nil {
			panic(err)
		}
		return fixture{public, private}
	})
}

var (
	oidP256    = []byte("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07")
	oidP384    = []byte("\x06\x05\x2b\x81\x04\x00\x22")
	oidP521    = []byte("\x06\x05\x2b\x81\x04\x00\x23")
	oidK256    = []byte("\x06\x05\x2b\x81\x04\x00\x0a")
	oidEd25519 = []byte("\x06\x03\x2b\x65\x70")
	oidX25519  = []byte("\x06\x03\x2b\x65\x6e")

	rsaPair     = generated(cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN, cryptoki.Template{attribute(cryptoki.CKA_MODULUS_BITS, cryptoki.ULong(uint64(2048)))})
	p256Pair    = generated(cryptoki.CKM_EC_KEY_PAIR_GEN, cryptoki.Template{attribute(cryptoki.CKA_EC_PARAMS, oidP256)})
	p384Pair    = generated(cryptoki.CKM_EC_KEY_PAIR_GEN, cryptoki.Template{attribute(cryptoki.CKA_EC_PARAMS, oidP384)})
	p521Pair    = generated(cryptoki.CKM_EC_KEY_PAIR_GEN, cryptoki.Template{attribute(cryptoki.CKA_EC_PARAMS, oidP521)})
	k256Pair    = generated(cryptoki.CKM_EC_KEY_PAIR_GEN, cryptoki.Template{attribute(cryptoki.CKA_EC_PARAMS, oidK256)})
	x25519Pair  = generated(cryptoki.CKM_EC_MONTGOMERY_KEY_PAIR_GEN, cryptoki.Template{attribute(cryptoki.CKA_EC_PARAMS, oidX25519)})
	edwardsPair = generated(cryptoki.CKM_EC_EDWARDS_KEY_PAIR_GEN, cryptoki.Template{attribute(cryptoki.CKA_EC_PARAMS, oidEd25519)})
	aesSecret   = generated(cryptoki.CKM_AES_KEY_GEN, cryptoki.Template{attribute(cryptoki.CKA_VALUE_LEN, cryptoki.ULong(uint64(32)))})
	genericKey  = generated(cryptoki.CKM_GENERIC_SECRET_KEY_GEN, cryptoki.Template{attribute(cryptoki.CKA_VALUE_LEN, cryptoki.ULong(uint64(32)))})
)

func (f fixture) pair(t testing.TB, typ cryptoki.KeyType) keys {
	t.Helper()
	return keys{
		mustParse(t, cryptoki.CKO_PUBLIC_KEY, typ, f.public),
		mustParse(t, cryptoki.CKO_PRIVATE_KEY, typ, f.private),
	}
}

func (f fixture) secret(t testing.TB, typ cryptoki.KeyType) keys {
	t.Helper()
	key := mustParse(t, cryptoki.CKO_SECRET_KEY, typ, f.private)
	return keys{key, key}
}

// secretKeyOf is a secret key of a known value.
func secretKeyOf(t testing.TB, typ cryptoki.KeyType, value []byte) Key {
	t.Helper()
	return mustParse(t, cryptoki.CKO_SECRET_KEY, typ, cryptoki.Template{attribute(cryptoki.CKA_VALUE, value)})
}

// start begins an operation that must be possible.
func start(t testing.TB, f Function, m cryptoki.Mechanism, key Key) Operation {
	t.Helper()
	op, err := tryStart(f, m, key)
	if err != nil {
		t.Fatalf("Start %v: %v", m.Type, err)
	}
	t.Cleanup(op.Close)
	return op
}

func tryStart(f Function, m cryptoki.Mechanism, key Key) (Operation, error) {
	entry, ok := Lookup(m.Type)
	if !ok {
		return nil, cryptoki.Errorf(cryptoki.CKR_MECHANISM_INVALID, "no mechanism %v", m.Type)
	}
	return entry.Start(f, &m, key)
}

// once executes a one-part operation that must succeed.
func once(t testing.TB, f Function, m cryptoki.Mechanism, key Key, data, sig []byte) []byte {
	t.Helper()
	out, err := start(t, f, m, key).Once(data, sig)
	if err != nil {
		t.Fatalf("%v: %v", m.Type, err)
	}
	return out
}

// wantCode fails the test unless err carries code.
func wantCode(t testing.TB, err error, code cryptoki.RV) {
	t.Helper()
	if got := cryptoki.Code(err); got != code {
		t.Errorf("got %v (%v), want %v", got, err, code)
	}
}

// unhex decodes hexadecimal with spaces.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// flipped returns a copy of b with bit i changed.
func flipped(b []byte, i int) []byte {
	c := append([]byte(nil), b...)
	c[i/8] ^= 1 << (i % 8)
	return c
}

// pssParameters are those of most programs for a hash: its own in the mask, and a
// salt of its length.
func pssParameters(hash cryptoki.MechanismType, mgf cryptoki.MGF, salt uint64) cryptoki.PSSParameters {
	return cryptoki.PSSParameters{HashAlg: hash, MGF: mgf, SaltLength: salt}
}

// counterMode is AES-CTR from a counter block.
func counterMode(bits uint64, first []byte) cryptoki.Mechanism {
	return cryptoki.NewCTR(cryptoki.CKM_AES_CTR, cryptoki.CTRParameters{CounterBits: bits, CounterBlock: [16]byte(first)})
}

// use is a mechanism with a parameter and keys that suit it.
type use struct {
	name      string
	mechanism cryptoki.Mechanism
	keys      keys
	// length is that of the longest data where the mechanism wants one, else 0.
	length int
	// The length of the data is a multiple of unit, from least on; 0 is any.
	unit, least int
}

// fit makes n a length that the use takes.
func (u use) fit(n int) int {
	if u.length > 0 {
		n = min(n, u.length)
	}
	n = max(n, u.least)
	if u.unit > 0 {
		n = (n + u.unit - 1) / u.unit * u.unit
	}
	return n
}

// authenticates tells whether changed ciphertext is noticed.
func (u use) authenticates() bool {
	switch u.mechanism.Type {
	case cryptoki.CKM_AES_GCM, cryptoki.CKM_AES_KEY_WRAP, cryptoki.CKM_AES_KW, cryptoki.CKM_AES_KEY_WRAP_KWP, cryptoki.CKM_AES_KWP, cryptoki.CKM_RSA_PKCS_OAEP:
		return true
	}
	return false
}

// rsaHashes are the hash functions of RSA signatures, with the salt that their uses
// have.
var rsaHashes = []struct {
	pkcs1, pss, hash cryptoki.MechanismType
	mgf              cryptoki.MGF
	salt             uint64
}{
	{cryptoki.CKM_SHA1_RSA_PKCS, cryptoki.CKM_SHA1_RSA_PKCS_PSS, cryptoki.CKM_SHA_1, cryptoki.CKG_MGF1_SHA1, 20},
	{cryptoki.CKM_SHA224_RSA_PKCS, cryptoki.CKM_SHA224_RSA_PKCS_PSS, cryptoki.CKM_SHA224, cryptoki.CKG_MGF1_SHA224, 28},
	{cryptoki.CKM_SHA256_RSA_PKCS, cryptoki.CKM_SHA256_RSA_PKCS_PSS, cryptoki.CKM_SHA256, cryptoki.CKG_MGF1_SHA256, 32},
	{cryptoki.CKM_SHA384_RSA_PKCS, cryptoki.CKM_SHA384_RSA_PKCS_PSS, cryptoki.CKM_SHA384, cryptoki.CKG_MGF1_SHA384, 48},
	{cryptoki.CKM_SHA512_RSA_PKCS, cryptoki.CKM_SHA512_RSA_PKCS_PSS, cryptoki.CKM_SHA512, cryptoki.CKG_MGF1_SHA512, 190},
	{cryptoki.CKM_SHA3_224_RSA_PKCS, cryptoki.CKM_SHA3_224_RSA_PKCS_PSS, cryptoki.CKM_SHA3_224, cryptoki.CKG_MGF1_SHA3_224, 1},
	{cryptoki.CKM_SHA3_256_RSA_PKCS, cryptoki.CKM_SHA3_256_RSA_PKCS_PSS, cryptoki.CKM_SHA3_256, cryptoki.CKG_MGF1_SHA3_256, 32},
	{cryptoki.CKM_SHA3_384_RSA_PKCS, cryptoki.CKM_SHA3_384_RSA_PKCS_PSS, cryptoki.CKM_SHA3_384, cryptoki.CKG_MGF1_SHA3_384, 48},
	{cryptoki.CKM_SHA3_512_RSA_PKCS, cryptoki.CKM_SHA3_512_RSA_PKCS_PSS, cryptoki.CKM_SHA3_512, cryptoki.CKG_MGF1_SHA3_512, 64},
}

// signatureUses are uses of every signature mechanism.
func signatureUses(t testing.TB) []use {
	t.Helper()
	var uses []use
	add := func(k keys, length int, m cryptoki.Mechanism, suffix string) {
		uses = append(uses, use{name: m.Type.String() + suffix, mechanism: m, keys: k, length: length})
	}
	p256, p384 := p256Pair().pair(t, cryptoki.CKK_EC), p384Pair().pair(t, cryptoki.CKK_EC)
	p521, k256 := p521Pair().pair(t, cryptoki.CKK_EC), k256Pair().pair(t, cryptoki.CKK_EC)
	add(p256, 32, cryptoki.New(cryptoki.CKM_ECDSA), " P-256")
	add(p384, 48, cryptoki.New(cryptoki.CKM_ECDSA), " P-384")
	add(p521, 64, cryptoki.New(cryptoki.CKM_ECDSA), " P-521")
	add(k256, 32, cryptoki.New(cryptoki.CKM_ECDSA), " secp256k1")
	for _, by := range rsaProviders(t) {
		rsa, suffix := rsaPairBy(t, by), " by "+by
		add(rsa, 51, cryptoki.New(cryptoki.CKM_RSA_PKCS), suffix)
		add(rsa, 32, cryptoki.NewPSS(cryptoki.CKM_RSA_PKCS_PSS, pssParameters(cryptoki.CKM_SHA256, cryptoki.CKG_MGF1_SHA256, 20)), suffix)
		add(rsa, 255, cryptoki.New(cryptoki.CKM_RSA_X_509), suffix)
		for _, p := range rsaHashes {
			add(rsa, 0, cryptoki.New(p.pkcs1), suffix)
			add(rsa, 0, cryptoki.NewPSS(p.pss, pssParameters(p.hash, p.mgf, p.salt)), suffix)
		}
	}
	for _, m := range []cryptoki.MechanismType{
		cryptoki.CKM_ECDSA_SHA1, cryptoki.CKM_ECDSA_SHA224, cryptoki.CKM_ECDSA_SHA256, cryptoki.CKM_ECDSA_SHA384, cryptoki.CKM_ECDSA_SHA512,
		cryptoki.CKM_ECDSA_SHA3_224, cryptoki.CKM_ECDSA_SHA3_256, cryptoki.CKM_ECDSA_SHA3_384, cryptoki.CKM_ECDSA_SHA3_512,
	} {
		add(p256, 0, cryptoki.New(m), " P-256")
		add(p384, 0, cryptoki.New(m), " P-384")
		add(p521, 0, cryptoki.New(m), " P-521")
		add(k256, 0, cryptoki.New(m), " secp256k1")
	}
	ed := edwardsPair().pair(t, cryptoki.CKK_EC_EDWARDS)
	add(ed, 0, cryptoki.New(cryptoki.CKM_EDDSA), "")
	add(ed, 0, cryptoki.NewEdDSA(cryptoki.CKM_EDDSA, cryptoki.EdDSAParameters{}), " empty parameter")
	add(ed, 0, cryptoki.NewEdDSA(cryptoki.CKM_EDDSA, cryptoki.EdDSAParameters{Context: []byte("tide")}), " ctx")
	add(ed, 0, cryptoki.NewEdDSA(cryptoki.CKM_EDDSA, cryptoki.EdDSAParameters{Prehash: true, Context: []byte("tide")}), " ph")
	for _, h := range hmacFunctions {
		add(genericKey().secret(t, cryptoki.CKK_GENERIC_SECRET), 0, cryptoki.New(h.whole), "")
		add(genericKey().secret(t, h.key), 0, cryptoki.New(h.whole), " own key type")
		add(genericKey().secret(t, h.key), 0, cryptoki.NewULong(h.general, 10), "")
	}
	aes := aesSecret().secret(t, cryptoki.CKK_AES)
	add(aes, 0, cryptoki.New(cryptoki.CKM_AES_CMAC), "")
	add(aes, 0, cryptoki.NewULong(cryptoki.CKM_AES_CMAC_GENERAL, 8), "")
	return uses
}

// cipherUses are uses of every encryption mechanism.
func cipherUses(t testing.TB) []use {
	t.Helper()
	aes := aesSecret().secret(t, cryptoki.CKK_AES)
	gcm := func(iv int, tag uint64) cryptoki.Mechanism {
		return cryptoki.NewGCM(cryptoki.CKM_AES_GCM, cryptoki.GCMParameters{IV: make([]byte, iv), AAD: []byte("aad"), TagBits: tag})
	}
	iv := []byte("0123456789abcdef")
	uses := []use{
		{name: "ECB", mechanism: cryptoki.New(cryptoki.CKM_AES_ECB), keys: aes, unit: 16},
		{name: "CBC", mechanism: cryptoki.NewBytes(cryptoki.CKM_AES_CBC, iv), keys: aes, unit: 16},
		{name: "CBC with padding", mechanism: cryptoki.NewBytes(cryptoki.CKM_AES_CBC_PAD, iv), keys: aes},
		{name: "CTR", mechanism: counterMode(128, iv), keys: aes},
		{name: "CTR 32 bits at their end", mechanism: counterMode(32, bytes.Repeat([]byte{0xff}, 16)), keys: aes},
		{name: "GCM", mechanism: gcm(12, 128), keys: aes},
		{name: "GCM short tag", mechanism: gcm(12, 96), keys: aes},
		{name: "GCM long IV", mechanism: gcm(256, 128), keys: aes},
		{name: "GCM short IV and tag", mechanism: gcm(1, 104), keys: aes},
		{name: "KW", mechanism: cryptoki.New(cryptoki.CKM_AES_KEY_WRAP), keys: aes, unit: 8, least: 16},
		{name: "KW initial value", mechanism: cryptoki.NewBytes(cryptoki.CKM_AES_KW, iv[:8]), keys: aes, unit: 8, least: 16},
		{name: "KWP", mechanism: cryptoki.NewBytes(cryptoki.CKM_AES_KEY_WRAP_KWP, nil), keys: aes, least: 1},
		{name: "KWP initial value", mechanism: cryptoki.NewBytes(cryptoki.CKM_AES_KWP, iv[:4]), keys: aes, least: 1},
	}
	for _, by := range rsaProviders(t) {
		rsa := rsaPairBy(t, by)
		uses = append(uses, []use{
			{name: "OAEP by " + by, mechanism: cryptoki.NewOAEP(cryptoki.CKM_RSA_PKCS_OAEP, cryptoki.OAEPParameters{
				HashAlg: cryptoki.CKM_SHA256, MGF: cryptoki.CKG_MGF1_SHA256, Source: cryptoki.CKZ_DATA_SPECIFIED,
			}), keys: rsa, length: 190},
			{name: "OAEP SHA-1, label, by " + by, mechanism: cryptoki.NewOAEP(cryptoki.CKM_RSA_PKCS_OAEP, cryptoki.OAEPParameters{
				HashAlg: cryptoki.CKM_SHA_1, MGF: cryptoki.CKG_MGF1_SHA1, Source: cryptoki.CKZ_DATA_SPECIFIED, SourceData: []byte("label"),
			}), keys: rsa, length: 100},
			{name: "OAEP two hashes by " + by, mechanism: cryptoki.NewOAEP(cryptoki.CKM_RSA_PKCS_OAEP, cryptoki.OAEPParameters{
				HashAlg: cryptoki.CKM_SHA512, MGF: cryptoki.CKG_MGF1_SHA1,
			}), keys: rsa, length: 1},
		}...)
	}
	return uses
}
