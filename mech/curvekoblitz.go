package mech

import "tidelock.dev/tidelock/internal/secp256k1"

// koblitzCurve is secp256k1 (SEC 2, 2.4.1), which Go's standard library does not have.
type koblitzCurve struct{}

type koblitzPublic struct{ *secp256k1.PublicKey }

type koblitzPrivate struct {
	koblitzPublic
	key *secp256k1.PrivateKey
}

func newKoblitzPrivate(key *secp256k1.PrivateKey) koblitzPrivate {
	return koblitzPrivate{koblitzPublic{key.Public()}, key}
}

func (koblitzCurve) generate() (ecPrivate, error) {
	return newKoblitzPrivate(secp256k1.GenerateKey()), nil
}

func (koblitzCurve) parsePrivate(value []byte) (ecPrivate, error) {
	key, err := secp256k1.NewPrivateKey(value)
	if err != nil {
		return nil, err
	}
	return newKoblitzPrivate(key), nil
}

func (koblitzCurve) parsePublic(point []byte) (ecPublic, error) {
	key, err := secp256k1.NewPublicKey(point)
	if err != nil {
		return nil, err
	}
	return koblitzPublic{key}, nil
}

func (k koblitzPublic) point() ([]byte, error) { return k.Bytes(), nil }

func (k koblitzPublic) verify(digest, sig []byte) bool { return k.Verify(digest, sig) }

func (k koblitzPrivate) value() ([]byte, error) { return k.key.Bytes(), nil }

func (k koblitzPrivate) sign(digest []byte) ([]byte, error) { return k.key.Sign(digest), nil }

func (k koblitzPrivate) agree(point []byte) ([]byte, error) {
	peer, err := secp256k1.NewPublicKey(point)
	if err != nil {
		return nil, errPeer
	}
	return k.key.ECDH(peer), nil
}
