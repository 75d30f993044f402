// Package secp256k1 holds the elliptic curve secp256k1 (SEC 2, 2.4.1): keys, ECDSA and
// ECDH. Go's standard library does not have it.
//
// The arithmetic modulo primes is that of package bigmod, which takes the same time for
// all numbers of a length; above it are formulas without cases, a fixed number of steps for
// every scalar, and tables that are read as a whole. What has a secret in it, a private
// key, a nonce, what is computed of them, decides neither what is executed nor
// which memory is read. Verification, which knows no secret, uses the same.
//
// In a build with GOEXPERIMENT=runtimesecret each computation erases what it leaves on the
// stack and in registers.
//
// It may import bigmod.
package secp256k1

import (
	"crypto/rand"
	"errors"
	"sync"
)

// Lengths in bytes.
const (
	// Size is that of a private key, of a coordinate and of a shared secret.
	Size = 32
	// PointSize is that of an uncompressed point (SEC 1, 2.3.3).
	PointSize = 1 + 2*Size
	// SignatureSize is that of a signature, r and s.
	SignatureSize = 2 * Size
)

// base is made when it is first used, which takes some milliseconds.
var base = sync.OnceValue(newBaseTable)

var (
	errPrivate = errors.New("secp256k1: the private key is not below the order of the curve and above 0")
	errPoint   = errors.New("secp256k1: not an uncompressed point of the curve")
)

// PublicKey is a point of the curve, never that at infinity.
type PublicKey struct{ x, y number }

// NewPublicKey reads an uncompressed point. The coordinates must be below the prime of
// the field and satisfy the equation of the curve, which is all that SP 800-56A,
// 5.6.2.3.3, asks for: the curve has cofactor 1.
func NewPublicKey(b []byte) (*PublicKey, error) {
	if len(b) != PointSize || b[0] != 4 {
		return nil, errPoint
	}
	x, below := field.parse(b[1 : 1+Size])
	y, belowToo := field.parse(b[1+Size:])
	if !below || !belowToo || !onCurve(x, y) {
		return nil, errPoint
	}
	return &PublicKey{x, y}, nil
}

// Bytes encodes the point uncompressed.
func (k *PublicKey) Bytes() []byte {
	x, y := field.bytes(k.x), field.bytes(k.y)
	return append(append(append(make([]byte, 0, PointSize), 4), x[:]...), y[:]...)
}

func (k *PublicKey) point() *point { return &point{k.x, k.y, one} }

// PrivateKey is a number d above 0 and below the order of the curve, with d times the
// base point. It never changes.
type PrivateKey struct {
	d      number
	public PublicKey
}

// GenerateKey makes a key by drawing candidates until one is in range (FIPS 186-5,
// A.2.2): the first, but for one time in 2^128.
func GenerateKey() *PrivateKey {
	var candidate [Size]byte
	defer clear(candidate[:])
	for {
		rand.Read(candidate[:])
		if key, err := NewPrivateKey(candidate[:]); err == nil {
			return key
		}
	}
}

// NewPrivateKey reads 32 bytes, big-endian. It keeps no reference to them.
func NewPrivateKey(b []byte) (*PrivateKey, error) {
	if len(b) != Size {
		return nil, errPrivate
	}
	key, ok := new(PrivateKey), false
	table := base()
	erasing(func() {
		if key.d, ok = scalars.parse(b); !ok {
			return
		}
		// Of 0 it is the point at infinity, which has no coordinates.
		product := table.times((*[Size]byte)(b))
		key.public.x, key.public.y, ok = product.affine()
	})
	if !ok {
		return nil, errPrivate
	}
	return key, nil
}

// Bytes encodes the private key, big-endian. The caller wipes it.
func (k *PrivateKey) Bytes() []byte {
	d := scalars.bytes(k.d)
	defer clear(d[:])
	return append(make([]byte, 0, Size), d[:]...)
}

// Public is the public half, which is the key's own.
func (k *PrivateKey) Public() *PublicKey { return &k.public }

// Equal tells whether two keys are the same.
func (k *PublicKey) Equal(other *PublicKey) bool { return *k == *other }

// ECDH gives the shared secret with the other side, the first coordinate of d times its
// point (SP 800-56A, 5.7.1.2). The caller owns and wipes it. The product of a key
// and a point is never at infinity, since the order of the curve is a prime.
func (k *PrivateKey) ECDH(peer *PublicKey) []byte {
	secret := make([]byte, Size)
	erasing(func() {
		d := scalars.bytes(k.d)
		product := peer.point().times(&d)
		x, _, _ := product.affine()
		b := field.bytes(x)
		copy(secret, b[:])
	})
	return secret
}
