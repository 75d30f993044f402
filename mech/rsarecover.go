package mech

import (
	"bytes"

	"tidelock.dev/tidelock/cryptoki"
)

// Signatures from which the data is recovered (PKCS#11 3.2, 6.1): C_SignRecover is what
// C_Sign is, and C_VerifyRecover gives back what was signed. FIPS 186-5 has no such
// signatures, so that they are not approved. It takes the public key alone: what a forged
// signature is refused by is no secret.

// recover gives the number of a signature without padding, as long as the modulus.
func (s *rawScheme) recover(sig []byte) ([]byte, error) {
	if len(sig) != s.size() {
		return nil, cryptoki.Errorf(cryptoki.CKR_SIGNATURE_LEN_RANGE, "signature of %d bytes where %d are wanted", len(sig), s.size())
	}
	if _, err := s.number(sig, cryptoki.CKR_SIGNATURE_LEN_RANGE, cryptoki.CKR_SIGNATURE_INVALID); err != nil {
		return nil, err
	}
	return publicRSA(s.key.public, sig)
}

// recoverPKCS1 verifies an RSASSA-PKCS1-v1_5 signature and gives the data that was
// padded: a DigestInfo, or whatever else the signer took.
func recoverPKCS1(key *rsaKey) Operation {
	raw := &rawScheme{key}
	return &onePart{Rule{RuleAtMost, uint64(raw.size() - pkcs1Overhead)}, func(sig []byte) ([]byte, error) {
		block, err := raw.recover(sig)
		if err != nil {
			return nil, err
		}
		return unpadPKCS1(block)
	}}
}

// unpadPKCS1 takes the padding off that EMSA-PKCS1-v1_5 puts in front: 00 01, at least eight
// bytes FF, 00 (RFC 8017, 9.2). Error: CKR_SIGNATURE_INVALID.
func unpadPKCS1(block []byte) ([]byte, error) {
	padding, data, found := bytes.Cut(bytes.TrimPrefix(block, []byte{0, 1}), []byte{0})
	whole := found && len(block) == 2+len(padding)+1+len(data)
	if !whole || len(padding) < pkcs1Overhead-3 || bytes.Count(padding, []byte{0xff}) != len(padding) {
		return nil, errVerification
	}
	return data, nil
}
