package cryptoki

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestShapeOfMechanisms(t *testing.T) {
	tests := []struct {
		mechanism MechanismType
		shape     Shape
	}{
		{CKM_RSA_PKCS, ShapeNone},
		{CKM_SHA256, ShapeNone},
		{CKM_SHA256_HMAC, ShapeNone},
		{CKM_ECDSA_SHA256, ShapeNone},
		{CKM_EC_KEY_PAIR_GEN, ShapeNone},
		{CKM_AES_ECB, ShapeNone},
		{CKM_AES_CMAC, ShapeNone},
		{CKM_AES_CBC_PAD, ShapeBytes},
		{CKM_AES_KEY_WRAP_KWP, ShapeBytes},
		{CKM_AES_CMAC_GENERAL, ShapeULong},
		{CKM_SHA512_HMAC_GENERAL, ShapeULong},
		{CKM_RSA_PKCS_PSS, ShapePSS},
		{CKM_SHA384_RSA_PKCS_PSS, ShapePSS},
		{CKM_RSA_PKCS_OAEP, ShapeOAEP},
		{CKM_AES_GCM, ShapeGCM},
		{CKM_AES_GCM_VENDOR, ShapeGCM},
		{CKM_EDDSA, ShapeEdDSA},
		{CKM_AES_CTR, ShapeCTR},
		{CKM_ECDH1_DERIVE, ShapeECDH1},
		{CKM_HKDF_DERIVE, ShapeHKDF},
		{CKM_RSA_AES_KEY_WRAP, ShapeRSAAES},
		{CKM_SP800_108_COUNTER_KDF, ShapeKDF},
		{CKM_VENDOR_DEFINED | 0x7654, ShapeBytes},
	}
	for _, test := range tests {
		if got := test.mechanism.Shape(); got != test.shape {
			t.Errorf("%v has shape %d, want %d", test.mechanism, got, test.shape)
		}
	}
}

func TestParameterRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Uint64()
		text := rapid.SliceOfN(rapid.Byte(), 0, 40)

		pss := PSSParameters{MechanismType(number.Draw(t, "hash")), MGF(number.Draw(t, "mgf")), number.Draw(t, "salt")}
		m := NewPSS(CKM_RSA_PKCS_PSS, pss)
		if got, err := m.PSS(); err != nil || got != pss {
			t.Fatalf("PSS: %+v, %v; want %+v", got, err, pss)
		}
		oaep := OAEPParameters{CKM_SHA256, CKG_MGF1_SHA256, number.Draw(t, "source"), text.Draw(t, "label")}
		m = NewOAEP(CKM_RSA_PKCS_OAEP, oaep)
		if got, err := m.OAEP(); err != nil || !reflect.DeepEqual(normal(got), normal(oaep)) {
			t.Fatalf("OAEP: %+v, %v; want %+v", got, err, oaep)
		}
		gcm := GCMParameters{text.Draw(t, "iv"), text.Draw(t, "aad"), number.Draw(t, "tag")}
		m = NewGCM(CKM_AES_GCM, gcm)
		if got, err := m.GCM(); err != nil || !reflect.DeepEqual(normal(got), normal(gcm)) {
			t.Fatalf("GCM: %+v, %v; want %+v", got, err, gcm)
		}
		eddsa := EdDSAParameters{rapid.Bool().Draw(t, "prehash"), text.Draw(t, "context")}
		m = NewEdDSA(CKM_EDDSA, eddsa)
		if got, err := m.EdDSA(); err != nil || !reflect.DeepEqual(normal(got), normal(eddsa)) {
			t.Fatalf("EdDSA: %+v, %v; want %+v", got, err, eddsa)
		}
		ctr := CTRParameters{number.Draw(t, "counter bits"), [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "block"))}
		m = NewCTR(CKM_AES_CTR, ctr)
		if got, err := m.CTR(); err != nil || got != ctr {
			t.Fatalf("CTR: %+v, %v; want %+v", got, err, ctr)
		}
		ecdh := ECDH1Parameters{number.Draw(t, "kdf"), text.Draw(t, "shared"), text.Draw(t, "public")}
		m = NewECDH1(CKM_ECDH1_DERIVE, ecdh)
		if got, err := m.ECDH1(); err != nil || !reflect.DeepEqual(normal(got), normal(ecdh)) {
			t.Fatalf("ECDH1: %+v, %v; want %+v", got, err, ecdh)
		}
		hkdf := HKDFParameters{
			rapid.Bool().Draw(t, "extract"), rapid.Bool().Draw(t, "expand"), MechanismType(number.Draw(t, "hash")),
			number.Draw(t, "salt type"), text.Draw(t, "salt"), number.Draw(t, "salt key"), text.Draw(t, "info"),
		}
		m = NewHKDF(CKM_HKDF_DERIVE, hkdf)
		if got, err := m.HKDF(); err != nil || !reflect.DeepEqual(normal(got), normal(hkdf)) {
			t.Fatalf("HKDF: %+v, %v; want %+v", got, err, hkdf)
		}
		wrap := RSAAESParameters{number.Draw(t, "AES bits"), oaep}
		m = NewRSAAES(CKM_RSA_AES_KEY_WRAP, wrap)
		got, err := m.RSAAES()
		if got.OAEP = normal(got.OAEP); err != nil || !reflect.DeepEqual(got, RSAAESParameters{wrap.AESKeyBits, normal(oaep)}) {
			t.Fatalf("RSA-AES: %+v, %v; want %+v", got, err, wrap)
		}
		kdf := KDFParameters{PRF: MechanismType(number.Draw(t, "prf"))}
		for range rapid.IntRange(0, 15).Draw(t, "elements") {
			kdf.Data = append(kdf.Data, PRFDataParameters{number.Draw(t, "type"), text.Draw(t, "value")})
		}
		m = NewKDF(CKM_SP800_108_COUNTER_KDF, kdf)
		if got, err := m.KDF(); err != nil || got.PRF != kdf.PRF || len(got.Data) != len(kdf.Data) {
			t.Fatalf("KDF: %+v, %v; want %+v", got, err, kdf)
		} else {
			for i := range got.Data {
				if !reflect.DeepEqual(normal(got.Data[i]), normal(kdf.Data[i])) {
					t.Fatalf("KDF: %+v; want %+v", got, kdf)
				}
			}
		}
		value := text.Draw(t, "bytes")
		m = NewBytes(CKM_AES_CBC, value)
		if got, err := m.Bytes(); err != nil || !bytes.Equal(got, value) {
			t.Fatalf("Bytes: %x, %v; want %x", got, err, value)
		}
		n := number.Draw(t, "ulong")
		m = NewULong(CKM_AES_CMAC_GENERAL, n)
		if got, err := m.ULong(); err != nil || got != n {
			t.Fatalf("ULong: %d, %v; want %d", got, err, n)
		}
	})
}

// normal replaces the empty byte strings of a parameter by nil, so that
// reflect.DeepEqual takes them for equal.
func normal[P any](p P) P {
	v := reflect.ValueOf(&p).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Slice && f.Len() == 0 {
			f.SetZero()
		}
	}
	return p
}

func TestConstructorsCopy(t *testing.T) {
	iv := []byte{1, 2, 3}
	m := NewGCM(CKM_AES_GCM, GCMParameters{IV: iv})
	iv[0] = 9
	if p, err := m.GCM(); err != nil || p.IV[0] != 1 {
		t.Errorf("the mechanism shares the caller's IV: %v, %v", p.IV, err)
	}
}

// TestPartsDoNotGrow appends to one byte string and looks at the next.
func TestPartsDoNotGrow(t *testing.T) {
	m := NewGCM(CKM_AES_GCM, GCMParameters{IV: []byte{1}, AAD: []byte{2}})
	p, err := m.GCM()
	if err != nil {
		t.Fatal(err)
	}
	_ = append(p.IV, 7)
	if p.AAD[0] != 2 {
		t.Error("appending to the IV overwrote the AAD")
	}
}

func TestParameterErrors(t *testing.T) {
	gcm := func(m Mechanism) error { _, err := m.GCM(); return err }
	eddsa := func(m Mechanism) error { _, err := m.EdDSA(); return err }
	tests := []struct {
		name      string
		read      func(Mechanism) error
		mechanism Mechanism
		want      string
	}{
		{"absent", gcm, New(CKM_AES_GCM), "CKR_MECHANISM_PARAM_INVALID: CKM_AES_GCM: it lacks its parameter"},
		{"malformed", gcm, Mechanism{Type: CKM_AES_GCM, Shape: ShapeMalformed},
			"CKR_MECHANISM_PARAM_INVALID: CKM_AES_GCM: its parameter could not be read"},
		{"other shape", gcm, NewBytes(CKM_AES_GCM, []byte{1}),
			"CKR_MECHANISM_PARAM_INVALID: CKM_AES_GCM: its parameter has shape 1, want 5"},
		{"fields", gcm, Mechanism{Type: CKM_AES_GCM, Shape: ShapeGCM, Fields: []uint64{0, 0}},
			"CKR_MECHANISM_PARAM_INVALID: CKM_AES_GCM: its parameter has 2 fields, want 3"},
		{"too long", gcm, Mechanism{Type: CKM_AES_GCM, Shape: ShapeGCM, Fields: []uint64{1, 2, 96}, Data: []byte{1, 2}},
			"CKR_MECHANISM_PARAM_INVALID: CKM_AES_GCM: a byte string of 2 bytes exceeds the 1 that are left"},
		{"overflow", gcm, Mechanism{Type: CKM_AES_GCM, Shape: ShapeGCM, Fields: []uint64{1 << 63, 1 << 63, 96}},
			"CKR_MECHANISM_PARAM_INVALID: CKM_AES_GCM: a byte string of 9223372036854775808 bytes exceeds the 0 that are left"},
		{"left over", gcm, Mechanism{Type: CKM_AES_GCM, Shape: ShapeGCM, Fields: []uint64{1, 0, 96}, Data: []byte{1, 2}},
			"CKR_MECHANISM_PARAM_INVALID: CKM_AES_GCM: its parameter has 1 bytes too many"},
		{"bool", eddsa, Mechanism{Type: CKM_EDDSA, Shape: ShapeEdDSA, Fields: []uint64{2, 0}},
			"CKR_MECHANISM_PARAM_INVALID: CKM_EDDSA: a CK_BBOOL is 2"},
		{"array", func(m Mechanism) error { _, err := m.CTR(); return err },
			Mechanism{Type: CKM_AES_CTR, Shape: ShapeCTR, Fields: []uint64{128, 15}, Data: make([]byte, 15)},
			"CKR_MECHANISM_PARAM_INVALID: CKM_AES_CTR: a byte string has 15 bytes, want 16"},
		{"list", func(m Mechanism) error { _, err := m.KDF(); return err },
			Mechanism{Type: CKM_SP800_108_COUNTER_KDF, Shape: ShapeKDF, Fields: []uint64{1, 4}},
			"CKR_MECHANISM_PARAM_INVALID: CKM_SP800_108_COUNTER_KDF: its parameter has 2 fields, want 1 and a multiple of 2"},
		{"element", func(m Mechanism) error { _, err := m.KDF(); return err },
			Mechanism{Type: CKM_SP800_108_COUNTER_KDF, Shape: ShapeKDF, Fields: []uint64{1, 4, 2, 4, 2}, Data: make([]byte, 3)},
			"CKR_MECHANISM_PARAM_INVALID: CKM_SP800_108_COUNTER_KDF: a byte string of 2 bytes exceeds the 1 that are left"},
		{"none", func(m Mechanism) error { return m.None() }, NewULong(CKM_SHA256, 1),
			"CKR_MECHANISM_PARAM_INVALID: CKM_SHA256: its parameter has shape 2, want 0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.read(test.mechanism)
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if Code(err) != CKR_MECHANISM_PARAM_INVALID {
				t.Errorf("the code is %v", Code(err))
			}
		})
	}
	m := New(CKM_SHA256)
	if err := m.None(); err != nil {
		t.Errorf("a mechanism without parameter: %v", err)
	}
}

// FuzzParameter reads any fields and data as every shape. What is accepted must
// give the same fields and data when it is made again.
func FuzzParameter(f *testing.F) {
	f.Add(uint16(ShapeGCM), []byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 96, 0, 0, 0, 0, 0, 0, 0}, []byte{7})
	f.Add(uint16(ShapePSS), make([]byte, 24), []byte{})
	f.Add(uint16(ShapeOAEP), make([]byte, 32), []byte{})
	f.Add(uint16(ShapeEdDSA), make([]byte, 16), []byte{})
	f.Add(uint16(ShapeCTR), []byte{128, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 16))
	f.Add(uint16(ShapeECDH1), make([]byte, 24), []byte{})
	f.Add(uint16(ShapeHKDF), make([]byte, 56), []byte{})
	f.Add(uint16(ShapeRSAAES), make([]byte, 40), []byte{})
	f.Add(uint16(ShapeKDF), make([]byte, 40), []byte{})
	f.Add(uint16(ShapeBytes), []byte{2, 0, 0, 0, 0, 0, 0, 0}, []byte{1, 2})
	f.Fuzz(func(t *testing.T, shape uint16, numbers, data []byte) {
		m := Mechanism{Type: CKM_AES_GCM, Shape: Shape(shape), Data: data}
		for ; len(numbers) >= 8; numbers = numbers[8:] {
			m.Fields = append(m.Fields, binary.LittleEndian.Uint64(numbers))
		}
		var again []Mechanism
		if p, err := m.PSS(); err == nil {
			again = append(again, NewPSS(m.Type, p))
		}
		if p, err := m.OAEP(); err == nil {
			again = append(again, NewOAEP(m.Type, p))
		}
		if p, err := m.GCM(); err == nil {
			again = append(again, NewGCM(m.Type, p))
		}
		if p, err := m.EdDSA(); err == nil {
			again = append(again, NewEdDSA(m.Type, p))
		}
		if p, err := m.CTR(); err == nil {
			again = append(again, NewCTR(m.Type, p))
		}
		if p, err := m.ECDH1(); err == nil {
			again = append(again, NewECDH1(m.Type, p))
		}
		if p, err := m.HKDF(); err == nil {
			again = append(again, NewHKDF(m.Type, p))
		}
		if p, err := m.RSAAES(); err == nil {
			again = append(again, NewRSAAES(m.Type, p))
		}
		if p, err := m.KDF(); err == nil {
			again = append(again, NewKDF(m.Type, p))
		}
		if p, err := m.Bytes(); err == nil {
			again = append(again, NewBytes(m.Type, p))
		}
		if p, err := m.ULong(); err == nil {
			again = append(again, NewULong(m.Type, p))
		}
		if m.None() == nil {
			again = append(again, New(m.Type))
		}
		if len(again) > 1 {
			t.Fatalf("%d shapes accept one parameter", len(again))
		}
		for _, n := range again {
			if n.Shape != m.Shape || !slices.Equal(n.Fields, m.Fields) || !bytes.Equal(n.Data, m.Data) {
				t.Fatalf("%+v became %+v", m, n)
			}
		}
	})
}
