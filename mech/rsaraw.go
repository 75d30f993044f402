package mech

import (
	"bytes"
	"crypto/rsa"
	"crypto/subtle"
	"errors"

	"filippo.io/bigmod"

	"tidelock.dev/tidelock/cryptoki"
)

// rsaX509 is RSA without padding (RFC 8017, 5; PKCS#11 3.2, "X.509 (raw) RSA"), for
// programs that pad themselves. The data is a number below the modulus, big-endian; a
// shorter one gets zeros in front. What comes out is as long as the modulus. It is not
// approved, and the safety of the padding is the caller's care.
var rsaX509 = []Mechanism{
	keyed(Mechanism{
		Type: cryptoki.CKM_RSA_X_509,
		Flags: cryptoki.CKF_ENCRYPT | cryptoki.CKF_DECRYPT | cryptoki.CKF_SIGN | cryptoki.CKF_VERIFY |
			cryptoki.CKF_VERIFY_RECOVER,
		KeyTypes: []cryptoki.KeyType{cryptoki.CKK_RSA},
		MinKey:   minRSA,
		MaxKey:   maxRSA,
		Shape:    cryptoki.ShapeNone,
	}, startRawRSA),
}

func startRawRSA(f Function, p *cryptoki.Mechanism, key *rsaKey) (Operation, error) {
	if err := p.None(); err != nil {
		return nil, err
	}
	r := &rawScheme{key}
	rule := Rule{RuleFixed, uint64(r.size())}
	switch f {
	case Encrypt:
		return &onePart{rule, r.encrypt}, nil
	case Decrypt:
		return &onePart{rule, r.decrypt}, nil
	case VerifyRecover:
		return &onePart{rule, r.recover}, nil
	}
	return &signature{scheme: r, verify: f == Verify}, nil
}

// rawScheme is RSA without padding.
type rawScheme struct{ key *rsaKey }

func (s *rawScheme) size() int { return s.key.public.Size() }

// number checks that data is below the modulus and fills it up to the length of it.
func (s *rawScheme) number(data []byte, tooLong, tooLarge cryptoki.RV) ([]byte, error) {
	if len(data) > s.size() {
		return nil, cryptoki.Errorf(tooLong, "%d bytes of data where the modulus has %d", len(data), s.size())
	}
	n := make([]byte, s.size())
	copy(n[len(n)-len(data):], data)
	if bytes.Compare(n, s.key.public.N.Bytes()) >= 0 {
		clear(n)
		return nil, cryptoki.Errorf(tooLarge, "the data is a number not below the modulus")
	}
	return n, nil
}

func (s *rawScheme) encrypt(data []byte) ([]byte, error) {
	n, err := s.number(data, cryptoki.CKR_DATA_LEN_RANGE, cryptoki.CKR_DATA_INVALID)
	if err != nil {
		return nil, err
	}
	defer clear(n)
	return publicRSA(s.key.public, n)
}

func (s *rawScheme) decrypt(data []byte) ([]byte, error) {
	if len(data) != s.size() {
		return nil, cryptoki.Errorf(cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE, "%d bytes of data where the modulus has %d", len(data), s.size())
	}
	n, err := s.number(data, cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE, cryptoki.CKR_ENCRYPTED_DATA_INVALID)
	if err != nil {
		return nil, err
	}
	return s.private(n)
}

func (s *rawScheme) sign(input []byte) ([]byte, error) {
	n, err := s.number(input, cryptoki.CKR_DATA_LEN_RANGE, cryptoki.CKR_DATA_INVALID)
	if err != nil {
		return nil, err
	}
	return s.private(n)
}

func (s *rawScheme) private(n []byte) ([]byte, error) {
	out, err := s.key.private.Raw(n)
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "RSA: %w", err)
	}
	// A result that is wrong modulo one prime gives the other away.
	back, err := publicRSA(s.key.public, out)
	if err != nil || subtle.ConstantTimeCompare(back, n) != 1 {
		clear(out)
		return nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "RSA: the result is wrong")
	}
	return out, nil
}

func (s *rawScheme) verify(input, sig []byte) error {
	n, err := s.number(input, cryptoki.CKR_DATA_LEN_RANGE, cryptoki.CKR_DATA_INVALID)
	if err != nil {
		return err
	}
	if _, err := s.number(sig, cryptoki.CKR_SIGNATURE_LEN_RANGE, cryptoki.CKR_SIGNATURE_INVALID); err != nil {
		return err
	}
	got, err := publicRSA(s.key.public, sig)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, n) {
		return errVerification
	}
	return nil
}

// publicRSA is RSAEP (RFC 8017, 5.1.1) of a number below the modulus and as long. Its
// time depends on the public key alone.
func publicRSA(key *rsa.PublicKey, input []byte) ([]byte, error) {
	n, err := bigmod.NewModulus(key.N.Bytes())
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "RSA: %w", err)
	}
	m, err := bigmod.NewNat().SetBytes(input, n)
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "RSA: %w", err)
	}
	return bigmod.NewNat().ExpShortVarTime(m, uint(key.E), n).Bytes(n), nil
}

// errRaw is for numbers that no valid key has.
var errRaw = errors.New("the key's numbers do not belong together")

// rawRSA is RSADP by the Chinese remainder theorem (RFC 8017, 5.1.2), in constant
// time.
func rawRSA(key *rsa.PrivateKey, input []byte) ([]byte, error) {
	n, err := bigmod.NewModulus(key.N.Bytes())
	if err != nil {
		return nil, errRaw
	}
	p, err := bigmod.NewModulus(key.Primes[0].Bytes())
	if err != nil {
		return nil, errRaw
	}
	q, err := bigmod.NewModulus(key.Primes[1].Bytes())
	if err != nil {
		return nil, errRaw
	}
	inverse, err := bigmod.NewNat().SetBytes(key.Precomputed.Qinv.Bytes(), p)
	if err != nil {
		return nil, errRaw
	}
	c, err := bigmod.NewNat().SetBytes(input, n)
	if err != nil {
		return nil, errRaw
	}
	reduced := bigmod.NewNat()
	m1 := bigmod.NewNat().Exp(reduced.Mod(c, p), key.Precomputed.Dp.FillBytes(make([]byte, p.Size())), p)
	m2 := bigmod.NewNat().Exp(reduced.Mod(c, q), key.Precomputed.Dq.FillBytes(make([]byte, q.Size())), q)
	h := m1.Sub(reduced.Mod(m2, p), p).Mul(inverse, p)
	m := h.ExpandFor(n).Mul(q.Nat().ExpandFor(n), n).Add(m2.ExpandFor(n), n)
	return m.Bytes(n), nil
}
