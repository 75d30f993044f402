package secp256k1

import "crypto/rand"

// Sign makes an ECDSA signature of a digest (FIPS 186-5, 6.4.1), of which the leftmost
// 256 bits count: r and s at full length. The nonce is newNonces's.
func (k *PrivateKey) Sign(digest []byte) []byte {
	var fresh [Size]byte
	rand.Read(fresh[:])
	return k.sign(digest, fresh[:])
}

// sign is Sign with the randomness that goes into the nonce.
func (k *PrivateKey) sign(digest, fresh []byte) []byte {
	sig, table := make([]byte, SignatureSize), base()
	erasing(func() {
		e := hashed(digest)
		n := newNonces(k.d, e, fresh)
		for !k.signWith(sig, table, e, n.next()) {
		}
	})
	return sig
}

// hashed is the number that a digest stands for (FIPS 186-5, 6.4.1, steps 1 to 2): its
// leftmost 256 bits modulo the order.
func hashed(digest []byte) number { return scalars.reduce(digest[:min(len(digest), Size)]) }

// signWith writes the signature under a nonce; false where r or s would be 0, and another
// nonce is to be taken.
func (k *PrivateKey) signWith(sig []byte, table *baseTable, e, nonce number) bool {
	scalar := scalars.bytes(nonce)
	product := table.times(&scalar)
	x, _, ok := product.affine()
	coordinate := field.bytes(x)
	r := scalars.reduce(coordinate[:])
	s := scalars.add(e, scalars.multiply(r, k.d))
	s = scalars.multiply(s, scalars.invert(nonce))
	if !ok || r.isZero() || s.isZero() {
		return false
	}
	first, second := scalars.bytes(r), scalars.bytes(s)
	copy(sig[:Size], first[:])
	copy(sig[Size:], second[:])
	return true
}

// Verify checks a signature as Sign makes it (FIPS 186-5, 6.4.2). Of the two values
// of s that fit, both are good: a protocol that takes only the lower looks itself.
func (k *PublicKey) Verify(digest, sig []byte) bool {
	if len(sig) != SignatureSize {
		return false
	}
	r, below := scalars.parse(sig[:Size])
	s, belowToo := scalars.parse(sig[Size:])
	if !below || !belowToo || r.isZero() || s.isZero() {
		return false
	}
	w := scalars.invert(s)
	u := scalars.bytes(scalars.multiply(hashed(digest), w))
	v := scalars.bytes(scalars.multiply(r, w))
	ours, theirs := base().times(&u), k.point().times(&v)
	sum := ours.add(&theirs)
	x, _, ok := sum.affine()
	coordinate := field.bytes(x)
	return ok && scalars.reduce(coordinate[:]) == r
}
