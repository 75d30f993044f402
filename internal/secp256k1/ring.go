package secp256k1

import (
	"math/bits"

	"filippo.io/bigmod"
)

// limbs is how many words of package bigmod a number of 256 bits has.
const limbs = 256 / bits.UintSize

// number is a number below the modulus of a ring, the least limb first.
type number [limbs]uint

// ring is the integers modulo an odd prime of 256 bits. Its operations take the same
// time for all numbers and do not allocate.
type ring struct {
	modulus *bigmod.Modulus
	// inverting is the exponent of Fermat's inversion, the prime less 2.
	inverting []byte
}

// newRing makes the ring of a prime, 32 bytes. Its last byte is not below 2.
func newRing(prime string) *ring {
	m, err := bigmod.NewModulus([]byte(prime))
	if err != nil {
		panic("secp256k1: internal error: " + err.Error())
	}
	inverting := []byte(prime)
	inverting[len(inverting)-1] -= 2
	return &ring{m, inverting}
}

// set makes n the number x. Callers make n: there it lies on the stack.
func (r *ring) set(n *bigmod.Nat, x number) *bigmod.Nat {
	copy(n.ExpandFor(r.modulus).Bits(), x[:])
	return n
}

func (r *ring) add(x, y number) (z number) {
	n, m := r.set(bigmod.NewNat(), x), r.set(bigmod.NewNat(), y)
	copy(z[:], n.Add(m, r.modulus).Bits())
	return z
}

func (r *ring) subtract(x, y number) (z number) {
	n, m := r.set(bigmod.NewNat(), x), r.set(bigmod.NewNat(), y)
	copy(z[:], n.Sub(m, r.modulus).Bits())
	return z
}

func (r *ring) multiply(x, y number) (z number) {
	n, m := r.set(bigmod.NewNat(), x), r.set(bigmod.NewNat(), y)
	copy(z[:], n.Mul(m, r.modulus).Bits())
	return z
}

// invert gives 1/x, and 0 for 0.
func (r *ring) invert(x number) (z number) {
	n := r.set(bigmod.NewNat(), x)
	copy(z[:], n.Exp(n, r.inverting, r.modulus).Bits())
	return z
}

// parse reads 32 bytes, big-endian; false unless they are below the modulus.
func (r *ring) parse(b []byte) (z number, ok bool) {
	n, err := bigmod.NewNat().SetBytes(b, r.modulus)
	if err != nil {
		return z, false
	}
	copy(z[:], n.Bits())
	return z, true
}

// reduce reads at most 32 bytes, big-endian, modulo the modulus, which is above half
// of what they hold.
func (r *ring) reduce(b []byte) (z number) {
	n, err := bigmod.NewNat().SetOverflowingBytes(b, r.modulus)
	if err != nil {
		panic("secp256k1: internal error: " + err.Error())
	}
	copy(z[:], n.Bits())
	return z
}

// bytes writes x, big-endian.
func (r *ring) bytes(x number) (b [Size]byte) {
	const word = bits.UintSize / 8
	for i, limb := range x {
		for j := range word {
			b[Size-1-i*word-j] = byte(limb >> (8 * j))
		}
	}
	return b
}

// isZero tells whether x is 0, in the same time for all others.
func (x number) isZero() bool {
	var set uint
	for _, limb := range x {
		set |= limb
	}
	return set == 0
}
