package secp256k1

import (
	"bytes"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

var rings = []struct {
	name    string
	ring    *ring
	modulus *big.Int
}{{"field", field, bigPrime}, {"scalars", scalars, bigOrder}}

// The rings compute what package big does.
func TestRings(t *testing.T) {
	for _, c := range rings {
		t.Run(c.name, func(t *testing.T) {
			r, m := c.ring, c.modulus
			rapid.Check(t, func(t *rapid.T) {
				a, b := below(m).Draw(t, "a"), below(m).Draw(t, "b")
				x, y := numberOf(r, a), numberOf(r, b)
				inverse := new(big.Int)
				if a.Sign() != 0 {
					inverse.ModInverse(a, m)
				}
				for name, v := range map[string]struct {
					got  number
					want *big.Int
				}{
					"sum":        {r.add(x, y), new(big.Int).Add(a, b)},
					"difference": {r.subtract(x, y), new(big.Int).Sub(a, b)},
					"product":    {r.multiply(x, y), new(big.Int).Mul(a, b)},
					"square":     {r.multiply(x, x), new(big.Int).Mul(a, a)},
					"inverse":    {r.invert(x), inverse},
				} {
					if got := r.bytes(v.got); got != *bytesOf(v.want.Mod(v.want, m)) {
						t.Errorf("%s: %x, want %x", name, got, v.want)
					}
				}
				if x.isZero() != (a.Sign() == 0) {
					t.Errorf("isZero of %x", a)
				}
			})
		})
	}
}

// What is not below the modulus is no number of the ring, and is reduced otherwise.
func TestRingReads(t *testing.T) {
	ones := bytes.Repeat([]byte{0xff}, Size)
	for _, c := range rings {
		for offset, ok := range map[int64]bool{-1: true, 0: false, 1: false} {
			n := new(big.Int).Add(c.modulus, big.NewInt(offset))
			if _, got := c.ring.parse(bytesOf(n)[:]); got != ok {
				t.Errorf("%s: %x is read: %v", c.name, n, got)
			}
			if got := c.ring.bytes(c.ring.reduce(bytesOf(n)[:])); got != *bytesOf(n.Mod(n, c.modulus)) {
				t.Errorf("%s: reduced to %x, want %x", c.name, got, n)
			}
		}
		if _, ok := c.ring.parse(ones); ok {
			t.Errorf("%s: the largest 32 bytes are read", c.name)
		}
		if _, ok := c.ring.parse(append([]byte{1}, make([]byte, Size)...)); ok {
			t.Errorf("%s: 33 bytes are read", c.name)
		}
		want := new(big.Int).SetBytes(ones)
		if got := c.ring.bytes(c.ring.reduce(ones)); got != *bytesOf(want.Mod(want, c.modulus)) {
			t.Errorf("%s: reduced to %x, want %x", c.name, got, want)
		}
	}
}
