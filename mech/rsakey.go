package mech

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"math/big"

	"tidelock.dev/tidelock/cryptoki"
)

// The modulus sizes, in bits. SP 800-131A allows no new signature below 2048; the
// firmware's level says what its HSM takes.
const (
	minRSA = 1024
	maxRSA = 8192
)

// generatedExponent is the public exponent of every key pair made here: Go's
// generator knows no other.
const generatedExponent = 65537

// rsaKeyPairs is the generation of RSA key pairs (PKCS#11 3.2, 6.1). All make primes by
// FIPS 186-5, A.1.3; the vendor's two mechanisms are what an HSM in FIPS configuration
// calls that.
var rsaKeyPairs = []Mechanism{
	rsaKeyPair(cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN),
	rsaKeyPair(cryptoki.CKM_RSA_X9_31_KEY_PAIR_GEN),
	rsaKeyPair(cryptoki.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN),
	rsaKeyPair(cryptoki.CKM_RSA_FIPS_186_3_AUX_PRIME_KEY_PAIR_GEN),
}

func rsaKeyPair(t cryptoki.MechanismType) Mechanism {
	return Mechanism{
		Type:         t,
		Flags:        cryptoki.CKF_GENERATE_KEY_PAIR,
		KeyTypes:     []cryptoki.KeyType{cryptoki.CKK_RSA},
		MinKey:       minRSA,
		MaxKey:       maxRSA,
		Shape:        cryptoki.ShapeNone,
		Approved:     true,
		GeneratePair: generateRSA,
	}
}

// generateRSA makes a key pair of CKA_MODULUS_BITS, a multiple of 256 from 1024 to
// 8192. CKA_PUBLIC_EXPONENT may be left out and must be 65537.
func generateRSA(m *cryptoki.Mechanism, public, _ cryptoki.Template) (pub, priv cryptoki.Template, err error) {
	if err := m.None(); err != nil {
		return nil, nil, err
	}
	v, ok := public.Find(cryptoki.CKA_MODULUS_BITS)
	if !ok {
		return nil, nil, missing(cryptoki.CKA_MODULUS_BITS)
	}
	bits, ok := cryptoki.ParseULong(v)
	if !ok || bits < minRSA || bits > maxRSA || bits%256 != 0 {
		return nil, nil, invalid(cryptoki.CKA_MODULUS_BITS, "is not a multiple of 256 from %d to %d", minRSA, maxRSA)
	}
	if e, ok := public.Find(cryptoki.CKA_PUBLIC_EXPONENT); ok {
		if !bytes.Equal(bytes.TrimLeft(e, "\x00"), []byte{1, 0, 1}) {
			return nil, nil, invalid(cryptoki.CKA_PUBLIC_EXPONENT, "is not %d, the only one that is generated", generatedExponent)
		}
	}

	key, err := rsa.GenerateKey(rand.Reader, int(bits))
	if err != nil {
		return nil, nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "generating an RSA key: %w", err)
	}
	n, e := key.N.Bytes(), big.NewInt(int64(key.E)).Bytes()
	pub = cryptoki.Template{
		{Type: cryptoki.CKA_MODULUS, Value: n},
		{Type: cryptoki.CKA_MODULUS_BITS, Value: cryptoki.ULong(bits)},
		{Type: cryptoki.CKA_PUBLIC_EXPONENT, Value: e},
	}
	priv = cryptoki.Template{
		{Type: cryptoki.CKA_MODULUS, Value: n},
		{Type: cryptoki.CKA_PUBLIC_EXPONENT, Value: e},
		{Type: cryptoki.CKA_PRIVATE_EXPONENT, Value: key.D.Bytes()},
		{Type: cryptoki.CKA_PRIME_1, Value: key.Primes[0].Bytes()},
		{Type: cryptoki.CKA_PRIME_2, Value: key.Primes[1].Bytes()},
		{Type: cryptoki.CKA_EXPONENT_1, Value: key.Precomputed.Dp.Bytes()},
		{Type: cryptoki.CKA_EXPONENT_2, Value: key.Precomputed.Dq.Bytes()},
		{Type: cryptoki.CKA_COEFFICIENT, Value: key.Precomputed.Qinv.Bytes()},
	}
	return pub, priv, nil
}

// rsaKey is an RSA key, public or private.
type rsaKey struct {
	public  *rsa.PublicKey
	private rsaPrivate // nil in a public key
}

func (k *rsaKey) Type() cryptoki.KeyType { return cryptoki.CKK_RSA }

// Size is the length of the modulus in bits.
func (k *rsaKey) Size() uint64 { return uint64(k.public.N.BitLen()) }

func (k *rsaKey) hasPrivate() bool { return k.private != nil }

// parseRSAPublic reads CKA_MODULUS and CKA_PUBLIC_EXPONENT.
func parseRSAPublic(a attributes) (*rsaKey, error) {
	public, err := rsaPublic(a)
	if err != nil {
		return nil, err
	}
	return &rsaKey{public: public}, nil
}

func rsaPublic(a attributes) (*rsa.PublicKey, error) {
	n, err := a.integer(cryptoki.CKA_MODULUS, maxRSA)
	if err != nil {
		return nil, err
	}
	if n.BitLen() < minRSA || n.Bit(0) == 0 {
		return nil, invalid(cryptoki.CKA_MODULUS, "is even or not of %d to %d bits", minRSA, maxRSA)
	}
	// Go bounds the exponent by 2^31 - 1. One below 65537 is not approved (FIPS
	// 186-5, 5.1), but keys with 3 and 17 are still in use.
	e, err := a.integer(cryptoki.CKA_PUBLIC_EXPONENT, 31)
	if err != nil {
		return nil, err
	}
	if e.Cmp(big.NewInt(3)) < 0 || e.Bit(0) == 0 {
		return nil, invalid(cryptoki.CKA_PUBLIC_EXPONENT, "is even or below 3")
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

// parseRSAPrivate reads modulus, both exponents and both primes; without the primes
// the answer is CKR_TEMPLATE_INCOMPLETE. The three CRT values are used and checked
// when all are there, and computed otherwise.
func parseRSAPrivate(a attributes) (*rsaKey, error) {
	key, err := rsaNumbers(a)
	if err != nil {
		return nil, err
	}
	return &rsaKey{public: &key.PublicKey, private: providedRSA(key)}, nil
}

// rsaNumbers reads a private key that belongs together.
func rsaNumbers(a attributes) (*rsa.PrivateKey, error) {
	public, err := rsaPublic(a)
	if err != nil {
		return nil, err
	}
	key := &rsa.PrivateKey{PublicKey: *public, Primes: make([]*big.Int, 2)}
	for _, part := range []struct {
		attribute cryptoki.AttributeType
		into      **big.Int
	}{
		{cryptoki.CKA_PRIVATE_EXPONENT, &key.D},
		{cryptoki.CKA_PRIME_1, &key.Primes[0]},
		{cryptoki.CKA_PRIME_2, &key.Primes[1]},
	} {
		if *part.into, err = a.integer(part.attribute, maxRSA); err != nil {
			return nil, err
		}
	}
	crt := []struct {
		attribute cryptoki.AttributeType
		into      **big.Int
	}{
		{cryptoki.CKA_EXPONENT_1, &key.Precomputed.Dp},
		{cryptoki.CKA_EXPONENT_2, &key.Precomputed.Dq},
		{cryptoki.CKA_COEFFICIENT, &key.Precomputed.Qinv},
	}
	if len(a(cryptoki.CKA_EXPONENT_1)) > 0 && len(a(cryptoki.CKA_EXPONENT_2)) > 0 && len(a(cryptoki.CKA_COEFFICIENT)) > 0 {
		for _, part := range crt {
			if *part.into, err = a.integer(part.attribute, maxRSA); err != nil {
				return nil, err
			}
		}
	}
	key.Precompute()
	if err := key.Validate(); err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, "the parts of the RSA key do not belong together: %w", err)
	}
	return key, nil
}
