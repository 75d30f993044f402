package vectors

import (
	"encoding/binary"
	"unsafe"

	"github.com/miekg/pkcs11"
)

// Package pkcs11 does not know all parameters of mechanisms. The others are laid out here
// as a 64-bit machine has them in memory: every member takes 8 bytes.

// The numbers that package pkcs11 does not have. Those with a high bit are the vendor's for the
// same key wraps.
const (
	ckmHKDFDerive   = 0x402a
	ckmKBKDFCounter = 0x3ac
	ckmAESKWP       = 0x210b
	ckmVendorKW     = 0x80000170
	ckmVendorKWP    = 0x80000171
	ckkHKDF         = 0x42
	ckkEdwards      = 0x40
	ckkMontgomery   = 0x41
	ckmEdDSA        = 0x1057

	ckmECDSASHA3_256 = 0x1048
	ckmECDSASHA3_384 = 0x1049
	ckmECDSASHA3_512 = 0x104a
)

// words lays out a structure.
func words(members ...uint64) []byte {
	var b []byte
	for _, m := range members {
		b = binary.NativeEndian.AppendUint64(b, m)
	}
	return b
}

// address is where b lies, until the session forgets its objects; 0 for an empty b.
func (s *session) address(b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	s.pinned.Pin(&b[0])
	return uint64(uintptr(unsafe.Pointer(&b[0])))
}

func bool64(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// eddsaParameter is a CK_EDDSA_PARAMS.
func (s *session) eddsaParameter(prehash bool, context []byte) []byte {
	return words(bool64(prehash), uint64(len(context)), s.address(context))
}

// ctrParameter is a CK_AES_CTR_PARAMS.
func ctrParameter(bits int, block []byte) []byte { return append(words(uint64(bits)), block...) }

// ecdhParameter is a CK_ECDH1_DERIVE_PARAMS without key derivation function. Package pkcs11
// has one too, which does not take an empty key.
func (s *session) ecdhParameter(public []byte) []byte {
	return words(pkcs11.CKD_NULL, 0, 0, uint64(len(public)), s.address(public))
}

// The steps of HKDF, as the bytes bExtract and bExpand at the start of CK_HKDF_PARAMS.
const (
	hkdfExtract = 0x0001
	hkdfExpand  = 0x0100
)

// hkdfParameter is a CK_HKDF_PARAMS; without a salt it says that there is none.
func (s *session) hkdfParameter(hash uint, steps uint64, salt, info []byte) []byte {
	const saltNull, saltData = 1, 2
	saltType := uint64(saltNull)
	if len(salt) > 0 {
		saltType = saltData
	}
	return words(steps, uint64(hash), saltType, s.address(salt), uint64(len(salt)), 0, s.address(info), uint64(len(info)))
}

// kbkdfParameter is a CK_SP800_108_KDF_PARAMS: a big-endian counter of so many bits
// between fixed data.
func (s *session) kbkdfParameter(prf uint, before []byte, counterBits int, after []byte) []byte {
	const iterationVariable, byteArray = 1, 4
	counter := words(0, uint64(counterBits))
	var data []byte
	count := uint64(0)
	add := func(typ uint64, value []byte) {
		if len(value) > 0 {
			data = append(data, words(typ, s.address(value), uint64(len(value)))...)
			count++
		}
	}
	add(byteArray, before)
	add(iterationVariable, counter)
	add(byteArray, after)
	return words(uint64(prf), count, s.address(data), 0, 0)
}

func oaepParameter(hash, mgf uint, label []byte) *pkcs11.OAEPParams {
	return pkcs11.NewOAEPParams(hash, mgf, pkcs11.CKZ_DATA_SPECIFIED, label)
}
