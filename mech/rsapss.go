package mech

import (
	"crypto"
	"crypto/rsa"

	"tidelock.dev/tidelock/cryptoki"
)

// rsaPSS are the RSASSA-PSS signatures (RFC 8017, 8.1; PKCS#11 3.2, 6.1).
// CKM_RSA_PKCS_PSS signs a digest that the caller has made, with the hash
// function that its parameter names. SHA-1 is for old signatures and not approved.
var rsaPSS = []Mechanism{
	pssOf(cryptoki.CKM_RSA_PKCS_PSS, 0),
	pssOf(cryptoki.CKM_SHA1_RSA_PKCS_PSS, crypto.SHA1),
	pssOf(cryptoki.CKM_SHA224_RSA_PKCS_PSS, crypto.SHA224),
	pssOf(cryptoki.CKM_SHA256_RSA_PKCS_PSS, crypto.SHA256),
	pssOf(cryptoki.CKM_SHA384_RSA_PKCS_PSS, crypto.SHA384),
	pssOf(cryptoki.CKM_SHA512_RSA_PKCS_PSS, crypto.SHA512),
	pssOf(cryptoki.CKM_SHA3_224_RSA_PKCS_PSS, crypto.SHA3_224),
	pssOf(cryptoki.CKM_SHA3_256_RSA_PKCS_PSS, crypto.SHA3_256),
	pssOf(cryptoki.CKM_SHA3_384_RSA_PKCS_PSS, crypto.SHA3_384),
	pssOf(cryptoki.CKM_SHA3_512_RSA_PKCS_PSS, crypto.SHA3_512),
}

func pssOf(t cryptoki.MechanismType, h crypto.Hash) Mechanism {
	return keyed(Mechanism{
		Type:      t,
		Flags:     cryptoki.CKF_SIGN | cryptoki.CKF_VERIFY,
		KeyTypes:  []cryptoki.KeyType{cryptoki.CKK_RSA},
		MinKey:    minRSA,
		MaxKey:    maxRSA,
		Shape:     cryptoki.ShapePSS,
		MultiPart: h != 0,
		Approved:  h != crypto.SHA1,
	}, func(f Function, p *cryptoki.Mechanism, key *rsaKey) (Operation, error) {
		s := &pss{key: key}
		if err := s.parameter(p, h); err != nil {
			return nil, err
		}
		return &signature{scheme: s, verify: f == Verify, hash: h}, nil
	})
}

// pss is RSASSA-PSS.
type pss struct {
	key     *rsaKey
	options rsa.PSSOptions
}

// parameter reads a CK_RSA_PKCS_PSS_PARAMS. want is the hash of the mechanism's
// name, 0 where it has none. The mask generation function must use the same hash,
// and the salt must have a length above 0: Go's implementation can do no other.
func (s *pss) parameter(p *cryptoki.Mechanism, want crypto.Hash) error {
	params, err := p.PSS()
	if err != nil {
		return err
	}
	hash, err := hashNamed(params.HashAlg)
	if err != nil {
		return err
	}
	mgf, err := hashOfMGF(params.MGF)
	if err != nil {
		return err
	}
	// EMSA-PSS holds salt, digest, 2 bytes and, in a modulus of 8n+1 bits, one byte
	// less than the modulus (RFC 8017, 9.1.1).
	most := (s.key.public.N.BitLen()+6)/8 - hash.Size() - 2
	switch {
	case want != 0 && hash != want:
		return badParameter("the hash function is not that of the mechanism")
	case mgf != hash:
		return badParameter("the mask generation function does not use the hash function of the signature")
	case params.SaltLength == 0 || params.SaltLength > uint64(most):
		return badParameter("salt of %d bytes where 1 to %d are possible", params.SaltLength, most)
	}
	s.options = rsa.PSSOptions{SaltLength: int(params.SaltLength), Hash: hash}
	return nil
}

func (s *pss) sign(input []byte) ([]byte, error) {
	if err := s.fits(input); err != nil {
		return nil, err
	}
	sig, err := s.key.private.SignPSS(input, &s.options)
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "RSA signature: %w", err)
	}
	return sig, nil
}

func (s *pss) verify(input, sig []byte) error {
	if err := s.fits(input); err != nil {
		return err
	}
	if rsa.VerifyPSS(s.key.public, s.options.Hash, input, sig, &s.options) != nil {
		return errVerification
	}
	return nil
}

// fits checks that the data of CKM_RSA_PKCS_PSS is a digest.
func (s *pss) fits(input []byte) error {
	if len(input) != s.options.Hash.Size() {
		return cryptoki.Errorf(cryptoki.CKR_DATA_LEN_RANGE, "%d bytes of data where a digest has %d", len(input), s.options.Hash.Size())
	}
	return nil
}

func (s *pss) size() int { return s.key.public.Size() }
