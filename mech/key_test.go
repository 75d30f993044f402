package mech

import (
	"bytes"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math/big"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

func TestParseRSA(t *testing.T) {
	public, private := rsaPair().public, rsaPair().private
	plus := func(v []byte, n int64) []byte {
		return new(big.Int).Add(new(big.Int).SetBytes(v), big.NewInt(n)).Bytes()
	}
	const (
		ok      = cryptoki.CKR_OK
		missing = cryptoki.CKR_TEMPLATE_INCOMPLETE
		bad     = cryptoki.CKR_ATTRIBUTE_VALUE_INVALID
	)
	for _, c := range []struct {
		name            string
		attribute       cryptoki.AttributeType
		value           []byte
		public, private cryptoki.RV
	}{
		{"unchanged", cryptoki.CKA_LABEL, nil, ok, ok},
		{"no modulus", cryptoki.CKA_MODULUS, nil, missing, missing},
		{"modulus of zeros", cryptoki.CKA_MODULUS, make([]byte, 256), bad, bad},
		{"even modulus", cryptoki.CKA_MODULUS, plus(value(public, cryptoki.CKA_MODULUS), 1), bad, bad},
		{"other modulus", cryptoki.CKA_MODULUS, plus(value(public, cryptoki.CKA_MODULUS), 2), ok, bad},
		{"modulus with zeros", cryptoki.CKA_MODULUS, append(make([]byte, 2), value(public, cryptoki.CKA_MODULUS)...), ok, ok},
		{"1016 bits", cryptoki.CKA_MODULUS, bytes.Repeat([]byte{0xff}, 127), bad, bad},
		{"8193 bits", cryptoki.CKA_MODULUS, append([]byte{1}, bytes.Repeat([]byte{1}, 1024)...), bad, bad},
		{"a megabyte", cryptoki.CKA_MODULUS, bytes.Repeat([]byte{1}, 1<<20), bad, bad},
		{"no exponent", cryptoki.CKA_PUBLIC_EXPONENT, nil, missing, missing},
		{"exponent 0", cryptoki.CKA_PUBLIC_EXPONENT, []byte{0}, bad, bad},
		{"exponent 1", cryptoki.CKA_PUBLIC_EXPONENT, []byte{1}, bad, bad},
		{"even exponent", cryptoki.CKA_PUBLIC_EXPONENT, []byte{1, 0, 0}, bad, bad},
		{"other exponent", cryptoki.CKA_PUBLIC_EXPONENT, []byte{3}, ok, bad},
		{"exponent of 31 bits", cryptoki.CKA_PUBLIC_EXPONENT, []byte{0x7f, 0xff, 0xff, 0xff}, ok, bad},
		{"exponent of 32 bits", cryptoki.CKA_PUBLIC_EXPONENT, []byte{0x80, 0, 0, 1}, bad, bad},
		{"exponent of 64 bits", cryptoki.CKA_PUBLIC_EXPONENT, bytes.Repeat([]byte{0xff}, 8), bad, bad},
		{"no private exponent", cryptoki.CKA_PRIVATE_EXPONENT, nil, ok, missing},
		{"other private exponent", cryptoki.CKA_PRIVATE_EXPONENT, plus(value(private, cryptoki.CKA_PRIVATE_EXPONENT), 2), ok, bad},
		{"no first prime", cryptoki.CKA_PRIME_1, nil, ok, missing},
		{"no second prime", cryptoki.CKA_PRIME_2, nil, ok, missing},
		{"prime of 0", cryptoki.CKA_PRIME_1, []byte{0}, ok, bad},
		{"prime of 1", cryptoki.CKA_PRIME_1, []byte{1}, ok, bad},
		{"other prime", cryptoki.CKA_PRIME_1, plus(value(private, cryptoki.CKA_PRIME_1), 2), ok, bad},
		{"twice the same prime", cryptoki.CKA_PRIME_2, value(private, cryptoki.CKA_PRIME_1), ok, bad},
		{"prime as long as a modulus", cryptoki.CKA_PRIME_2, value(public, cryptoki.CKA_MODULUS), ok, bad},
		{"no CRT exponent", cryptoki.CKA_EXPONENT_1, nil, ok, ok},
		{"no CRT coefficient", cryptoki.CKA_COEFFICIENT, nil, ok, ok},
		{"other CRT exponent 1", cryptoki.CKA_EXPONENT_1, plus(value(private, cryptoki.CKA_EXPONENT_1), 2), ok, bad},
		{"other CRT exponent 2", cryptoki.CKA_EXPONENT_2, plus(value(private, cryptoki.CKA_EXPONENT_2), 2), ok, bad},
		{"other CRT coefficient", cryptoki.CKA_COEFFICIENT, plus(value(private, cryptoki.CKA_COEFFICIENT), 1), ok, bad},
		{"CRT coefficient of 0", cryptoki.CKA_COEFFICIENT, []byte{0}, ok, bad},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseKey(cryptoki.CKO_PUBLIC_KEY, cryptoki.CKK_RSA, getter(with(public, c.attribute, c.value)))
			wantCode(t, err, c.public)
			key, err := ParseKey(cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_RSA, getter(with(private, c.attribute, c.value)))
			wantCode(t, err, c.private)
			if err != nil {
				if key != nil {
					t.Error("a key beside an error")
				}
				return
			}
			m := cryptoki.New(cryptoki.CKM_SHA256_RSA_PKCS)
			sig := once(t, Sign, m, key, []byte("data"), nil)
			once(t, Verify, m, mustParse(t, cryptoki.CKO_PUBLIC_KEY, cryptoki.CKK_RSA, public), []byte("data"), sig)
		})
	}
}

func TestParseEC(t *testing.T) {
	k256Order, _ := new(big.Int).SetString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
	for _, curve := range []struct {
		name       string
		pair       func() fixture
		oid        []byte
		size, bits int
		order      *big.Int
	}{
		{"P-256", p256Pair, oidP256, 32, 256, elliptic.P256().Params().N},
		{"P-384", p384Pair, oidP384, 48, 384, elliptic.P384().Params().N},
		{"P-521", p521Pair, oidP521, 66, 521, elliptic.P521().Params().N},
		{"secp256k1", k256Pair, oidK256, 32, 256, k256Order},
	} {
		pair, size, order := curve.pair(), curve.size, curve.order
		other := generated(cryptoki.CKM_EC_KEY_PAIR_GEN, cryptoki.Template{attribute(cryptoki.CKA_EC_PARAMS, curve.oid)})()
		otherPoint := value(other.public, cryptoki.CKA_EC_POINT)
		der := value(pair.public, cryptoki.CKA_EC_POINT)
		bare := der[len(der)-1-2*size:]
		compressed := append([]byte{2}, bare[1:1+size]...)
		const (
			ok      = cryptoki.CKR_OK
			missing = cryptoki.CKR_TEMPLATE_INCOMPLETE
			bad     = cryptoki.CKR_ATTRIBUTE_VALUE_INVALID
		)
		for _, c := range []struct {
			name            string
			attribute       cryptoki.AttributeType
			value           []byte
			public, private cryptoki.RV
		}{
			{"unchanged", cryptoki.CKA_LABEL, nil, ok, ok},
			{"no curve", cryptoki.CKA_EC_PARAMS, nil, missing, missing},
			{"unknown curve", cryptoki.CKA_EC_PARAMS, oidEd25519, cryptoki.CKR_CURVE_NOT_SUPPORTED, cryptoki.CKR_CURVE_NOT_SUPPORTED},
			{"same curve by name", cryptoki.CKA_EC_PARAMS, fmt.Appendf(nil, "\x13%c%s", len(curve.name), curve.name), ok, ok},
			{"no point", cryptoki.CKA_EC_POINT, nil, missing, ok},
			{"DER point", cryptoki.CKA_EC_POINT, der, ok, ok},
			{"bare point", cryptoki.CKA_EC_POINT, bare, ok, ok},
			{"point of another key", cryptoki.CKA_EC_POINT, otherPoint, ok, bad},
			{"compressed point", cryptoki.CKA_EC_POINT, compressed, bad, bad},
			{"infinity", cryptoki.CKA_EC_POINT, []byte{0}, bad, bad},
			{"point off the curve", cryptoki.CKA_EC_POINT, flipped(bare, 8*(2*size)), bad, bad},
			{"point without y", cryptoki.CKA_EC_POINT, der[:len(der)-size], bad, bad},
			{"point with a byte more", cryptoki.CKA_EC_POINT, append(bytes.Clone(der), 0), bad, bad},
			{"wrong DER length", cryptoki.CKA_EC_POINT, flipped(der, 8), bad, bad},
			{"wrong DER tag", cryptoki.CKA_EC_POINT, flipped(der, 0), bad, bad},
			{"coordinates of ones", cryptoki.CKA_EC_POINT, append([]byte{4}, bytes.Repeat([]byte{0xff}, 2*size)...), bad, bad},
			{"no value", cryptoki.CKA_VALUE, nil, ok, missing},
			{"value 0", cryptoki.CKA_VALUE, make([]byte, size), ok, bad},
			{"value 1", cryptoki.CKA_VALUE, []byte{1}, ok, ok},
			{"value with zeros", cryptoki.CKA_VALUE, append(make([]byte, 3), value(pair.private, cryptoki.CKA_VALUE)...), ok, ok},
			{"value below the order", cryptoki.CKA_VALUE, new(big.Int).Sub(order, big.NewInt(1)).Bytes(), ok, ok},
			{"value of the order", cryptoki.CKA_VALUE, order.Bytes(), ok, bad},
			{"value too long", cryptoki.CKA_VALUE, bytes.Repeat([]byte{1}, size+1), ok, bad},
		} {
			t.Run(curve.name+" "+c.name, func(t *testing.T) {
				_, err := ParseKey(cryptoki.CKO_PUBLIC_KEY, cryptoki.CKK_EC, getter(with(pair.public, c.attribute, c.value)))
				wantCode(t, err, c.public)
				key, err := ParseKey(cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_EC, getter(with(pair.private, c.attribute, c.value)))
				wantCode(t, err, c.private)
				if err == nil && key.Size() != uint64(curve.bits) {
					t.Errorf("size %d", key.Size())
				}
			})
		}
		if got := value(pair.private, cryptoki.CKA_EC_PARAMS); !bytes.Equal(got, curve.oid) {
			t.Errorf("parameters %x", got)
		}
	}
}

func TestParseEdwards(t *testing.T) {
	pair := edwardsPair()
	otherPoint, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der := value(pair.public, cryptoki.CKA_EC_POINT)
	const (
		ok      = cryptoki.CKR_OK
		missing = cryptoki.CKR_TEMPLATE_INCOMPLETE
		bad     = cryptoki.CKR_ATTRIBUTE_VALUE_INVALID
	)
	for _, c := range []struct {
		name            string
		attribute       cryptoki.AttributeType
		value           []byte
		public, private cryptoki.RV
	}{
		{"unchanged", cryptoki.CKA_LABEL, nil, ok, ok},
		{"curve by name", cryptoki.CKA_EC_PARAMS, []byte("\x13\x0cedwards25519"), ok, ok},
		{"no curve", cryptoki.CKA_EC_PARAMS, nil, missing, missing},
		{"unknown curve", cryptoki.CKA_EC_PARAMS, oidP256, cryptoki.CKR_CURVE_NOT_SUPPORTED, cryptoki.CKR_CURVE_NOT_SUPPORTED},
		{"no point", cryptoki.CKA_EC_POINT, nil, missing, ok},
		{"DER point", cryptoki.CKA_EC_POINT, der, ok, ok},
		{"bare point", cryptoki.CKA_EC_POINT, der[2:], ok, ok},
		{"point of another key", cryptoki.CKA_EC_POINT, otherPoint, ok, bad},
		{"point cut short", cryptoki.CKA_EC_POINT, der[3:], bad, bad},
		{"y of 2, no point", cryptoki.CKA_EC_POINT, append([]byte{2}, make([]byte, 31)...), bad, bad},
		{"y not reduced", cryptoki.CKA_EC_POINT, append(append([]byte{0xee}, bytes.Repeat([]byte{0xff}, 30)...), 0x7f), bad, bad},
		{"old curve identifier", cryptoki.CKA_EC_PARAMS, []byte("\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01"), ok, ok},
		{"DER point with a byte more", cryptoki.CKA_EC_POINT, unhex(t, "0420 d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a 00"), bad, bad},
		{"small order 1", cryptoki.CKA_EC_POINT, append([]byte{1}, make([]byte, 31)...), bad, bad},
		{"small order 4", cryptoki.CKA_EC_POINT, append(make([]byte, 31), 0x80), bad, bad},
		{"small order 8", cryptoki.CKA_EC_POINT, unhex(t, "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"), bad, bad},
		{"x of 0 with a sign", cryptoki.CKA_EC_POINT, append(append([]byte{1}, make([]byte, 30)...), 0x80), bad, bad},
		{"no value", cryptoki.CKA_VALUE, nil, ok, missing},
		{"value of 31 bytes", cryptoki.CKA_VALUE, make([]byte, 31), ok, bad},
		{"value of 64 bytes", cryptoki.CKA_VALUE, make([]byte, 64), ok, bad},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseKey(cryptoki.CKO_PUBLIC_KEY, cryptoki.CKK_EC_EDWARDS, getter(with(pair.public, c.attribute, c.value)))
			wantCode(t, err, c.public)
			_, err = ParseKey(cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_EC_EDWARDS, getter(with(pair.private, c.attribute, c.value)))
			wantCode(t, err, c.private)
		})
	}
}

// TestOnEdwards25519 compares with package ed25519, which refuses a key that is no
// point before it looks at the signature, in words of its own.
func TestOnEdwards25519(t *testing.T) {
	wrong := ed25519.VerifyWithOptions(make([]byte, 32), nil, make([]byte, 64), &ed25519.Options{})
	var on int
	for range 2000 {
		point := make([]byte, 32)
		rand.Read(point)
		got := onEdwards25519(point)
		err := ed25519.VerifyWithOptions(point, nil, make([]byte, 64), &ed25519.Options{})
		if want := err == nil || wrong != nil && err.Error() == wrong.Error(); got != want {
			t.Errorf("%x: %v, package ed25519: %v", point, got, err)
		}
		if got {
			on++
		}
	}
	if on < 800 || on > 1200 {
		t.Errorf("%d of 2000 random strings are points", on)
	}
}

func TestParseSecrets(t *testing.T) {
	for _, c := range []struct {
		typ  cryptoki.KeyType
		n    int
		code cryptoki.RV
	}{
		{cryptoki.CKK_AES, 0, cryptoki.CKR_TEMPLATE_INCOMPLETE},
		{cryptoki.CKK_AES, 15, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{cryptoki.CKK_AES, 16, cryptoki.CKR_OK},
		{cryptoki.CKK_AES, 24, cryptoki.CKR_OK},
		{cryptoki.CKK_AES, 32, cryptoki.CKR_OK},
		{cryptoki.CKK_AES, 33, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{cryptoki.CKK_GENERIC_SECRET, 0, cryptoki.CKR_TEMPLATE_INCOMPLETE},
		{cryptoki.CKK_GENERIC_SECRET, 1, cryptoki.CKR_OK},
		{cryptoki.CKK_SHA256_HMAC, 512, cryptoki.CKR_OK},
		{cryptoki.CKK_SHA512_HMAC, 513, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{cryptoki.CKK_DES3, 24, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
	} {
		v := bytes.Repeat([]byte{7}, c.n)
		key, err := ParseKey(cryptoki.CKO_SECRET_KEY, c.typ, getter(cryptoki.Template{attribute(cryptoki.CKA_VALUE, v)}))
		wantCode(t, err, c.code)
		if err == nil && (key.Type() != c.typ || key.Size() != uint64(c.n)) {
			t.Errorf("key of type %v and size %d", key.Type(), key.Size())
		}
	}
}

// TestParseKeyCopies wipes the attributes after parsing, as their owner does.
func TestParseKeyCopies(t *testing.T) {
	for _, u := range signatureUses(t) {
		entry, _ := Lookup(u.mechanism.Type)
		pair, class := map[cryptoki.KeyType]fixture{
			cryptoki.CKK_RSA: rsaPair(), cryptoki.CKK_EC: p256Pair(), cryptoki.CKK_EC_EDWARDS: edwardsPair(), cryptoki.CKK_GENERIC_SECRET: genericKey(),
			cryptoki.CKK_AES: aesSecret(),
		}[entry.KeyTypes[0]], cryptoki.CKO_PRIVATE_KEY
		if entry.KeyTypes[0] == cryptoki.CKK_GENERIC_SECRET || entry.KeyTypes[0] == cryptoki.CKK_AES {
			class = cryptoki.CKO_SECRET_KEY
		}
		var template cryptoki.Template
		for _, a := range pair.private {
			template = append(template, attribute(a.Type, bytes.Clone(a.Value)))
		}
		key := mustParse(t, class, entry.KeyTypes[0], template)
		for _, a := range template {
			clear(a.Value)
		}
		data := u.message()
		once(t, Verify, u.mechanism, mustParse(t, class, entry.KeyTypes[0], pair.private), data, once(t, Sign, u.mechanism, key, data, nil))
	}
}

// FuzzParseKey gives ParseKey any attributes. A key that it makes must work.
func FuzzParseKey(f *testing.F) {
	add := func(class cryptoki.ObjectClass, typ cryptoki.KeyType, template cryptoki.Template) {
		var b []byte
		for _, a := range template {
			b = binary.LittleEndian.AppendUint16(b, uint16(a.Type))
			b = binary.LittleEndian.AppendUint16(b, uint16(len(a.Value)))
			b = append(b, a.Value...)
		}
		f.Add(uint64(class), uint64(typ), b)
	}
	for typ, pair := range map[cryptoki.KeyType]fixture{cryptoki.CKK_RSA: rsaPair(), cryptoki.CKK_EC: p256Pair(), cryptoki.CKK_EC_EDWARDS: edwardsPair(), cryptoki.CKK_EC_MONTGOMERY: x25519Pair()} {
		add(cryptoki.CKO_PUBLIC_KEY, typ, pair.public)
		add(cryptoki.CKO_PRIVATE_KEY, typ, pair.private)
	}
	add(cryptoki.CKO_PUBLIC_KEY, cryptoki.CKK_EC, k256Pair().public)
	add(cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_EC, k256Pair().private)
	add(cryptoki.CKO_SECRET_KEY, cryptoki.CKK_AES, aesSecret().private)
	add(cryptoki.CKO_SECRET_KEY, cryptoki.CKK_GENERIC_SECRET, genericKey().private)
	mechanisms := map[cryptoki.KeyType]cryptoki.MechanismType{
		cryptoki.CKK_RSA: cryptoki.CKM_SHA256_RSA_PKCS, cryptoki.CKK_EC: cryptoki.CKM_ECDSA_SHA256, cryptoki.CKK_EC_EDWARDS: cryptoki.CKM_EDDSA,
		cryptoki.CKK_GENERIC_SECRET: cryptoki.CKM_SHA256_HMAC,
	}
	f.Fuzz(func(t *testing.T, class, typ uint64, b []byte) {
		var template cryptoki.Template
		for len(b) >= 4 {
			n := min(int(binary.LittleEndian.Uint16(b[2:])), len(b)-4)
			template = append(template, attribute(cryptoki.AttributeType(binary.LittleEndian.Uint16(b)), b[4:4+n]))
			b = b[4+n:]
		}
		key, err := ParseKey(cryptoki.ObjectClass(class), cryptoki.KeyType(typ), getter(template))
		if err != nil {
			switch cryptoki.Code(err) {
			case cryptoki.CKR_TEMPLATE_INCOMPLETE, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, cryptoki.CKR_CURVE_NOT_SUPPORTED:
			default:
				t.Errorf("ParseKey: %v", err)
			}
			return
		}
		m, ok := mechanisms[key.Type()]
		if !ok {
			return
		}
		_, err = start(t, Verify, cryptoki.New(m), key).Once(nil, make([]byte, 64))
		if code := cryptoki.Code(err); code != cryptoki.CKR_SIGNATURE_INVALID && code != cryptoki.CKR_SIGNATURE_LEN_RANGE {
			t.Errorf("a signature of zeros: %v", err)
		}
		if cryptoki.ObjectClass(class) != cryptoki.CKO_PUBLIC_KEY {
			once(t, Verify, cryptoki.New(m), key, []byte("data"), once(t, Sign, cryptoki.New(m), key, []byte("data"), nil))
		}
	})
}
