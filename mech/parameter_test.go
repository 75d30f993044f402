package mech

import (
	"encoding/binary"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// parameterCase is a mechanism with a parameter and the code that Start must give.
type parameterCase struct {
	name string
	m    cryptoki.Mechanism
	code cryptoki.RV
}

func TestParameters(t *testing.T) {
	pss := func(m, hash cryptoki.MechanismType, mgf cryptoki.MGF, salt uint64) cryptoki.Mechanism {
		return cryptoki.NewPSS(m, pssParameters(hash, mgf, salt))
	}
	oaep := func(hash cryptoki.MechanismType, mgf cryptoki.MGF, source uint64, label string) cryptoki.Mechanism {
		return cryptoki.NewOAEP(cryptoki.CKM_RSA_PKCS_OAEP, cryptoki.OAEPParameters{HashAlg: hash, MGF: mgf, Source: source, SourceData: []byte(label)})
	}
	gcm := func(iv int, tag uint64) cryptoki.Mechanism {
		return cryptoki.NewGCM(cryptoki.CKM_AES_GCM, cryptoki.GCMParameters{IV: make([]byte, iv), TagBits: tag})
	}
	eddsa := func(prehash bool, context int) cryptoki.Mechanism {
		return cryptoki.NewEdDSA(cryptoki.CKM_EDDSA, cryptoki.EdDSAParameters{Prehash: prehash, Context: make([]byte, context)})
	}
	const bad = cryptoki.CKR_MECHANISM_PARAM_INVALID
	cases := []parameterCase{
		{"PSS, 2048 bits, longest salt", pss(cryptoki.CKM_RSA_PKCS_PSS, cryptoki.CKM_SHA256, cryptoki.CKG_MGF1_SHA256, 222), cryptoki.CKR_OK},
		{"PSS, salt too long", pss(cryptoki.CKM_RSA_PKCS_PSS, cryptoki.CKM_SHA256, cryptoki.CKG_MGF1_SHA256, 223), bad},
		{"PSS, salt of 2^63", pss(cryptoki.CKM_RSA_PKCS_PSS, cryptoki.CKM_SHA256, cryptoki.CKG_MGF1_SHA256, 1<<63), bad},
		{"PSS, salt of 2^64-1", pss(cryptoki.CKM_RSA_PKCS_PSS, cryptoki.CKM_SHA256, cryptoki.CKG_MGF1_SHA256, ^uint64(0)), bad},
		{"PSS, no salt", pss(cryptoki.CKM_RSA_PKCS_PSS, cryptoki.CKM_SHA256, cryptoki.CKG_MGF1_SHA256, 0), bad},
		{"PSS, SHA-1", pss(cryptoki.CKM_RSA_PKCS_PSS, cryptoki.CKM_SHA_1, cryptoki.CKG_MGF1_SHA1, 20), cryptoki.CKR_OK},
		{"PSS, SHA3-256", pss(cryptoki.CKM_RSA_PKCS_PSS, cryptoki.CKM_SHA3_256, cryptoki.CKG_MGF1_SHA3_256, 32), cryptoki.CKR_OK},
		{"PSS, a hash without a mask", pss(cryptoki.CKM_RSA_PKCS_PSS, cryptoki.CKM_SHA512_256, 0, 32), bad},
		{"PSS, other mask", pss(cryptoki.CKM_RSA_PKCS_PSS, cryptoki.CKM_SHA256, cryptoki.CKG_MGF1_SHA1, 32), bad},
		{"PSS, unknown hash", pss(cryptoki.CKM_RSA_PKCS_PSS, cryptoki.CKM_AES_GCM, cryptoki.CKG_MGF1_SHA256, 32), bad},
		{"PSS, unknown mask", pss(cryptoki.CKM_RSA_PKCS_PSS, cryptoki.CKM_SHA256, 99, 32), bad},
		{"PSS, hash not the mechanism's", pss(cryptoki.CKM_SHA256_RSA_PKCS_PSS, cryptoki.CKM_SHA384, cryptoki.CKG_MGF1_SHA384, 32), bad},

		{"OAEP", oaep(cryptoki.CKM_SHA256, cryptoki.CKG_MGF1_SHA1, cryptoki.CKZ_DATA_SPECIFIED, "label"), cryptoki.CKR_OK},
		{"OAEP, source 0 without label", oaep(cryptoki.CKM_SHA256, cryptoki.CKG_MGF1_SHA256, 0, ""), cryptoki.CKR_OK},
		{"OAEP, source 0 with label", oaep(cryptoki.CKM_SHA256, cryptoki.CKG_MGF1_SHA256, 0, "label"), bad},
		{"OAEP, source 2", oaep(cryptoki.CKM_SHA256, cryptoki.CKG_MGF1_SHA256, 2, ""), bad},
		{"OAEP, unknown hash", oaep(cryptoki.CKM_SHA256_HMAC, cryptoki.CKG_MGF1_SHA256, 1, ""), bad},
		{"OAEP, a hash without a name for masks", oaep(cryptoki.CKM_SHA512_256, cryptoki.CKG_MGF1_SHA256, 1, ""), bad},
		{"OAEP, unknown mask", oaep(cryptoki.CKM_SHA256, 0, 1, ""), bad},

		{"GCM, no IV", gcm(0, 128), bad},
		{"GCM, shortest IV", gcm(1, 128), cryptoki.CKR_OK},
		{"GCM, longest IV", gcm(256, 96), cryptoki.CKR_OK},
		{"GCM, IV too long", gcm(257, 128), bad},
		{"GCM, tag of 0", gcm(12, 0), bad},
		{"GCM, tag of 32", gcm(12, 32), bad},
		{"GCM, tag of 64", gcm(12, 64), bad},
		{"GCM, tag of 95", gcm(12, 95), bad},
		{"GCM, tag of 97", gcm(12, 97), bad},
		{"GCM, tag of 136", gcm(12, 136), bad},
		{"GCM, tag of 2^64-128", gcm(12, ^uint64(127)), bad},

		{"CBC, no IV", cryptoki.NewBytes(cryptoki.CKM_AES_CBC_PAD, nil), bad},
		{"CBC, IV of 15", cryptoki.NewBytes(cryptoki.CKM_AES_CBC_PAD, make([]byte, 15)), bad},
		{"CBC, IV of 17", cryptoki.NewBytes(cryptoki.CKM_AES_CBC_PAD, make([]byte, 17)), bad},

		{"CBC without padding, IV of 15", cryptoki.NewBytes(cryptoki.CKM_AES_CBC, make([]byte, 15)), bad},

		{"CTR, no bits", counterMode(0, make([]byte, 16)), bad},
		{"CTR, 1 bit", counterMode(1, make([]byte, 16)), cryptoki.CKR_OK},
		{"CTR, 128 bits", counterMode(128, make([]byte, 16)), cryptoki.CKR_OK},
		{"CTR, 129 bits", counterMode(129, make([]byte, 16)), bad},
		{"CTR, 2^63 bits", counterMode(1<<63, make([]byte, 16)), bad},

		{"KW, empty", cryptoki.NewBytes(cryptoki.CKM_AES_KEY_WRAP, nil), cryptoki.CKR_OK},
		{"KW, 7 bytes", cryptoki.NewBytes(cryptoki.CKM_AES_KEY_WRAP, make([]byte, 7)), bad},
		{"KW, 16 bytes", cryptoki.NewBytes(cryptoki.CKM_AES_KEY_WRAP, make([]byte, 16)), bad},
		{"KWP, 8 bytes", cryptoki.NewBytes(cryptoki.CKM_AES_KEY_WRAP_KWP, make([]byte, 8)), bad},

		{"HMAC of 3 bytes", cryptoki.NewULong(cryptoki.CKM_SHA256_HMAC_GENERAL, 3), bad},
		{"HMAC of 4 bytes", cryptoki.NewULong(cryptoki.CKM_SHA256_HMAC_GENERAL, 4), cryptoki.CKR_OK},
		{"HMAC of 32 bytes", cryptoki.NewULong(cryptoki.CKM_SHA256_HMAC_GENERAL, 32), cryptoki.CKR_OK},
		{"HMAC of 33 bytes", cryptoki.NewULong(cryptoki.CKM_SHA256_HMAC_GENERAL, 33), bad},
		{"HMAC of 2^63 bytes", cryptoki.NewULong(cryptoki.CKM_SHA512_HMAC_GENERAL, 1<<63), bad},
		{"CMAC of 3 bytes", cryptoki.NewULong(cryptoki.CKM_AES_CMAC_GENERAL, 3), bad},
		{"CMAC of 16 bytes", cryptoki.NewULong(cryptoki.CKM_AES_CMAC_GENERAL, 16), cryptoki.CKR_OK},
		{"CMAC of 17 bytes", cryptoki.NewULong(cryptoki.CKM_AES_CMAC_GENERAL, 17), bad},

		{"EdDSA, longest context", eddsa(false, 255), cryptoki.CKR_OK},
		{"EdDSA, context too long", eddsa(false, 256), bad},
		{"EdDSA, context too long, hashed", eddsa(true, 256), bad},
	}
	for _, u := range append(signatureUses(t), cipherUses(t)...) {
		entry, _ := Lookup(u.mechanism.Type)
		malformed := cryptoki.Mechanism{Type: u.mechanism.Type, Shape: cryptoki.ShapeMalformed}
		cases = append(cases, parameterCase{u.name + " malformed", malformed, bad})
		if entry.Shape != cryptoki.ShapeNone && !optional[u.mechanism.Type] {
			cases = append(cases, parameterCase{u.name + " without", cryptoki.New(u.mechanism.Type), bad})
		}
		if entry.Shape != cryptoki.ShapeULong {
			cases = append(cases, parameterCase{u.name + " with a number", cryptoki.NewULong(u.mechanism.Type, 16), bad})
		}
		if entry.Shape == cryptoki.ShapeNone {
			cases = append(cases, parameterCase{u.name + " with bytes", cryptoki.NewBytes(u.mechanism.Type, []byte{1}), bad})
		}
		surplus := u.mechanism
		surplus.Data = append([]byte{0}, surplus.Data...)
		cases = append(cases, parameterCase{u.name + " with a byte more", surplus, bad})
		surplus = u.mechanism
		surplus.Fields = append([]uint64{0}, surplus.Fields...)
		cases = append(cases, parameterCase{u.name + " with a field more", surplus, bad})
		if len(u.mechanism.Data) > 0 {
			short := u.mechanism
			short.Data = short.Data[1:]
			cases = append(cases, parameterCase{u.name + " cut short", short, bad})
		}
	}
	fitting := keysByType(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			entry, ok := Lookup(c.m.Type)
			if !ok {
				t.Fatal("no such mechanism")
			}
			for _, f := range functions(entry) {
				op, err := tryStart(f, c.m, fitting[entry.KeyTypes[0]])
				wantCode(t, err, c.code)
				if (op == nil) == (err == nil) {
					t.Errorf("operation %v beside error %v", op, err)
				}
			}
		})
	}
}

// optional are the mechanisms that also work without their parameter.
var optional = map[cryptoki.MechanismType]bool{
	cryptoki.CKM_EDDSA: true, cryptoki.CKM_AES_KEY_WRAP: true, cryptoki.CKM_AES_KW: true,
	cryptoki.CKM_AES_KEY_WRAP_KWP: true, cryptoki.CKM_AES_KWP: true,
}

// functions are the functions that a mechanism offers.
func functions(m *Mechanism) []Function {
	var offered []Function
	for f := Encrypt; f <= VerifyRecover; f++ {
		if m.offers(f) == nil {
			offered = append(offered, f)
		}
	}
	return offered
}

// keysByType is one key of each type, private where there are two halves.
func keysByType(t testing.TB) map[cryptoki.KeyType]Key {
	t.Helper()
	all := map[cryptoki.KeyType]Key{
		cryptoki.CKK_RSA:        rsaPair().pair(t, cryptoki.CKK_RSA).private,
		cryptoki.CKK_EC:         p256Pair().pair(t, cryptoki.CKK_EC).private,
		cryptoki.CKK_EC_EDWARDS: edwardsPair().pair(t, cryptoki.CKK_EC_EDWARDS).private,
		cryptoki.CKK_AES:        aesSecret().secret(t, cryptoki.CKK_AES).private,
	}
	all[cryptoki.CKK_EC_MONTGOMERY] = x25519Pair().pair(t, cryptoki.CKK_EC_MONTGOMERY).private
	all[cryptoki.CKK_HKDF] = genericKey().secret(t, cryptoki.CKK_HKDF).private
	for _, typ := range macKeyTypes {
		all[typ] = genericKey().secret(t, typ).private
	}
	return all
}

// FuzzStart gives every mechanism any parameter: it is refused with
// CKR_MECHANISM_PARAM_INVALID or the operation works.
func FuzzStart(f *testing.F) {
	uses := append(signatureUses(f), cipherUses(f)...)
	for _, u := range uses {
		var fields []byte
		for _, v := range u.mechanism.Fields {
			fields = binary.LittleEndian.AppendUint64(fields, v)
		}
		f.Add(uint64(u.mechanism.Type), uint16(u.mechanism.Shape), fields, u.mechanism.Data)
	}
	fitting := keysByType(f)
	f.Fuzz(func(t *testing.T, typ uint64, shape uint16, fields, data []byte) {
		m := cryptoki.Mechanism{Type: cryptoki.MechanismType(typ), Shape: cryptoki.Shape(shape), Data: data}
		for len(fields) >= 8 {
			m.Fields, fields = append(m.Fields, binary.LittleEndian.Uint64(fields)), fields[8:]
		}
		entry, ok := Lookup(m.Type)
		if !ok || entry.Start == nil {
			return
		}
		var key Key
		if len(entry.KeyTypes) > 0 {
			key = fitting[entry.KeyTypes[0]]
		}
		for _, function := range functions(entry) {
			op, err := entry.Start(function, &m, key)
			if err != nil {
				wantCode(t, err, cryptoki.CKR_MECHANISM_PARAM_INVALID)
				continue
			}
			out, err := op.Once([]byte("some data"), make([]byte, 64))
			if err == nil && function != Verify && !op.Rule().fits(9, len(out)) {
				t.Errorf("%v: %d bytes against rule %v", m.Type, len(out), op.Rule())
			}
			if code := cryptoki.Code(err); code == cryptoki.CKR_GENERAL_ERROR || code == cryptoki.CKR_FUNCTION_FAILED {
				t.Errorf("%v: %v", m.Type, err)
			}
			op.Close()
		}
	})
}
