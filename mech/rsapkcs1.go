package mech

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"

	"tidelock.dev/tidelock/cryptoki"
)

// rsaPKCS1 are the RSASSA-PKCS1-v1_5 signatures (RFC 8017, 8.2; PKCS#11 3.2, 6.1).
// CKM_RSA_PKCS signs a DigestInfo that the caller has made, and so is not approved:
// the module does not see the hash. It also wraps keys for those who can do no other;
// decryption and unwrapping are not offered, since the padding cannot be removed
// without being an oracle. SHA-1 is for old signatures and is not approved either.
var rsaPKCS1 = []Mechanism{
	wraps(pkcs1Of(cryptoki.CKM_RSA_PKCS, 0), wrapPKCS1, nil),
	pkcs1Of(cryptoki.CKM_SHA1_RSA_PKCS, crypto.SHA1),
	pkcs1Of(cryptoki.CKM_SHA224_RSA_PKCS, crypto.SHA224),
	pkcs1Of(cryptoki.CKM_SHA256_RSA_PKCS, crypto.SHA256),
	pkcs1Of(cryptoki.CKM_SHA384_RSA_PKCS, crypto.SHA384),
	pkcs1Of(cryptoki.CKM_SHA512_RSA_PKCS, crypto.SHA512),
	pkcs1Of(cryptoki.CKM_SHA3_224_RSA_PKCS, crypto.SHA3_224),
	pkcs1Of(cryptoki.CKM_SHA3_256_RSA_PKCS, crypto.SHA3_256),
	pkcs1Of(cryptoki.CKM_SHA3_384_RSA_PKCS, crypto.SHA3_384),
	pkcs1Of(cryptoki.CKM_SHA3_512_RSA_PKCS, crypto.SHA3_512),
}

func pkcs1Of(t cryptoki.MechanismType, h crypto.Hash) Mechanism {
	flags := cryptoki.CKF_SIGN | cryptoki.CKF_VERIFY
	if h == 0 {
		flags |= cryptoki.CKF_SIGN_RECOVER | cryptoki.CKF_VERIFY_RECOVER
	}
	return keyed(Mechanism{
		Type:      t,
		Flags:     flags,
		KeyTypes:  []cryptoki.KeyType{cryptoki.CKK_RSA},
		MinKey:    minRSA,
		MaxKey:    maxRSA,
		Shape:     cryptoki.ShapeNone,
		MultiPart: h != 0,
		Approved:  h != 0 && h != crypto.SHA1,
	}, func(f Function, p *cryptoki.Mechanism, key *rsaKey) (Operation, error) {
		if err := p.None(); err != nil {
			return nil, err
		}
		if f == VerifyRecover {
			return recoverPKCS1(key), nil
		}
		return &signature{scheme: &pkcs1{key, h}, verify: f == Verify, hash: h}, nil
	})
}

// pkcs1 is RSASSA-PKCS1-v1_5.
type pkcs1 struct {
	key  *rsaKey
	hash crypto.Hash // 0: the input is a DigestInfo
}

// pkcs1Overhead is the least that EMSA-PKCS1-v1_5 and EME-PKCS1-v1_5 add (RFC 8017,
// 9.2 and 7.2.1).
const pkcs1Overhead = 11

func (s *pkcs1) sign(input []byte) ([]byte, error) {
	if err := s.fits(input); err != nil {
		return nil, err
	}
	sig, err := s.key.private.SignPKCS1v15(s.hash, input)
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "RSA signature: %w", err)
	}
	return sig, nil
}

func (s *pkcs1) verify(input, sig []byte) error {
	if err := s.fits(input); err != nil {
		return err
	}
	if rsa.VerifyPKCS1v15(s.key.public, s.hash, input, sig) != nil {
		return errVerification
	}
	return nil
}

// fits bounds the data of CKM_RSA_PKCS. A DigestInfo of an offered hash fits
// every key.
func (s *pkcs1) fits(input []byte) error {
	if most := s.size() - pkcs1Overhead; len(input) > most {
		return cryptoki.Errorf(cryptoki.CKR_DATA_LEN_RANGE, "%d bytes of data where the key takes at most %d", len(input), most)
	}
	return nil
}

func (s *pkcs1) size() int { return s.key.public.Size() }

// wrapPKCS1 encrypts a key with RSAES-PKCS1-v1_5 (RFC 8017, 7.2.1).
func wrapPKCS1(p *cryptoki.Mechanism, key *rsaKey, plain []byte) ([]byte, error) {
	if err := p.None(); err != nil {
		return nil, err
	}
	most := key.public.Size() - pkcs1Overhead
	if len(plain) > most {
		return nil, cryptoki.Errorf(cryptoki.CKR_DATA_LEN_RANGE, "%d bytes where the wrapping key takes at most %d", len(plain), most)
	}
	block := make([]byte, key.public.Size())
	defer clear(block)
	block[1] = 2
	padding := block[2 : len(block)-len(plain)-1]
	rand.Read(padding) // never fails: Go ends the program instead
	for i := range padding {
		for padding[i] == 0 {
			rand.Read(padding[i : i+1])
		}
	}
	copy(block[len(block)-len(plain):], plain)
	return publicRSA(key.public, block)
}
