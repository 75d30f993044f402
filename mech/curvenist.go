package mech

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"

	"tidelock.dev/tidelock/cryptoki"
)

// nistCurve is a curve of SP 800-186 by Go's standard library.
type nistCurve struct{ elliptic.Curve }

type nistPublic struct{ *ecdsa.PublicKey }

type nistPrivate struct {
	nistPublic
	key *ecdsa.PrivateKey
}

func newNISTPrivate(key *ecdsa.PrivateKey) nistPrivate {
	return nistPrivate{nistPublic{&key.PublicKey}, key}
}

func (c nistCurve) generate() (ecPrivate, error) {
	key, err := ecdsa.GenerateKey(c.Curve, rand.Reader)
	if err != nil {
		return nil, err
	}
	return newNISTPrivate(key), nil
}

func (c nistCurve) parsePrivate(value []byte) (ecPrivate, error) {
	key, err := ecdsa.ParseRawPrivateKey(c.Curve, value)
	if err != nil {
		return nil, err
	}
	return newNISTPrivate(key), nil
}

func (c nistCurve) parsePublic(point []byte) (ecPublic, error) {
	key, err := ecdsa.ParseUncompressedPublicKey(c.Curve, point)
	if err != nil {
		return nil, err
	}
	return nistPublic{key}, nil
}

func (k nistPublic) point() ([]byte, error) { return k.Bytes() }

func (k nistPublic) verify(digest, sig []byte) bool {
	var buf [maxDERSignature]byte
	return ecdsa.VerifyASN1(k.PublicKey, digest, joinSignature(buf[:0], sig))
}

func (k nistPrivate) value() ([]byte, error) { return k.key.Bytes() }

func (k nistPrivate) sign(digest []byte) ([]byte, error) {
	der, err := ecdsa.SignASN1(rand.Reader, k.key, digest)
	if err != nil {
		return nil, err
	}
	sig := make([]byte, 2*((k.Params().BitSize+7)/8))
	if err := splitSignature(sig, der); err != nil {
		return nil, err
	}
	return sig, nil
}

func (k nistPrivate) agree(point []byte) ([]byte, error) {
	private, err := k.key.ECDH()
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "preparing ECDH: %w", err)
	}
	return agree(private, point)
}
