package mech

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// format is a CK_SP800_108_COUNTER_FORMAT in memory.
func format(littleEndian byte, bits uint64) []byte {
	return binary.LittleEndian.AppendUint64([]byte{littleEndian, 0, 0, 0, 0, 0, 0, 0}, bits)
}

func counterOf(bits uint64) cryptoki.PRFDataParameters {
	return cryptoki.PRFDataParameters{Type: cryptoki.CK_SP800_108_ITERATION_VARIABLE, Value: format(0, bits)}
}

func lengthOf(method uint64, littleEndian byte, bits uint64) cryptoki.PRFDataParameters {
	return cryptoki.PRFDataParameters{Type: cryptoki.CK_SP800_108_DKM_LENGTH, Value: append(cryptoki.ULong(method), format(littleEndian, bits)...)}
}

func bytesOf(v []byte) cryptoki.PRFDataParameters {
	return cryptoki.PRFDataParameters{Type: cryptoki.CK_SP800_108_BYTE_ARRAY, Value: v}
}

func counterKDF(prf cryptoki.MechanismType, data ...cryptoki.PRFDataParameters) cryptoki.Mechanism {
	return cryptoki.NewKDF(cryptoki.CKM_SP800_108_COUNTER_KDF, cryptoki.KDFParameters{PRF: prf, Data: data})
}

// TestKBKDFVectors has vectors of NIST's "KDFCTR_gen", with the counter before the data.
func TestKBKDFVectors(t *testing.T) {
	for _, v := range []struct {
		prf             cryptoki.MechanismType
		typ             cryptoki.KeyType
		bits            uint64
		key, data, want string
	}{
		{cryptoki.CKM_AES_CMAC, cryptoki.CKK_AES, 8, "dff1e50ac0b69dc40f1051d46c2b069c",
			"c16e6e02c5a3dcc8d78b9ac1306877761310455b4e41469951d9e6c2245a064b33fd8c3b01203a7824485bf0a64060c4648b707d2607935699316ea5",
			"8be8f0869b3c0ba97b71863d1b9f7813"},
		{cryptoki.CKM_SHA256_HMAC, cryptoki.CKK_GENERIC_SECRET, 32, "dd1d91b7d90b2bd3138533ce92b272fbf8a369316aefe242e659cc0ae238afe0",
			"01322b96b30acd197979444e468e1c5c6859bf1b1cf951b7e725303e237e46b864a145fab25e517b08f8683d0315bb2911d80a0e8aba17f3b413faac",
			"10621342bfb0fd40046c0e29f2cfdbf0"},
	} {
		base := secretKeyOf(t, v.typ, unhex(t, v.key))
		wantDerived(t, counterKDF(v.prf, counterOf(v.bits), bytesOf(unhex(t, v.data))), base, unhex(t, v.want))
	}
}

// TestKBKDFInput compares with what SP 800-108, 4.1, says the function gets, whatever
// the order and the form of the parts.
func TestKBKDFInput(t *testing.T) {
	key := []byte("a key of thirty-two bytes to use")
	base := secretKeyOf(t, cryptoki.CKK_GENERIC_SECRET, key)
	label, context := []byte("label"), []byte("context")
	for _, c := range []struct {
		name  string
		m     cryptoki.Mechanism
		input func(i byte) []byte
	}{
		{"counter first", counterKDF(cryptoki.CKM_SHA256_HMAC, counterOf(32), bytesOf(label), bytesOf([]byte{0}), bytesOf(context),
			lengthOf(cryptoki.CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS, 0, 32)),
			func(i byte) []byte {
				return slices.Concat([]byte{0, 0, 0, i}, label, []byte{0}, context, []byte{0, 0, 2, 0x30})
			}},
		{"counter last", counterKDF(cryptoki.CKM_SHA256_HMAC, bytesOf(label), counterOf(8)),
			func(i byte) []byte { return slices.Concat(label, []byte{i}) }},
		{"counter between", counterKDF(cryptoki.CKM_SHA256_HMAC, lengthOf(cryptoki.CK_SP800_108_DKM_LENGTH_SUM_OF_SEGMENTS, 0, 16), counterOf(24), bytesOf(context)),
			func(i byte) []byte { return slices.Concat([]byte{3, 0}, []byte{0, 0, i}, context) }},
		{"little-endian", counterKDF(cryptoki.CKM_SHA256_HMAC,
			cryptoki.PRFDataParameters{Type: cryptoki.CK_SP800_108_ITERATION_VARIABLE, Value: format(1, 16)}, lengthOf(cryptoki.CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS, 1, 64)),
			func(i byte) []byte { return []byte{i, 0, 0x30, 2, 0, 0, 0, 0, 0, 0} }},
		{"counter alone", counterKDF(cryptoki.CKM_SHA256_HMAC, counterOf(32)), func(i byte) []byte { return []byte{0, 0, 0, i} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var want []byte
			for i := range byte(3) {
				h := hmac.New(sha256.New, key)
				h.Write(c.input(i + 1))
				want = h.Sum(want)
			}
			wantDerived(t, c.m, base, want[:70])
		})
	}
	if got, err := derive(counterKDF(cryptoki.CKM_SHA256_HMAC, counterOf(8)), base, 0); err != nil || len(got) != 32 {
		t.Errorf("natural length: %d, %v", len(got), err)
	}
	for _, h := range hmacFunctions {
		got, err := derive(counterKDF(h.whole, counterOf(8)), base, 512)
		if err != nil || len(got) != 512 || bytes.Equal(got[:14], got[h.hash.Size():h.hash.Size()+14]) {
			t.Errorf("%v: %x, %v", h.whole, got, err)
		}
	}
}

func TestKBKDFRefuses(t *testing.T) {
	const (
		hmac      = cryptoki.CKM_SHA256_HMAC
		keys      = cryptoki.CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS
		parameter = cryptoki.CKR_MECHANISM_PARAM_INVALID
		size      = cryptoki.CKR_KEY_SIZE_RANGE
		keyType   = cryptoki.CKR_KEY_TYPE_INCONSISTENT
	)
	generic := secretKeyOf(t, cryptoki.CKK_GENERIC_SECRET, make([]byte, 32))
	aes := secretKeyOf(t, cryptoki.CKK_AES, make([]byte, 32))
	other := func(typ uint64, v []byte) cryptoki.PRFDataParameters {
		return cryptoki.PRFDataParameters{Type: typ, Value: v}
	}
	counter := counterOf(8)
	for _, c := range []struct {
		name   string
		m      cryptoki.Mechanism
		base   Key
		length int
		code   cryptoki.RV
	}{
		{"good", counterKDF(hmac, counter), generic, 32, cryptoki.CKR_OK},
		{"no data", counterKDF(hmac), generic, 32, parameter},
		{"no counter", counterKDF(hmac, bytesOf([]byte("label"))), generic, 32, parameter},
		{"two counters", counterKDF(hmac, counter, counter), generic, 32, parameter},
		{"two lengths", counterKDF(hmac, counter, lengthOf(keys, 0, 32), lengthOf(keys, 0, 32)), generic, 32, parameter},
		{"counter of 0 bits", counterKDF(hmac, counterOf(0)), generic, 32, parameter},
		{"counter of 12 bits", counterKDF(hmac, counterOf(12)), generic, 32, parameter},
		{"counter of 40 bits", counterKDF(hmac, counterOf(40)), generic, 32, parameter},
		{"counter of 2^64-8 bits", counterKDF(hmac, counterOf(^uint64(7))), generic, 32, parameter},
		{"byte order 2", counterKDF(hmac, other(cryptoki.CK_SP800_108_ITERATION_VARIABLE, format(2, 8))), generic, 32, parameter},
		{"short format", counterKDF(hmac, other(cryptoki.CK_SP800_108_ITERATION_VARIABLE, format(0, 8)[:15])), generic, 32, parameter},
		{"no format", counterKDF(hmac, other(cryptoki.CK_SP800_108_ITERATION_VARIABLE, nil)), generic, 32, parameter},
		{"length of 72 bits", counterKDF(hmac, counter, lengthOf(keys, 0, 72)), generic, 32, parameter},
		{"length method 3", counterKDF(hmac, counter, lengthOf(3, 0, 32)), generic, 32, parameter},
		{"short length format", counterKDF(hmac, counter, other(cryptoki.CK_SP800_108_DKM_LENGTH, lengthOf(keys, 0, 32).Value[:23])), generic, 32, parameter},
		{"long length format", counterKDF(hmac, counter, other(cryptoki.CK_SP800_108_DKM_LENGTH, append(lengthOf(keys, 0, 32).Value, 0))), generic, 32, parameter},
		{"length that does not fit", counterKDF(hmac, counter, lengthOf(keys, 0, 8)), generic, 32, parameter},
		{"length that just fits", counterKDF(hmac, counter, lengthOf(keys, 0, 8)), generic, 31, cryptoki.CKR_OK},
		{"counter of other modes", counterKDF(hmac, counter, other(cryptoki.CK_SP800_108_OPTIONAL_COUNTER, format(0, 8))), generic, 32, parameter},
		{"key as data", counterKDF(hmac, counter, other(cryptoki.CK_SP800_108_KEY_HANDLE, make([]byte, 8))), generic, 32, parameter},
		{"a PRF that is none", counterKDF(cryptoki.CKM_SHA256, counter), generic, 32, parameter},
		{"HMAC under AES", counterKDF(hmac, counter), aes, 32, keyType},
		{"CMAC under a generic secret", counterKDF(cryptoki.CKM_AES_CMAC, counter), generic, 32, keyType},
		{"RSA key", counterKDF(hmac, counter), rsaPair().pair(t, cryptoki.CKK_RSA).private, 32, keyType},
		{"13 bytes", counterKDF(hmac, counter), generic, 13, size},
		{"513 bytes", counterKDF(hmac, counter), generic, 513, size},
		{"another parameter", cryptoki.New(cryptoki.CKM_SP800_108_COUNTER_KDF), generic, 32, parameter},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := derive(c.m, c.base, c.length)
			wantCode(t, err, c.code)
		})
	}
	if (numberFormat{bytes: 1}).fits(256) || !(numberFormat{bytes: 1}).fits(255) || !(numberFormat{bytes: 8}).fits(^uint64(0)) {
		t.Error("fits")
	}
}

// FuzzDerive gives the mechanisms that derive any parameter. What they derive has the
// length that was asked for.
func FuzzDerive(f *testing.F) {
	for _, m := range []cryptoki.Mechanism{
		counterKDF(cryptoki.CKM_SHA256_HMAC, counterOf(32), bytesOf([]byte("label")), lengthOf(1, 0, 32)),
		hkdfMechanism(func(*cryptoki.HKDFParameters) {}),
		ecdhMechanism(cryptoki.CKD_SHA256_KDF, []byte("shared"), value(p256Pair().public, cryptoki.CKA_EC_POINT)),
	} {
		var numbers []byte
		for _, n := range m.Fields {
			numbers = binary.LittleEndian.AppendUint64(numbers, n)
		}
		f.Add(uint64(m.Type), uint16(m.Shape), numbers, m.Data, uint16(32))
	}
	bases := keysByType(f)
	f.Fuzz(func(t *testing.T, typ uint64, shape uint16, numbers, data []byte, length uint16) {
		m := cryptoki.Mechanism{Type: cryptoki.MechanismType(typ), Shape: cryptoki.Shape(shape), Data: data}
		for ; len(numbers) >= 8; numbers = numbers[8:] {
			m.Fields = append(m.Fields, binary.LittleEndian.Uint64(numbers))
		}
		entry, found := Lookup(m.Type)
		if !found || entry.Derive == nil {
			return
		}
		for _, typ := range entry.KeyTypes {
			got, err := derive(m, bases[typ], int(length))
			switch code := cryptoki.Code(err); code {
			case cryptoki.CKR_OK:
				if length > 0 && len(got) != int(length) || len(got) < minDerived {
					t.Errorf("%d bytes where %d were asked for", len(got), length)
				}
			case cryptoki.CKR_MECHANISM_PARAM_INVALID, cryptoki.CKR_KEY_SIZE_RANGE, cryptoki.CKR_KEY_TYPE_INCONSISTENT:
			default:
				t.Errorf("%v", err)
			}
		}
	})
}
