package mech

import (
	"bytes"
	"encoding/asn1"
	"fmt"
	"math/big"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

func TestGenerateRSA(t *testing.T) {
	m := cryptoki.New(cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN)
	entry, _ := Lookup(m.Type)
	bits := func(n uint64) cryptoki.Attribute { return attribute(cryptoki.CKA_MODULUS_BITS, cryptoki.ULong(n)) }
	exponent := func(e ...byte) cryptoki.Attribute { return attribute(cryptoki.CKA_PUBLIC_EXPONENT, e) }
	for _, c := range []struct {
		name     string
		template cryptoki.Template
		code     cryptoki.RV
	}{
		{"no size", nil, cryptoki.CKR_TEMPLATE_INCOMPLETE},
		{"size of 4 bytes", cryptoki.Template{attribute(cryptoki.CKA_MODULUS_BITS, []byte{0, 8, 0, 0})}, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"0", cryptoki.Template{bits(0)}, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"768", cryptoki.Template{bits(768)}, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"2049", cryptoki.Template{bits(2049)}, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"8448", cryptoki.Template{bits(8448)}, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"2^64-1", cryptoki.Template{bits(^uint64(0))}, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"exponent 3", cryptoki.Template{bits(2048), exponent(3)}, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"exponent 65539", cryptoki.Template{bits(2048), exponent(1, 0, 3)}, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"no digits", cryptoki.Template{bits(2048), exponent()}, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{"1024", cryptoki.Template{bits(1024)}, cryptoki.CKR_OK},
		{"exponent 65537", cryptoki.Template{bits(2048), exponent(1, 0, 1)}, cryptoki.CKR_OK},
		{"exponent 65537 with zeros", cryptoki.Template{bits(2304), exponent(0, 0, 1, 0, 1)}, cryptoki.CKR_OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			public, private, err := entry.GeneratePair(&m, c.template, nil)
			wantCode(t, err, c.code)
			if err != nil {
				return
			}
			n := new(big.Int).SetBytes(value(public, cryptoki.CKA_MODULUS))
			if got, _ := cryptoki.ParseULong(value(public, cryptoki.CKA_MODULUS_BITS)); uint64(n.BitLen()) != got || !bytes.Equal(value(c.template, cryptoki.CKA_MODULUS_BITS), cryptoki.ULong(got)) {
				t.Errorf("modulus of %d bits, attribute %d", n.BitLen(), got)
			}
			for _, a := range private {
				if len(a.Value) == 0 || a.Value[0] == 0 {
					t.Errorf("%v begins with a zero or is empty", a.Type)
				}
			}
			key := mustParse(t, cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_RSA, private)
			if key.Size() != uint64(n.BitLen()) || key.Type() != cryptoki.CKK_RSA {
				t.Errorf("key of type %v and size %d", key.Type(), key.Size())
			}
		})
	}
}

func TestGenerateOnCurves(t *testing.T) {
	const (
		ec = cryptoki.CKM_EC_KEY_PAIR_GEN
		ed = cryptoki.CKM_EC_EDWARDS_KEY_PAIR_GEN
		x  = cryptoki.CKM_EC_MONTGOMERY_KEY_PAIR_GEN
	)
	for _, c := range []struct {
		m      cryptoki.MechanismType
		params string
		point  int // bytes of the bare point
		code   cryptoki.RV
	}{
		{ec, string(oidP256), 65, cryptoki.CKR_OK},
		{ec, string(oidP384), 97, cryptoki.CKR_OK},
		{ec, "\x13\x09secp256r1", 65, cryptoki.CKR_OK},
		{ec, "\x13\x0aprime256v1", 65, cryptoki.CKR_OK},
		{ec, "\x13\x09secp384r1", 97, cryptoki.CKR_OK},
		{ec, string(oidP521), 133, cryptoki.CKR_OK},
		{ec, "\x13\x09secp521r1", 133, cryptoki.CKR_OK},
		{ec, string(oidK256), 65, cryptoki.CKR_OK},
		{ec, "\x13\x09secp256k1", 65, cryptoki.CKR_OK},
		{ec, "\x13\x09secp192k1", 0, cryptoki.CKR_CURVE_NOT_SUPPORTED},
		{ec, string(oidEd25519), 0, cryptoki.CKR_CURVE_NOT_SUPPORTED},
		{ec, "\x30\x03\x02\x01\x01", 0, cryptoki.CKR_CURVE_NOT_SUPPORTED},
		{ec, string(oidP256[:9]), 0, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{ec, string(oidP256) + "\x00", 0, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{ec, "secp256r1", 0, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{ec, "\x05\x00", 0, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{ec, "\x06", 0, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{ed, string(oidEd25519), 32, cryptoki.CKR_OK},
		{ed, "\x13\x0cedwards25519", 32, cryptoki.CKR_OK},
		{ed, "\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01", 32, cryptoki.CKR_OK},
		{ed, "\x13\x07Ed25519", 32, cryptoki.CKR_OK},
		{x, string(oidX25519), 32, cryptoki.CKR_OK},
		{x, "\x06\x0a\x2b\x06\x01\x04\x01\x97\x55\x01\x05\x01", 32, cryptoki.CKR_OK},
		{x, "\x13\x0acurve25519", 32, cryptoki.CKR_OK},
		{x, "\x13\x06X25519", 32, cryptoki.CKR_OK},
		{x, "\x13\x0bcurve25519", 32, cryptoki.CKR_OK},
		{x, "\x13\x0ccurve25519", 0, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{x, string(oidEd25519), 0, cryptoki.CKR_CURVE_NOT_SUPPORTED},
		{x, "\x06\x03\x2b\x65\x6f", 0, cryptoki.CKR_CURVE_NOT_SUPPORTED}, // X448
		{x, "curve25519", 0, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{ed, string(oidX25519), 0, cryptoki.CKR_CURVE_NOT_SUPPORTED},
		{ed, "\x06\x03\x2b\x65\x71", 0, cryptoki.CKR_CURVE_NOT_SUPPORTED}, // Ed448
		{ed, string(oidP256), 0, cryptoki.CKR_CURVE_NOT_SUPPORTED},
		{ed, "", 0, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
	} {
		t.Run(fmt.Sprintf("%v %x", c.m, c.params), func(t *testing.T) {
			entry, _ := Lookup(c.m)
			m := cryptoki.New(c.m)
			public, private, err := entry.GeneratePair(&m, cryptoki.Template{attribute(cryptoki.CKA_EC_PARAMS, []byte(c.params))}, nil)
			wantCode(t, err, c.code)
			if err != nil {
				return
			}
			point := value(public, cryptoki.CKA_EC_POINT)
			var bare []byte
			if rest, err := asn1.Unmarshal(point, &bare); err != nil || len(rest) > 0 || len(bare) != c.point {
				t.Errorf("point %x", point)
			}
			for _, template := range []cryptoki.Template{public, private} {
				if got := value(template, cryptoki.CKA_EC_PARAMS); string(got) != c.params {
					t.Errorf("parameters %x", got)
				}
			}
			if n := len(value(private, cryptoki.CKA_VALUE)); n != c.point/2 && n != c.point {
				t.Errorf("private value of %d bytes", n)
			}
			// The halves belong together: the private key takes the point as its own.
			typ := entry.KeyTypes[0]
			mustParse(t, cryptoki.CKO_PRIVATE_KEY, typ, with(private, cryptoki.CKA_EC_POINT, point))
			mustParse(t, cryptoki.CKO_PUBLIC_KEY, typ, public)
		})
	}
	for _, typ := range []cryptoki.MechanismType{ec, ed, x} {
		entry, _ := Lookup(typ)
		m := cryptoki.New(typ)
		_, _, err := entry.GeneratePair(&m, nil, cryptoki.Template{attribute(cryptoki.CKA_EC_PARAMS, oidP256)})
		wantCode(t, err, cryptoki.CKR_TEMPLATE_INCOMPLETE)
	}
}

func TestGenerateSecrets(t *testing.T) {
	for _, c := range []struct {
		m    cryptoki.MechanismType
		n    uint64
		code cryptoki.RV
	}{
		{cryptoki.CKM_AES_KEY_GEN, 16, cryptoki.CKR_OK},
		{cryptoki.CKM_AES_KEY_GEN, 24, cryptoki.CKR_OK},
		{cryptoki.CKM_AES_KEY_GEN, 32, cryptoki.CKR_OK},
		{cryptoki.CKM_AES_KEY_GEN, 0, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{cryptoki.CKM_AES_KEY_GEN, 17, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{cryptoki.CKM_AES_KEY_GEN, 128, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{cryptoki.CKM_GENERIC_SECRET_KEY_GEN, 13, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{cryptoki.CKM_GENERIC_SECRET_KEY_GEN, 14, cryptoki.CKR_OK},
		{cryptoki.CKM_GENERIC_SECRET_KEY_GEN, 512, cryptoki.CKR_OK},
		{cryptoki.CKM_GENERIC_SECRET_KEY_GEN, 513, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{cryptoki.CKM_GENERIC_SECRET_KEY_GEN, ^uint64(0), cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{cryptoki.CKM_SHA_1_KEY_GEN, 20, cryptoki.CKR_OK},
		{cryptoki.CKM_SHA256_KEY_GEN, 13, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID},
		{cryptoki.CKM_SHA512_256_KEY_GEN, 32, cryptoki.CKR_OK},
		{cryptoki.CKM_SHA3_384_KEY_GEN, 48, cryptoki.CKR_OK},
	} {
		entry, _ := Lookup(c.m)
		m := cryptoki.New(c.m)
		var last []byte
		for range 2 {
			secret, err := entry.Generate(&m, cryptoki.Template{attribute(cryptoki.CKA_VALUE_LEN, cryptoki.ULong(c.n))})
			wantCode(t, err, c.code)
			if err != nil {
				break
			}
			v := value(secret, cryptoki.CKA_VALUE)
			if uint64(len(v)) != c.n || !bytes.Equal(value(secret, cryptoki.CKA_VALUE_LEN), cryptoki.ULong(c.n)) || bytes.Equal(v, last) {
				t.Errorf("%v of %d bytes: %d bytes, length %x", c.m, c.n, len(v), value(secret, cryptoki.CKA_VALUE_LEN))
			}
			last = v
			if key := mustParse(t, cryptoki.CKO_SECRET_KEY, entry.KeyTypes[0], secret); key.Size() != c.n {
				t.Errorf("key of size %d", key.Size())
			}
		}
		_, err := entry.Generate(&m, nil)
		wantCode(t, err, cryptoki.CKR_TEMPLATE_INCOMPLETE)
		_, err = entry.Generate(&m, cryptoki.Template{attribute(cryptoki.CKA_VALUE_LEN, []byte{16})})
		wantCode(t, err, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID)
	}
}

// TestGeneratorsTakeNoParameter gives every generation mechanism a parameter.
func TestGeneratorsTakeNoParameter(t *testing.T) {
	template := cryptoki.Template{
		attribute(cryptoki.CKA_MODULUS_BITS, cryptoki.ULong(uint64(2048))),
		attribute(cryptoki.CKA_VALUE_LEN, cryptoki.ULong(uint64(32))),
		attribute(cryptoki.CKA_EC_PARAMS, oidP256),
	}
	for _, entry := range All() {
		m := cryptoki.NewBytes(entry.Type, []byte{1})
		if entry.Generate != nil {
			_, err := entry.Generate(&m, template)
			wantCode(t, err, cryptoki.CKR_MECHANISM_PARAM_INVALID)
		}
		if entry.GeneratePair != nil {
			_, _, err := entry.GeneratePair(&m, template, nil)
			wantCode(t, err, cryptoki.CKR_MECHANISM_PARAM_INVALID)
		}
	}
}
