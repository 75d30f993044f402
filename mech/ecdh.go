package mech

import (
	"crypto"
	"crypto/ecdh"
	"encoding/binary"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
)

// The length of a derived key in bytes. A shorter one has less than the 112 bits
// that SP 800-131A asks for; no object holds a longer one.
const (
	minDerived = 14
	maxDerived = maxGeneric
)

// derivedLength checks the length of a key to be derived, in bytes; where it is 0 it
// becomes natural. CKR_KEY_SIZE_RANGE.
func derivedLength(length, natural int) (int, error) {
	if length == 0 {
		length = natural
	}
	if length < minDerived || length > maxDerived {
		return 0, cryptoki.Errorf(cryptoki.CKR_KEY_SIZE_RANGE, "a derived key of %d bytes where %d to %d are possible", length, minDerived, maxDerived)
	}
	return length, nil
}

// ecdhMechanisms is the key agreement on elliptic curves (SP 800-56A, 5.7.1.2; RFC
// 7748, 6.1; PKCS#11 3.2, 6.3). The curves of CKK_EC have cofactor 1, so that both
// mechanisms are one for them; X25519 takes its cofactor into account by itself.
var ecdhMechanisms = []Mechanism{
	ecdhOf(cryptoki.CKM_ECDH1_DERIVE, montgomeryBits, cryptoki.CKK_EC, cryptoki.CKK_EC_MONTGOMERY),
	ecdhOf(cryptoki.CKM_ECDH1_COFACTOR_DERIVE, minEC, cryptoki.CKK_EC),
}

func ecdhOf(t cryptoki.MechanismType, least uint64, types ...cryptoki.KeyType) Mechanism {
	return derives(Mechanism{
		Type:     t,
		Flags:    ecFlags,
		KeyTypes: types,
		MinKey:   least,
		MaxKey:   maxEC,
		Shape:    cryptoki.ShapeECDH1,
		Approved: true,
	}, deriveECDH)
}

// agreementKey is a key of a pair that agrees on a secret with another's public key.
type agreementKey interface {
	Key
	// agree computes the secret, which the caller owns and wipes. The point is bare or
	// a DER OCTET STRING. Every point that is not a good one gets errPeer.
	agree(point []byte) ([]byte, error)
}

var errPeer = badParameter("the other public key is not a good point of the key's curve")

func (k *ecKey) agree(point []byte) ([]byte, error) {
	bare, ok := barePoint(point, 1+2*k.curve.size)
	if !ok {
		return nil, errPeer
	}
	return k.private.agree(bare)
}

// agree computes the secret of a private key and a bare point of the same curve.
func agree(private *ecdh.PrivateKey, point []byte) ([]byte, error) {
	public, err := private.Curve().NewPublicKey(point)
	if err != nil {
		return nil, errPeer
	}
	secret, err := private.ECDH(public)
	if err != nil {
		return nil, errPeer
	}
	return secret, nil
}

// deriveECDH makes a key of the secret. Without a KDF that is the secret itself, of
// which a shorter key has the end (PKCS#11 3.2, 6.3); with one the length is that of the
// hash function's digest unless another is asked for.
func deriveECDH(m *cryptoki.Mechanism, base agreementKey, length int) ([]byte, error) {
	p, err := m.ECDH1()
	if err != nil {
		return nil, err
	}
	if p.KDF == cryptoki.CKD_NULL {
		return deriveRaw(&p, base, length)
	}
	kdf, err := findKDF(p.KDF)
	if err != nil {
		return nil, err
	}
	if length, err = derivedLength(length, kdf.hash.Size()); err != nil {
		return nil, err
	}
	secret, err := base.agree(p.PublicData)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	return kdf.derive(secret, p.SharedData, length), nil
}

func deriveRaw(p *cryptoki.ECDH1Parameters, base agreementKey, length int) ([]byte, error) {
	if len(p.SharedData) > 0 {
		return nil, badParameter("shared data without a key derivation function, which alone would use it")
	}
	secret, err := base.agree(p.PublicData)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	if length, err = derivedLength(length, len(secret)); err != nil {
		return nil, err
	}
	if length > len(secret) {
		return nil, cryptoki.Errorf(cryptoki.CKR_KEY_SIZE_RANGE, "a key of %d bytes of a secret of %d; CKD_SHA256_KDF makes longer ones", length, len(secret))
	}
	return slices.Clone(secret[len(secret)-length:]), nil
}

// kdf is a key derivation function over a shared secret.
type kdf struct {
	hash crypto.Hash
	// counterFirst: the counter stands before the secret, as SP 800-56C, 4.1, has it,
	// and not after it, as ANSI X9.63, 5.6.3, has it.
	counterFirst bool
}

var kdfs = map[uint64]kdf{
	cryptoki.CKD_SHA1_KDF:     {crypto.SHA1, false},
	cryptoki.CKD_SHA224_KDF:   {crypto.SHA224, false},
	cryptoki.CKD_SHA256_KDF:   {crypto.SHA256, false},
	cryptoki.CKD_SHA384_KDF:   {crypto.SHA384, false},
	cryptoki.CKD_SHA512_KDF:   {crypto.SHA512, false},
	cryptoki.CKD_SHA3_224_KDF: {crypto.SHA3_224, false},
	cryptoki.CKD_SHA3_256_KDF: {crypto.SHA3_256, false},
	cryptoki.CKD_SHA3_384_KDF: {crypto.SHA3_384, false},
	cryptoki.CKD_SHA3_512_KDF: {crypto.SHA3_512, false},

	cryptoki.CKD_SHA1_KDF_SP800:     {crypto.SHA1, true},
	cryptoki.CKD_SHA224_KDF_SP800:   {crypto.SHA224, true},
	cryptoki.CKD_SHA256_KDF_SP800:   {crypto.SHA256, true},
	cryptoki.CKD_SHA384_KDF_SP800:   {crypto.SHA384, true},
	cryptoki.CKD_SHA512_KDF_SP800:   {crypto.SHA512, true},
	cryptoki.CKD_SHA3_224_KDF_SP800: {crypto.SHA3_224, true},
	cryptoki.CKD_SHA3_256_KDF_SP800: {crypto.SHA3_256, true},
	cryptoki.CKD_SHA3_384_KDF_SP800: {crypto.SHA3_384, true},
	cryptoki.CKD_SHA3_512_KDF_SP800: {crypto.SHA3_512, true},
}

func findKDF(number uint64) (kdf, error) {
	f, found := kdfs[number]
	if !found {
		return kdf{}, badParameter("key derivation function %d is not offered", number)
	}
	return f, nil
}

// derive makes length bytes of the secret and what the parties share.
func (f kdf) derive(secret, shared []byte, length int) []byte {
	h := f.hash.New()
	out := make([]byte, 0, length+f.hash.Size())
	for counter := uint32(1); len(out) < length; counter++ {
		h.Reset()
		count := binary.BigEndian.AppendUint32(nil, counter)
		if f.counterFirst {
			h.Write(count)
			h.Write(secret)
		} else {
			h.Write(secret)
			h.Write(count)
		}
		h.Write(shared)
		out = h.Sum(out)
	}
	h.Reset()
	clear(out[length:])
	return out[:length]
}
