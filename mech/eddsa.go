package mech

import (
	"crypto"
	"crypto/ed25519"

	"tidelock.dev/tidelock/cryptoki"
)

// eddsaMechanisms is Ed25519 (RFC 8032; FIPS 186-5, 7; PKCS#11 3.2, 6.3).
var eddsaMechanisms = []Mechanism{
	keyed(Mechanism{
		Type:      cryptoki.CKM_EDDSA,
		Flags:     cryptoki.CKF_SIGN | cryptoki.CKF_VERIFY | edwardsFlags,
		KeyTypes:  []cryptoki.KeyType{cryptoki.CKK_EC_EDWARDS},
		MinKey:    edwardsBits,
		MaxKey:    edwardsBits,
		Shape:     cryptoki.ShapeEdDSA,
		MultiPart: true,
		Collects:  true,
		Approved:  true,
	}, startEdDSA),
}

// startEdDSA begins Ed25519 without a parameter or with phFlag false and no
// context, Ed25519ctx with a context, Ed25519ph with phFlag true. The data is the
// message for all three: the mechanism takes the hash of Ed25519ph itself. Of the
// three, Ed25519ctx is not approved.
func startEdDSA(f Function, p *cryptoki.Mechanism, key *edwardsKey) (Operation, error) {
	s := &eddsa{key: key}
	if err := s.parameter(p); err != nil {
		return nil, err
	}
	hash := s.options.Hash
	return &signature{scheme: s, verify: f == Verify, hash: hash, collect: hash == 0}, nil
}

// maxContext is the length of the longest context in bytes (RFC 8032, 5.1).
const maxContext = 255

// eddsa is Ed25519 in one of its three forms.
type eddsa struct {
	key     *edwardsKey
	options ed25519.Options
}

// parameter reads a CK_EDDSA_PARAMS, or none.
func (s *eddsa) parameter(p *cryptoki.Mechanism) error {
	if p.Shape == cryptoki.ShapeNone {
		return p.None()
	}
	params, err := p.EdDSA()
	if err != nil {
		return err
	}
	if len(params.Context) > maxContext {
		return badParameter("context of %d bytes where at most %d are possible", len(params.Context), maxContext)
	}
	s.options.Context = string(params.Context)
	if params.Prehash {
		s.options.Hash = crypto.SHA512
	}
	return nil
}

func (s *eddsa) size() int { return ed25519.SignatureSize }

func (s *eddsa) sign(input []byte) ([]byte, error) {
	sig, err := s.key.private.Sign(nil, input, &s.options)
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "EdDSA signature: %w", err)
	}
	return sig, nil
}

func (s *eddsa) verify(input, sig []byte) error {
	if ed25519.VerifyWithOptions(s.key.public, input, sig, &s.options) != nil {
		return errVerification
	}
	return nil
}
