package secp256k1

import (
	"crypto/hmac"
	"crypto/sha256"
)

// nonces gives the nonces of one signature: the generator of RFC 6979, 3.2, over
// SHA-256, which is seeded with the private key, the digest and, as 3.6 has it, fresh
// randomness. A nonce is then unknown as long as either the key or the randomness is:
// a random generator that repeats itself does no harm, and two signatures of the same
// data, of which one is computed wrongly, share no nonce.
type nonces struct{ key, value [sha256.Size]byte }

// newNonces seeds the generator with the private key and the number of the digest.
// Without fresh bytes it is that of RFC 6979.
func newNonces(d, digest number, fresh []byte) *nonces {
	private, public := scalars.bytes(d), scalars.bytes(digest)
	n := new(nonces)
	for i := range n.value {
		n.value[i] = 1
	}
	n.update([]byte{0}, private[:], public[:], fresh)
	n.update([]byte{1}, private[:], public[:], fresh)
	return n
}

// next gives another nonce, above 0 and below the order.
func (n *nonces) next() number {
	for {
		n.value = n.mac()
		k, ok := scalars.parse(n.value[:])
		n.update([]byte{0})
		if ok && !k.isZero() {
			return k
		}
	}
}

// update makes another key and value, into which the data goes.
func (n *nonces) update(data ...[]byte) {
	n.key = n.mac(data...)
	n.value = n.mac()
}

// mac is HMAC-SHA-256 of the value and the data.
func (n *nonces) mac(data ...[]byte) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, n.key[:])
	h.Write(n.value[:])
	for _, d := range data {
		h.Write(d)
	}
	h.Sum(sum[:0])
	return sum
}
