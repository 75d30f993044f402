package mech

import (
	"crypto"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"

	"tidelock.dev/tidelock/cryptoki"
)

// hashFunctions are the hash functions and the names that parameters have for them;
// those without a name for MGF1 are not for padding.
var hashFunctions = []struct {
	hash crypto.Hash
	name cryptoki.MechanismType
	mgf  cryptoki.MGF // 0: none
}{
	{crypto.SHA1, cryptoki.CKM_SHA_1, cryptoki.CKG_MGF1_SHA1},
	{crypto.SHA224, cryptoki.CKM_SHA224, cryptoki.CKG_MGF1_SHA224},
	{crypto.SHA256, cryptoki.CKM_SHA256, cryptoki.CKG_MGF1_SHA256},
	{crypto.SHA384, cryptoki.CKM_SHA384, cryptoki.CKG_MGF1_SHA384},
	{crypto.SHA512, cryptoki.CKM_SHA512, cryptoki.CKG_MGF1_SHA512},
	{crypto.SHA512_224, cryptoki.CKM_SHA512_224, 0},
	{crypto.SHA512_256, cryptoki.CKM_SHA512_256, 0},
	{crypto.SHA3_224, cryptoki.CKM_SHA3_224, cryptoki.CKG_MGF1_SHA3_224},
	{crypto.SHA3_256, cryptoki.CKM_SHA3_256, cryptoki.CKG_MGF1_SHA3_256},
	{crypto.SHA3_384, cryptoki.CKM_SHA3_384, cryptoki.CKG_MGF1_SHA3_384},
	{crypto.SHA3_512, cryptoki.CKM_SHA3_512, cryptoki.CKG_MGF1_SHA3_512},
}

// hashNamed returns the hash function that a parameter of RSA names by its CKM_.
func hashNamed(name cryptoki.MechanismType) (crypto.Hash, error) {
	for _, f := range hashFunctions {
		if f.name == name && f.mgf != 0 {
			return f.hash, nil
		}
	}
	return 0, badParameter("hash function %v is not offered", name)
}

// hashOfMGF returns the hash function that MGF1 is used with (RFC 8017, B.2.1).
func hashOfMGF(mgf cryptoki.MGF) (crypto.Hash, error) {
	for _, f := range hashFunctions {
		if f.mgf == mgf && mgf != 0 {
			return f.hash, nil
		}
	}
	return 0, badParameter("mask generation function %d is not offered", uint64(mgf))
}

// maxDigest is the length of the longest digest.
const maxDigest = sha512.Size

// sum puts the digest of data into buf and returns it. Unlike hash.Hash it
// allocates nothing, which is what one-part signatures want.
func sum(h crypto.Hash, buf *[maxDigest]byte, data []byte) []byte {
	switch h {
	case crypto.SHA1:
		d := sha1.Sum(data)
		return buf[:copy(buf[:], d[:])]
	case crypto.SHA224:
		d := sha256.Sum224(data)
		return buf[:copy(buf[:], d[:])]
	case crypto.SHA256:
		d := sha256.Sum256(data)
		return buf[:copy(buf[:], d[:])]
	case crypto.SHA384:
		d := sha512.Sum384(data)
		return buf[:copy(buf[:], d[:])]
	case crypto.SHA512:
		d := sha512.Sum512(data)
		return buf[:copy(buf[:], d[:])]
	case crypto.SHA512_224:
		d := sha512.Sum512_224(data)
		return buf[:copy(buf[:], d[:])]
	case crypto.SHA512_256:
		d := sha512.Sum512_256(data)
		return buf[:copy(buf[:], d[:])]
	case crypto.SHA3_224:
		d := sha3.Sum224(data)
		return buf[:copy(buf[:], d[:])]
	case crypto.SHA3_256:
		d := sha3.Sum256(data)
		return buf[:copy(buf[:], d[:])]
	case crypto.SHA3_384:
		d := sha3.Sum384(data)
		return buf[:copy(buf[:], d[:])]
	case crypto.SHA3_512:
		d := sha3.Sum512(data)
		return buf[:copy(buf[:], d[:])]
	}
	panic("mech: internal error: no such hash function")
}
