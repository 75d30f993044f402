package vectors

import (
	"crypto"
	_ "crypto/sha1"
	_ "crypto/sha256"
	_ "crypto/sha3"
	_ "crypto/sha512"
	"encoding/asn1"
	"testing"

	"github.com/miekg/pkcs11"
)

// hashFunction is a hash function with the mechanisms that have it in their names; those
// that there are no vectors for are 0.
type hashFunction struct {
	hash                      crypto.Hash
	oid                       asn1.ObjectIdentifier
	digest, hmac, hmacGeneral uint
	ecdsa, rsaPKCS, rsaPSS    uint
	mgf                       uint
}

// hashFunctions go by the names that Wycheproof has for them.
var hashFunctions = map[string]hashFunction{
	"SHA-1": {hash: crypto.SHA1, oid: asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26},
		digest: pkcs11.CKM_SHA_1, hmac: pkcs11.CKM_SHA_1_HMAC, hmacGeneral: pkcs11.CKM_SHA_1_HMAC_GENERAL,
		ecdsa: pkcs11.CKM_ECDSA_SHA1, rsaPKCS: pkcs11.CKM_SHA1_RSA_PKCS, rsaPSS: pkcs11.CKM_SHA1_RSA_PKCS_PSS, mgf: pkcs11.CKG_MGF1_SHA1},
	"SHA-224": {hash: crypto.SHA224, oid: nistHash(4),
		digest: pkcs11.CKM_SHA224, hmac: pkcs11.CKM_SHA224_HMAC, hmacGeneral: pkcs11.CKM_SHA224_HMAC_GENERAL,
		ecdsa: pkcs11.CKM_ECDSA_SHA224, rsaPKCS: pkcs11.CKM_SHA224_RSA_PKCS, rsaPSS: pkcs11.CKM_SHA224_RSA_PKCS_PSS, mgf: pkcs11.CKG_MGF1_SHA224},
	"SHA-256": {hash: crypto.SHA256, oid: nistHash(1),
		digest: pkcs11.CKM_SHA256, hmac: pkcs11.CKM_SHA256_HMAC, hmacGeneral: pkcs11.CKM_SHA256_HMAC_GENERAL,
		ecdsa: pkcs11.CKM_ECDSA_SHA256, rsaPKCS: pkcs11.CKM_SHA256_RSA_PKCS, rsaPSS: pkcs11.CKM_SHA256_RSA_PKCS_PSS, mgf: pkcs11.CKG_MGF1_SHA256},
	"SHA-384": {hash: crypto.SHA384, oid: nistHash(2),
		digest: pkcs11.CKM_SHA384, hmac: pkcs11.CKM_SHA384_HMAC, hmacGeneral: pkcs11.CKM_SHA384_HMAC_GENERAL,
		ecdsa: pkcs11.CKM_ECDSA_SHA384, rsaPKCS: pkcs11.CKM_SHA384_RSA_PKCS, rsaPSS: pkcs11.CKM_SHA384_RSA_PKCS_PSS, mgf: pkcs11.CKG_MGF1_SHA384},
	"SHA-512": {hash: crypto.SHA512, oid: nistHash(3),
		digest: pkcs11.CKM_SHA512, hmac: pkcs11.CKM_SHA512_HMAC, hmacGeneral: pkcs11.CKM_SHA512_HMAC_GENERAL,
		ecdsa: pkcs11.CKM_ECDSA_SHA512, rsaPKCS: pkcs11.CKM_SHA512_RSA_PKCS, rsaPSS: pkcs11.CKM_SHA512_RSA_PKCS_PSS, mgf: pkcs11.CKG_MGF1_SHA512},
	"SHA-512/224": {hash: crypto.SHA512_224, oid: nistHash(5),
		digest: pkcs11.CKM_SHA512_224, hmac: pkcs11.CKM_SHA512_224_HMAC, hmacGeneral: pkcs11.CKM_SHA512_224_HMAC_GENERAL},
	"SHA-512/256": {hash: crypto.SHA512_256, oid: nistHash(6),
		digest: pkcs11.CKM_SHA512_256, hmac: pkcs11.CKM_SHA512_256_HMAC, hmacGeneral: pkcs11.CKM_SHA512_256_HMAC_GENERAL},
	"SHA3-224": {hash: crypto.SHA3_224, oid: nistHash(7),
		digest: pkcs11.CKM_SHA3_224, hmac: pkcs11.CKM_SHA3_224_HMAC, hmacGeneral: pkcs11.CKM_SHA3_224_HMAC_GENERAL, rsaPKCS: pkcs11.CKM_SHA3_224_RSA_PKCS},
	"SHA3-256": {hash: crypto.SHA3_256, oid: nistHash(8),
		digest: pkcs11.CKM_SHA3_256, hmac: pkcs11.CKM_SHA3_256_HMAC, hmacGeneral: pkcs11.CKM_SHA3_256_HMAC_GENERAL, ecdsa: ckmECDSASHA3_256, rsaPKCS: pkcs11.CKM_SHA3_256_RSA_PKCS},
	"SHA3-384": {hash: crypto.SHA3_384, oid: nistHash(9),
		digest: pkcs11.CKM_SHA3_384, hmac: pkcs11.CKM_SHA3_384_HMAC, hmacGeneral: pkcs11.CKM_SHA3_384_HMAC_GENERAL, ecdsa: ckmECDSASHA3_384, rsaPKCS: pkcs11.CKM_SHA3_384_RSA_PKCS},
	"SHA3-512": {hash: crypto.SHA3_512, oid: nistHash(10),
		digest: pkcs11.CKM_SHA3_512, hmac: pkcs11.CKM_SHA3_512_HMAC, hmacGeneral: pkcs11.CKM_SHA3_512_HMAC_GENERAL, ecdsa: ckmECDSASHA3_512, rsaPKCS: pkcs11.CKM_SHA3_512_RSA_PKCS},
}

// nistHash is the identifier of a hash function of FIPS 180-4 or FIPS 202.
func nistHash(n int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, n}
}

// hashNamed fails the test for a hash function that is not known.
func hashNamed(t *testing.T, name string) hashFunction {
	t.Helper()
	h, found := hashFunctions[name]
	if !found {
		t.Fatalf("hash function %q", name)
	}
	return h
}

func (h hashFunction) of(data []byte) []byte {
	d := h.hash.New()
	d.Write(data)
	return d.Sum(nil)
}

// digestInfo is the DigestInfo of data (RFC 8017, 9.2), which CKM_RSA_PKCS takes.
func (h hashFunction) digestInfo(data []byte) []byte {
	type algorithm struct {
		Algorithm  asn1.ObjectIdentifier
		Parameters asn1.RawValue
	}
	der, err := asn1.Marshal(struct {
		Algorithm algorithm
		Digest    []byte
	}{algorithm{h.oid, asn1.NullRawValue}, h.of(data)})
	if err != nil {
		panic(err)
	}
	return der
}
