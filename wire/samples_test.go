package wire

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"

	"tidelock.dev/tidelock/cryptoki"
)

// The samples of every field type. clib/test/codec_test.c has the same ones: both
// codecs must make the same bytes of them. Index is the position of the field.
type variant int

const (
	zero variant = iota
	sample
	most
)

var variants = map[string]variant{"zero": zero, "sample": sample, "most": most}

// fill sets all fields of m, a pointer to a message, to their samples.
func fill(m Message, v variant) {
	fields := reflect.ValueOf(m).Elem()
	for i := range fields.NumField() {
		fields.Field(i).Set(reflect.ValueOf(sampleOf(fields.Type().Field(i).Type, v, i)))
	}
}

func sampleOf(t reflect.Type, v variant, index int) any {
	switch t {
	case reflect.TypeFor[uint8]():
		return uint8(number(v, index, 0x11))
	case reflect.TypeFor[uint16]():
		return uint16(number(v, index, 0x1122))
	case reflect.TypeFor[uint32]():
		return uint32(number(v, index, 0x11223344))
	case reflect.TypeFor[uint64]():
		return number(v, index, 0x1122334455667788)
	case reflect.TypeFor[bool]():
		return v == most || v == sample && index%2 == 0
	case reflect.TypeFor[ID]():
		return sampleID(v, index)
	case reflect.TypeFor[[]byte]():
		return sampleBytes(v, index)
	case reflect.TypeFor[Secret]():
		return Secret(sampleBytes(v, index))
	case reflect.TypeFor[string]():
		return sampleText(v, index)
	case reflect.TypeFor[[]string]():
		return [][]string{zero: nil, sample: {"", "a", sampleText(v, index)}, most: {"ü€𝄞", "ü€𝄞"}}[v]
	case reflect.TypeFor[[]uint64]():
		return [][]uint64{zero: nil, sample: {1, 1 << 32, uint64(index)}, most: {^uint64(0), ^uint64(0)}}[v]
	case reflect.TypeFor[cryptoki.Template]():
		return sampleTemplate(v, index)
	case reflect.TypeFor[[]Value]():
		return [][]Value{
			zero:   nil,
			sample: {{ValuePresent, []byte("abc")}, {ValueSensitive, nil}, {ValueAbsent, nil}, {ValuePresent, nil}},
			most:   {{ValuePresent, ones(300)}},
		}[v]
	case reflect.TypeFor[cryptoki.Mechanism]():
		return sampleMechanism(v)
	}
	panic(fmt.Sprintf("no samples of %v", t))
}

func number(v variant, index int, base uint64) uint64 {
	return []uint64{zero: 0, sample: base + uint64(index), most: ^uint64(0)}[v]
}

func ones(n int) []byte { return []byte(strings.Repeat("\xff", n)) }

func sampleID(v variant, index int) (id ID) {
	for i := range id {
		id[i] = []byte{zero: 0, sample: byte(16*index + i), most: 0xff}[v]
	}
	return id
}

func sampleBytes(v variant, index int) []byte {
	switch v {
	case sample:
		b := make([]byte, index+1)
		for i := range b {
			b[i] = byte(0xa0 + i)
		}
		return b
	case most:
		return ones(300)
	}
	return nil
}

func sampleText(v variant, index int) string {
	return []string{zero: "", sample: fmt.Sprintf("field %d", index), most: "ü€𝄞"}[v]
}

func sampleTemplate(v variant, index int) cryptoki.Template {
	nest := func(t cryptoki.AttributeType, inner ...cryptoki.Attribute) cryptoki.Attribute {
		return cryptoki.Attribute{Type: t, Value: AppendTemplate(nil, inner)}
	}
	switch v {
	case sample:
		mechanisms := binary.LittleEndian.AppendUint64(cryptoki.ULong(cryptoki.CKM_RSA_PKCS), uint64(cryptoki.CKM_SHA256))
		return cryptoki.Template{
			{Type: cryptoki.CKA_CLASS, Value: cryptoki.ULong(uint64(index))},
			{Type: cryptoki.CKA_TOKEN, Value: cryptoki.Bool(true)},
			{Type: cryptoki.CKA_LABEL, Value: []byte("label")},
			{Type: cryptoki.CKA_ALLOWED_MECHANISMS, Value: mechanisms},
			nest(cryptoki.CKA_WRAP_TEMPLATE,
				cryptoki.Attribute{Type: cryptoki.CKA_EXTRACTABLE, Value: cryptoki.Bool(false)},
				cryptoki.Attribute{Type: cryptoki.CKA_ID}),
			nest(cryptoki.CKA_UNWRAP_TEMPLATE),
		}
	case most:
		return cryptoki.Template{
			nest(cryptoki.CKA_UNWRAP_TEMPLATE,
				nest(cryptoki.CKA_DERIVE_TEMPLATE,
					nest(cryptoki.CKA_WRAP_TEMPLATE,
						cryptoki.Attribute{Type: cryptoki.CKA_ID, Value: ones(1)}))),
			{Type: ^cryptoki.AttributeType(0), Value: ones(2)},
		}
	}
	return nil
}

func sampleMechanism(v variant) cryptoki.Mechanism {
	switch v {
	case sample:
		return cryptoki.NewPSS(cryptoki.CKM_SHA256_RSA_PKCS_PSS,
			cryptoki.PSSParameters{HashAlg: cryptoki.CKM_SHA256, MGF: cryptoki.CKG_MGF1_SHA256, SaltLength: 32})
	case most:
		return cryptoki.NewBytes(^cryptoki.MechanismType(0), ones(300))
	}
	return cryptoki.Mechanism{}
}

// edges are mechanisms of every shape; the C test makes them from the structures
// that applications use.
func edges() map[string]cryptoki.Mechanism {
	iv := []byte("0123456789ab")
	gcm := cryptoki.NewGCM(cryptoki.CKM_AES_GCM, cryptoki.GCMParameters{IV: iv, AAD: []byte("header"), TagBits: 128})
	return map[string]cryptoki.Mechanism{
		"none":  cryptoki.New(cryptoki.CKM_SHA256),
		"bytes": cryptoki.NewBytes(cryptoki.CKM_AES_CBC_PAD, []byte("0123456789abcdef")),
		"ulong": cryptoki.NewULong(cryptoki.CKM_SHA256_HMAC_GENERAL, 16),
		"pss":   sampleMechanism(sample),
		"oaep": cryptoki.NewOAEP(cryptoki.CKM_RSA_PKCS_OAEP, cryptoki.OAEPParameters{
			HashAlg: cryptoki.CKM_SHA_1, MGF: cryptoki.CKG_MGF1_SHA1, Source: 1, SourceData: []byte("label")}),
		"oaep-empty": cryptoki.NewOAEP(cryptoki.CKM_RSA_PKCS_OAEP, cryptoki.OAEPParameters{
			HashAlg: cryptoki.CKM_SHA256, MGF: cryptoki.CKG_MGF1_SHA256}),
		"gcm":            gcm,
		"gcm-before-240": gcm,
		"eddsa": cryptoki.NewEdDSA(cryptoki.CKM_EDDSA,
			cryptoki.EdDSAParameters{Prehash: true, Context: []byte("context")}),
		"ctr": cryptoki.NewCTR(cryptoki.CKM_AES_CTR,
			cryptoki.CTRParameters{CounterBits: 32, CounterBlock: [16]byte([]byte("0123456789abcdef"))}),
		"ecdh1": cryptoki.NewECDH1(cryptoki.CKM_ECDH1_DERIVE, cryptoki.ECDH1Parameters{
			KDF: cryptoki.CKD_SHA256_KDF, SharedData: []byte("shared"), PublicData: []byte("public key")}),
		"hkdf": cryptoki.NewHKDF(cryptoki.CKM_HKDF_DERIVE, cryptoki.HKDFParameters{
			Extract: true, Expand: true, HashAlg: cryptoki.CKM_SHA256, SaltType: cryptoki.CKF_HKDF_SALT_DATA,
			Salt: []byte("salt"), SaltKey: 7, Info: []byte("info")}),
		"rsa-aes": cryptoki.NewRSAAES(cryptoki.CKM_RSA_AES_KEY_WRAP, cryptoki.RSAAESParameters{
			AESKeyBits: 256, OAEP: cryptoki.OAEPParameters{
				HashAlg: cryptoki.CKM_SHA_1, MGF: cryptoki.CKG_MGF1_SHA1, Source: 1, SourceData: []byte("label")}}),
		"kdf": cryptoki.NewKDF(cryptoki.CKM_SP800_108_COUNTER_KDF, cryptoki.KDFParameters{
			PRF: cryptoki.CKM_SHA256_HMAC, Data: []cryptoki.PRFDataParameters{
				{Type: cryptoki.CK_SP800_108_COUNTER, Value: []byte("0123456789abcdef")},
				{Type: cryptoki.CK_SP800_108_BYTE_ARRAY, Value: []byte("label")},
				{Type: cryptoki.CK_SP800_108_BYTE_ARRAY},
			}}),
		"kdf-empty":            cryptoki.NewKDF(cryptoki.CKM_SP800_108_COUNTER_KDF, cryptoki.KDFParameters{PRF: cryptoki.CKM_AES_CMAC}),
		"malformed-array":      {Type: cryptoki.CKM_AES_CTR, Shape: cryptoki.ShapeMalformed},
		"malformed-no-pointer": {Type: cryptoki.CKM_RSA_AES_KEY_WRAP, Shape: cryptoki.ShapeMalformed},
		"malformed-pointed-to": {Type: cryptoki.CKM_RSA_AES_KEY_WRAP, Shape: cryptoki.ShapeMalformed},
		"malformed-no-list":    {Type: cryptoki.CKM_SP800_108_COUNTER_KDF, Shape: cryptoki.ShapeMalformed},
		"malformed-element":    {Type: cryptoki.CKM_SP800_108_COUNTER_KDF, Shape: cryptoki.ShapeMalformed},
		"malformed-long-list":  {Type: cryptoki.CKM_SP800_108_COUNTER_KDF, Shape: cryptoki.ShapeMalformed},
		"malformed-additional": {Type: cryptoki.CKM_SP800_108_COUNTER_KDF, Shape: cryptoki.ShapeMalformed},
		"malformed-size":       {Type: cryptoki.CKM_SHA256_RSA_PKCS_PSS, Shape: cryptoki.ShapeMalformed},
		"malformed-pointer":    {Type: cryptoki.CKM_AES_CBC, Shape: cryptoki.ShapeMalformed},
		"malformed-inside":     {Type: cryptoki.CKM_AES_GCM, Shape: cryptoki.ShapeMalformed},
	}
}
