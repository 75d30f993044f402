package attributes

import (
	"bytes"
	stdaes "crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"slices"
	"testing"

	"github.com/miekg/pkcs11"
)

// template is a template, or the values of one.
type template = []*pkcs11.Attribute

func attributes(pairs ...any) template {
	var t template
	for i := 0; i < len(pairs); i += 2 {
		t = append(t, pkcs11.NewAttribute(uint(pairs[i].(int)), pairs[i+1]))
	}
	return t
}

func find(t template, attribute uint) *pkcs11.Attribute {
	if i := slices.IndexFunc(t, func(a *pkcs11.Attribute) bool { return a.Type == attribute }); i >= 0 {
		return t[i]
	}
	return nil
}

func without(t template, attribute uint) template {
	return slices.DeleteFunc(slices.Clone(t), func(a *pkcs11.Attribute) bool { return a.Type == attribute })
}

func with(t template, a *pkcs11.Attribute) template { return append(without(t, a.Type), a) }

// call makes an object in a session: it is C_CreateObject, or what does the same by other
// ways.
type call func(pkcs11.SessionHandle, template) (pkcs11.ObjectHandle, error)

// way is a call with the least template that it takes.
type way struct {
	name          string
	call          call
	least         template
	must, mustNot notes
}

// subject is a kind of object with the ways to make one. The first is C_CreateObject.
type subject struct {
	name string
	kind kind
	ways []way
}

func create(s pkcs11.SessionHandle, t template) (pkcs11.ObjectHandle, error) {
	return hsm.CreateObject(s, t)
}

func created(t template) way { return way{"create", create, t, mustCreate, noCreate} }

// generated is C_GenerateKey.
func generated(mechanism uint, t template) way {
	return way{"generate", func(s pkcs11.SessionHandle, t template) (pkcs11.ObjectHandle, error) {
		return hsm.GenerateKey(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)}, t)
	}, t, mustGenerate, noGenerate}
}

// pairs are the public and the private side of C_GenerateKeyPair.
func pairs(mechanism uint, t template) (public, private way) {
	generate := func(s pkcs11.SessionHandle, public, private template) (pub, priv pkcs11.ObjectHandle, err error) {
		return hsm.GenerateKeyPair(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)}, public, private)
	}
	return way{"generate", func(s pkcs11.SessionHandle, given template) (pkcs11.ObjectHandle, error) {
			h, other, err := generate(s, given, nil)
			if err == nil {
				err = hsm.DestroyObject(s, other)
			}
			return h, err
		}, t, mustGenerate, noGenerate}, way{"generate", func(s pkcs11.SessionHandle, given template) (pkcs11.ObjectHandle, error) {
			other, h, err := generate(s, t, given)
			if err == nil {
				err = hsm.DestroyObject(s, other)
			}
			return h, err
		}, nil, mustGenerate, noGenerate}
}

// wrapping is a key that everybody knows.
var wrapping = bytes.Repeat([]byte{0x5a}, 32)

// unwrapped is C_UnwrapKey of a key, in the form in which it is wrapped.
func unwrapped(t *testing.T, key []byte, least template) way {
	block, err := stdaes.NewCipher(wrapping)
	if err != nil {
		t.Fatal(err)
	}
	by, err := hsm.CreateObject(open(t), attributes(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY, pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES,
		pkcs11.CKA_VALUE, wrapping, pkcs11.CKA_UNWRAP, true))
	if err != nil {
		t.Fatal(err)
	}
	iv := make([]byte, stdaes.BlockSize)
	pad := stdaes.BlockSize - len(key)%stdaes.BlockSize
	wrapped := append(bytes.Clone(key), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(wrapped, wrapped)
	return way{"unwrap", func(s pkcs11.SessionHandle, t template) (pkcs11.ObjectHandle, error) {
		return hsm.UnwrapKey(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_CBC_PAD, iv)}, by, wrapped, t)
	}, least, mustUnwrap, noUnwrap}
}

// derived is C_DeriveKey.
func derived(t *testing.T, keyType int) way {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	from, err := hsm.CreateObject(open(t), attributes(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY, pkcs11.CKA_KEY_TYPE, pkcs11.CKK_EC, pkcs11.CKA_EC_PARAMS, []byte(p256),
		pkcs11.CKA_VALUE, key.Bytes(), pkcs11.CKA_DERIVE, true, pkcs11.CKA_SENSITIVE, false, pkcs11.CKA_EXTRACTABLE, true))
	if err != nil {
		t.Fatal(err)
	}
	return way{"derive", func(s pkcs11.SessionHandle, t template) (pkcs11.ObjectHandle, error) {
		ecdh := pkcs11.NewECDH1DeriveParams(pkcs11.CKD_NULL, nil, key.PublicKey().Bytes())
		return hsm.DeriveKey(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDH1_DERIVE, ecdh)}, from, t)
	}, attributes(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY, pkcs11.CKA_KEY_TYPE, keyType, pkcs11.CKA_VALUE_LEN, 32), 0, noGenerate}
}

// The curves, as CKA_EC_PARAMS has them.
const (
	p256       = "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
	edwards    = "\x06\x03\x2b\x65\x70"
	montgomery = "\x06\x03\x2b\x65\x6e"
)

// Key types and mechanisms that pkcs11 does not name.
const (
	ckkEdwards       = 0x40
	ckkMontgomery    = 0x41
	ckkHKDF          = 0x42
	ckkSHA256HMAC    = 0x2b
	edwardsKeyPair   = 0x1055
	montgomeryKeys   = 0x1056
	genericSecretGen = 0x350
)

func subjects(t *testing.T) []subject {
	list := []subject{
		{"data", data, []way{created(attributes(pkcs11.CKA_CLASS, pkcs11.CKO_DATA))}},
		{"X.509 certificate", x509Kind, []way{created(certificate(pkcs11.CKC_X_509, pkcs11.CKA_SUBJECT))}},
		{"WTLS certificate", wtls, []way{created(certificate(pkcs11.CKC_WTLS, pkcs11.CKA_SUBJECT))}},
		{"attribute certificate", attributeCertificate, []way{created(certificate(pkcs11.CKC_X_509_ATTR_CERT, pkcs11.CKA_OWNER))}},
		{"DSA parameters", dsaParameters, []way{created(domain(pkcs11.CKK_DSA, true))}},
		{"DH parameters", dhParameters, []way{created(domain(pkcs11.CKK_DH, false))}},
		{"X9.42 parameters", x942Parameters, []way{created(domain(pkcs11.CKK_X9_42_DH, true))}},
		secret(t, "AES key", aes, pkcs11.CKK_AES, generated(pkcs11.CKM_AES_KEY_GEN, attributes(pkcs11.CKA_VALUE_LEN, 32)), derived(t, pkcs11.CKK_AES)),
		secret(t, "generic secret", generic, pkcs11.CKK_GENERIC_SECRET, generated(genericSecretGen, attributes(pkcs11.CKA_VALUE_LEN, 32)), derived(t, pkcs11.CKK_GENERIC_SECRET)),
		secret(t, "HMAC key", hmacKey, ckkSHA256HMAC, derived(t, ckkSHA256HMAC)),
		secret(t, "HKDF key", hmacKey, ckkHKDF, derived(t, ckkHKDF)),
	}
	return slices.Concat(list, rsaKeys(t), ecKeys(t))
}

func certificate(kind, holder int) template {
	return attributes(pkcs11.CKA_CLASS, pkcs11.CKO_CERTIFICATE, pkcs11.CKA_CERTIFICATE_TYPE, kind, holder, "somebody", pkcs11.CKA_VALUE, "a certificate")
}

// domain are parameters of a prime of 1024 bits; nobody looks whether it is one.
func domain(keyType int, subprime bool) template {
	t := attributes(pkcs11.CKA_CLASS, pkcs11.CKO_DOMAIN_PARAMETERS, pkcs11.CKA_KEY_TYPE, keyType,
		pkcs11.CKA_PRIME, bytes.Repeat([]byte{0xc5}, 128), pkcs11.CKA_BASE, []byte{2})
	if subprime {
		t = append(t, attributes(pkcs11.CKA_SUBPRIME, bytes.Repeat([]byte{0xc3}, 20))...)
	}
	return t
}

func secret(t *testing.T, name string, k kind, keyType int, more ...way) subject {
	class := attributes(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY, pkcs11.CKA_KEY_TYPE, keyType)
	value := bytes.Repeat([]byte{7}, 32)
	return subject{name, k, append([]way{
		created(append(slices.Clone(class), attributes(pkcs11.CKA_VALUE, value)...)), unwrapped(t, value, class),
	}, more...)}
}

// pair are the two halves of a key pair. They share their first values.
func pair(t *testing.T, name string, public, private kind, keyType int, shared, publicValues, privateValues template, der any, mechanism uint, generate template) []subject {
	class := func(class int) template { return attributes(pkcs11.CKA_CLASS, class, pkcs11.CKA_KEY_TYPE, keyType) }
	pkcs8, err := x509.MarshalPKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	generatedPublic, generatedPrivate := pairs(mechanism, generate)
	return []subject{
		{name + " public key", public, []way{created(slices.Concat(class(pkcs11.CKO_PUBLIC_KEY), shared, publicValues)), generatedPublic}},
		{name + " private key", private, []way{created(slices.Concat(class(pkcs11.CKO_PRIVATE_KEY), shared, privateValues)), generatedPrivate,
			unwrapped(t, pkcs8, class(pkcs11.CKO_PRIVATE_KEY))}},
	}
}

func rsaKeys(t *testing.T) []subject {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	key.Precompute()
	return pair(t, "RSA", rsaPublic, rsaPrivate, pkcs11.CKK_RSA,
		attributes(pkcs11.CKA_MODULUS, key.N.Bytes(), pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}), nil,
		attributes(pkcs11.CKA_PRIVATE_EXPONENT, key.D.Bytes(), pkcs11.CKA_PRIME_1, key.Primes[0].Bytes(), pkcs11.CKA_PRIME_2, key.Primes[1].Bytes(),
			pkcs11.CKA_EXPONENT_1, key.Precomputed.Dp.Bytes(), pkcs11.CKA_EXPONENT_2, key.Precomputed.Dq.Bytes(), pkcs11.CKA_COEFFICIENT, key.Precomputed.Qinv.Bytes()),
		key, pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, attributes(pkcs11.CKA_MODULUS_BITS, 1024))
}

func ecKeys(t *testing.T) []subject {
	weierstrass, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := weierstrass.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, ed25519Key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec := func(name string, keyType int, curve string, point, value []byte, key any, mechanism uint) []subject {
		params := attributes(pkcs11.CKA_EC_PARAMS, []byte(curve))
		octets := attributes(pkcs11.CKA_EC_POINT, append([]byte{4, byte(len(point))}, point...))
		return pair(t, name, ecPublic, ecPrivate, keyType, params, octets, append(attributes(pkcs11.CKA_VALUE, value), octets...), key, mechanism, params)
	}
	return slices.Concat(
		ec("EC", pkcs11.CKK_EC, p256, scalar.PublicKey().Bytes(), scalar.Bytes(), weierstrass, pkcs11.CKM_EC_KEY_PAIR_GEN),
		ec("Edwards", ckkEdwards, edwards, point, ed25519Key.Seed(), ed25519Key, edwardsKeyPair),
		ec("Montgomery", ckkMontgomery, montgomery, x25519.PublicKey().Bytes(), x25519.Bytes(), x25519, montgomeryKeys),
	)
}
