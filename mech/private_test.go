package mech

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// privateFixtures are private keys of each type that can be wrapped.
func privateFixtures() map[cryptoki.KeyType][]cryptoki.Template {
	return map[cryptoki.KeyType][]cryptoki.Template{
		cryptoki.CKK_RSA:        {rsaPair().private},
		cryptoki.CKK_EC:         {p256Pair().private, p384Pair().private, p521Pair().private, k256Pair().private},
		cryptoki.CKK_EC_EDWARDS: {edwardsPair().private},

		cryptoki.CKK_EC_MONTGOMERY: {x25519Pair().private},
	}
}

// TestEncodePrivate wraps and unwraps the encoding of each type, and has package
// x509 read it.
func TestEncodePrivate(t *testing.T) {
	for typ, templates := range privateFixtures() {
		for _, template := range templates {
			der, err := EncodePrivate(typ, getter(template))
			if err != nil {
				t.Fatal(err)
			}
			all := [][]byte{der}
			// Package x509 does not know secp256k1.
			if !bytes.Equal(value(template, cryptoki.CKA_EC_PARAMS), oidK256) {
				standard, err := x509.ParsePKCS8PrivateKey(der)
				if err != nil {
					t.Errorf("%v: package x509 refuses it: %v", typ, err)
					continue
				}
				theirs, err := x509.MarshalPKCS8PrivateKey(standard)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, theirs)
			}
			for _, der := range all {
				back, values, err := DecodePrivate(der)
				if err != nil || back != typ {
					t.Errorf("%v came back as %v, %v", typ, back, err)
					continue
				}
				if len(values) != len(template) {
					t.Errorf("%v: %d values, want %d", typ, len(values), len(template))
				}
				for _, a := range values {
					if !bytes.Equal(a.Value, value(template, a.Type)) {
						t.Errorf("%v: %v differs", typ, a.Type)
					}
				}
			}
		}
	}
}

// TestEncodePrivateRefuses has keys that cannot be encoded.
func TestEncodePrivateRefuses(t *testing.T) {
	for _, c := range []struct {
		name     string
		typ      cryptoki.KeyType
		template cryptoki.Template
		code     cryptoki.RV
	}{
		{"no such type", cryptoki.CKK_DSA, rsaPair().private, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"public half", cryptoki.CKK_RSA, rsaPair().public, cryptoki.CKR_TEMPLATE_INCOMPLETE},
		{"no primes", cryptoki.CKK_RSA, with(rsaPair().private, cryptoki.CKA_PRIME_1, nil), cryptoki.CKR_TEMPLATE_INCOMPLETE},
		{"no value", cryptoki.CKK_EC, with(p256Pair().private, cryptoki.CKA_VALUE, nil), cryptoki.CKR_TEMPLATE_INCOMPLETE},
	} {
		der, err := EncodePrivate(c.typ, getter(c.template))
		if cryptoki.Code(err) != c.code || der != nil {
			t.Errorf("%s: %x, %v", c.name, der, err)
		}
	}
	// Without CRT values they are computed; a curve by name gets its identifier.
	lean := with(with(rsaPair().private, cryptoki.CKA_EXPONENT_1, nil), cryptoki.CKA_COEFFICIENT, nil)
	named := with(p256Pair().private, cryptoki.CKA_EC_PARAMS, []byte("\x13\x05P-256"))
	short := with(p256Pair().private, cryptoki.CKA_VALUE, []byte{5})
	for _, c := range []struct {
		typ            cryptoki.KeyType
		template, want cryptoki.Template
	}{
		{cryptoki.CKK_RSA, lean, rsaPair().private},
		{cryptoki.CKK_EC, named, p256Pair().private},
		{cryptoki.CKK_EC, short, with(p256Pair().private, cryptoki.CKA_VALUE, append(make([]byte, 31), 5))},
	} {
		der, err := EncodePrivate(c.typ, getter(c.template))
		if err != nil {
			t.Fatal(err)
		}
		_, values, err := DecodePrivate(der)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range c.want {
			if !bytes.Equal(value(values, a.Type), a.Value) {
				t.Errorf("%v: %v differs", c.typ, a.Type)
			}
		}
	}
}

// TestDecodePrivate has Ed25519 keys, whose encodings are short, and changes of
// them: RFC 8410, 10.3, without and with attributes and public key.
func TestDecodePrivate(t *testing.T) {
	const (
		algorithm = "30 05 06 03 2b 65 70"
		key       = "04 22 04 20 d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842"
		attribute = "a0 1f 30 1d 06 0a 2a 86 48 86 f7 0d 01 09 09 14 31 0f 0c 0d 43 75 72 64 6c 65 20 43 68 61 69 72 73"
		public    = "81 21 00 19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"
	)
	for _, c := range []struct {
		name, der string
		good      bool
	}{
		{"plain", "30 2e 02 01 00" + algorithm + key, true},
		{"attributes and public key", "30 72 02 01 01" + algorithm + key + attribute + public, true},
		{"attributes", "30 4f 02 01 00" + algorithm + key + attribute, true},
		{"public key", "30 51 02 01 01" + algorithm + key + public, true},
		{"public key of another", "30 51 02 01 01" + algorithm + key + strings.Replace(public, "19bf", "19be", 1), false},
		{"public key with loose bits", "30 51 02 01 01" + algorithm + key + strings.Replace(public, "21 00", "21 01", 1), false},
		{"empty public key", "30 31 02 01 01" + algorithm + key + "81 01 00", false},
		{"public key in version 0", "30 51 02 01 00" + algorithm + key + public, false},
		{"version 1 without public key", "30 2e 02 01 01" + algorithm + key, false},
		{"version 2", "30 2e 02 01 02" + algorithm + key, false},
		{"version 2 with public key", "30 51 02 01 02" + algorithm + key + public, false},
		{"version -1", "30 2e 02 01 ff" + algorithm + key, false},
		{"nothing", "", false},
		{"empty sequence", "30 00", false},
		{"a byte more", "30 2e 02 01 00" + algorithm + key + "00", false},
		{"a byte more inside", "30 2f 02 01 00" + algorithm + key + "00", false},
		{"long form of the length", "30 81 2e 02 01 00" + algorithm + key, false},
		{"indefinite length", "30 80 02 01 00" + algorithm + key + "00 00", false},
		{"another curve", "30 2e 02 01 00" + "30 05 06 03 2b 65 71" + key, false},
		{"parameters", "30 30 02 01 00" + "30 07 06 03 2b 65 70 05 00" + key, false},
		{"no algorithm", "30 27 02 01 00" + key, false},
		{"empty algorithm", "30 29 02 01 00 30 00" + key, false},
		{"key of 31 bytes", "30 2d 02 01 00" + algorithm + "04 21 04 1f" + key[12:len(key)-2], false},
		{"no inner octet string", "30 2c 02 01 00" + algorithm + "04 20" + key[12:], false},
	} {
		typ, values, err := DecodePrivate(unhex(t, c.der))
		if c.good {
			if err != nil || typ != cryptoki.CKK_EC_EDWARDS || !bytes.Equal(value(values, cryptoki.CKA_VALUE), unhex(t, key)[4:]) {
				t.Errorf("%s: %v, %v", c.name, typ, err)
			}
			continue
		}
		wantCode(t, err, cryptoki.CKR_WRAPPED_KEY_INVALID)
		if err == nil || values != nil {
			t.Errorf("%s: %d values, %v", c.name, len(values), err)
		}
	}
}

// TestDecodePrivateEC changes an encoding by package x509, which has the point.
func TestDecodePrivateEC(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, new string) []byte {
		t.Helper()
		changed := bytes.Replace(der, unhex(t, old), unhex(t, new), 1)
		if bytes.Equal(changed, der) {
			t.Fatalf("%s is not in %x", old, der)
		}
		return changed
	}
	for name, bad := range map[string][]byte{
		"version 0":                 change("02 01 01 04 20", "02 01 00 04 20"),
		"another point":             flipped(der, 8*(len(der)-1)),
		"loose bits":                change("03 42 00", "03 42 01"),
		"unknown curve":             change("06 08 2a 86 48 ce 3d 03 01 07", "06 08 2a 86 48 ce 3d 03 01 06"),
		"value out of its field":    change("04 20", "04 1f"),
		"octets where bits must be": change("03 42", "04 42"),
	} {
		_, _, err := DecodePrivate(bad)
		wantCode(t, err, cryptoki.CKR_WRAPPED_KEY_INVALID)
		if err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestDecodePrivateShort has the private value 1 in 32 bytes and in 31, and with the
// curve once more.
func TestDecodePrivateShort(t *testing.T) {
	const again = "a0 0a 06 08 2a 86 48 ce 3d 03 01"
	const head, zeros = "13 06 07 2a 86 48 ce 3d 02 01 06 08 2a 86 48 ce 3d 03 01 07", "00000000000000000000000000000000000000000000000000000000000000"
	for der, code := range map[string]cryptoki.RV{
		"30 41 02 01 00 30" + head + "04 27 30 25 02 01 01 04 20" + zeros + "01":     cryptoki.CKR_OK,
		"30 40 02 01 00 30" + head + "04 26 30 24 02 01 01 04 1f" + zeros[2:] + "01": cryptoki.CKR_WRAPPED_KEY_INVALID,

		"30 4d 02 01 00 30" + head + "04 33 30 31 02 01 01 04 20" + zeros + "01" + again + "07": cryptoki.CKR_OK,
		"30 4d 02 01 00 30" + head + "04 33 30 31 02 01 01 04 20" + zeros + "01" + again + "06": cryptoki.CKR_WRAPPED_KEY_INVALID,
	} {
		_, _, err := DecodePrivate(unhex(t, der))
		wantCode(t, err, code)
	}
}

// TestDecodePrivateRSA changes numbers of a key.
func TestDecodePrivateRSA(t *testing.T) {
	der, err := EncodePrivate(cryptoki.CKK_RSA, getter(rsaPair().private))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []cryptoki.AttributeType{cryptoki.CKA_MODULUS, cryptoki.CKA_PRIVATE_EXPONENT, cryptoki.CKA_PRIME_1, cryptoki.CKA_COEFFICIENT} {
		i := bytes.Index(der, value(rsaPair().private, a))
		if i < 0 {
			t.Fatalf("no %v", a)
		}
		_, _, err := DecodePrivate(flipped(der, 8*(i+20)))
		wantCode(t, err, cryptoki.CKR_WRAPPED_KEY_INVALID)
	}
	// A ninth number: the lengths of the whole, of the OCTET STRING and of the SEQUENCE
	// in it grow by its 3 bytes.
	longer := append(bytes.Clone(der), 2, 1, 1)
	for _, i := range []int{2, 24, 28} {
		binary.BigEndian.PutUint16(longer[i:], binary.BigEndian.Uint16(longer[i:])+3)
	}
	_, _, err = DecodePrivate(longer)
	wantCode(t, err, cryptoki.CKR_WRAPPED_KEY_INVALID)
	if !errors.Is(err, errPrivate) {
		t.Errorf("nine numbers: %v", err)
	}
	// The parameters must be NULL. The length of the whole is in its bytes 2 and 3.
	for _, parameters := range []string{"05 00 05 00", "", "05 01 00", "04 00"} {
		algorithm := unhex(t, "30 0d"+"06 09 2a 86 48 86 f7 0d 01 01 01 05 00")
		other := append(unhex(t, "30 0d 06 09 2a 86 48 86 f7 0d 01 01 01"), unhex(t, parameters)...)
		other[1] = byte(len(other) - 2)
		changed := bytes.Replace(der, algorithm, other, 1)
		binary.BigEndian.PutUint16(changed[2:], uint16(len(changed)-4))
		_, _, err := DecodePrivate(changed)
		wantCode(t, err, cryptoki.CKR_WRAPPED_KEY_INVALID)
		if err == nil {
			t.Errorf("parameters %q are taken", parameters)
		}
	}
	for _, n := range []int{0, 1, 100, len(der) - 1} {
		_, _, err := DecodePrivate(der[:n])
		wantCode(t, err, cryptoki.CKR_WRAPPED_KEY_INVALID)
	}
}

// TestDecodePrivateLong has attributes that make a key too long.
func TestDecodePrivateLong(t *testing.T) {
	der, err := EncodePrivate(cryptoki.CKK_EC_EDWARDS, getter(edwardsPair().private))
	if err != nil {
		t.Fatal(err)
	}
	for n, code := range map[int]cryptoki.RV{maxPrivate: cryptoki.CKR_OK, maxPrivate + 1: cryptoki.CKR_WRAPPED_KEY_INVALID} {
		attributes := make([]byte, n-len(der)-2)
		copy(attributes, "\xa0\x82")
		binary.BigEndian.PutUint16(attributes[2:], uint16(len(attributes)-4))
		long := append([]byte{0x30, 0x82, 0, 0}, der[2:]...)
		long = append(long, attributes...)
		binary.BigEndian.PutUint16(long[2:], uint16(len(long)-4))
		if len(long) != n {
			t.Fatalf("%d bytes", len(long))
		}
		_, _, err := DecodePrivate(long)
		wantCode(t, err, code)
	}
}

// FuzzDecodePrivate reads anything: what is taken is a key, and its encoding reads
// as the same.
func FuzzDecodePrivate(f *testing.F) {
	for typ, templates := range privateFixtures() {
		for _, template := range templates {
			der, err := EncodePrivate(typ, getter(template))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(der)
		}
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		typ, values, err := DecodePrivate(slices.Clone(der))
		if err != nil {
			wantCode(t, err, cryptoki.CKR_WRAPPED_KEY_INVALID)
			return
		}
		again, err := EncodePrivate(typ, getter(values))
		if err != nil {
			t.Fatal(err)
		}
		back, same, err := DecodePrivate(again)
		if err != nil || back != typ || len(same) != len(values) {
			t.Fatalf("%v came back as %v, %v", typ, back, err)
		}
		for _, a := range values {
			if !bytes.Equal(value(same, a.Type), a.Value) {
				t.Errorf("%v: %v differs", typ, a.Type)
			}
		}
	})
}
