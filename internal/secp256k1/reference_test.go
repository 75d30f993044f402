package secp256k1

import (
	"encoding/hex"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The curve once more, by the textbook and package big: slow, and with a case for all
// that can happen.
var (
	bigPrime = new(big.Int).SetBytes([]byte(prime))
	bigOrder = new(big.Int).SetBytes([]byte(order))
)

// affinePoint is a point of the textbook; nil is infinity.
type affinePoint struct{ x, y *big.Int }

var bigBase = &affinePoint{new(big.Int).SetBytes([]byte(baseX)), new(big.Int).SetBytes([]byte(baseY))}

func modPrime(n *big.Int) *big.Int { return n.Mod(n, bigPrime) }

func (p *affinePoint) plus(q *affinePoint) *affinePoint {
	var slope *big.Int
	switch {
	case p == nil:
		return q
	case q == nil:
		return p
	case p.x.Cmp(q.x) != 0:
		slope = new(big.Int).ModInverse(modPrime(new(big.Int).Sub(q.x, p.x)), bigPrime)
		slope.Mul(slope, new(big.Int).Sub(q.y, p.y))
	case p.y.Cmp(q.y) != 0:
		return nil
	default: // no point has y = 0
		slope = new(big.Int).ModInverse(modPrime(new(big.Int).Lsh(p.y, 1)), bigPrime)
		slope.Mul(slope, new(big.Int).Mul(big.NewInt(3), new(big.Int).Mul(p.x, p.x)))
	}
	x := new(big.Int).Mul(slope, slope)
	modPrime(x.Sub(x.Sub(x, p.x), q.x))
	y := new(big.Int).Sub(p.x, x)
	return &affinePoint{x, modPrime(y.Sub(y.Mul(y, slope), p.y))}
}

func (p *affinePoint) multiplied(n *big.Int) (sum *affinePoint) {
	for i := n.BitLen() - 1; i >= 0; i-- {
		if sum = sum.plus(sum); n.Bit(i) == 1 {
			sum = sum.plus(p)
		}
	}
	return sum
}

// on tells whether the point is on the curve.
func (p *affinePoint) on() bool {
	rest := new(big.Int).Exp(p.x, big.NewInt(3), nil)
	return modPrime(rest.Sub(rest.Add(rest, big.NewInt(7)), new(big.Int).Mul(p.y, p.y))).Sign() == 0
}

// bytesOf is a number as 32 bytes.
func bytesOf(n *big.Int) *[Size]byte {
	var b [Size]byte
	n.FillBytes(b[:])
	return &b
}

// numberOf is a number below the modulus of a ring.
func numberOf(r *ring, n *big.Int) number {
	x, ok := r.parse(bytesOf(n)[:])
	if !ok {
		panic("not below the modulus")
	}
	return x
}

// same tells whether a point is that of the textbook.
func same(p point, want *affinePoint) bool {
	x, y, ok := p.affine()
	if want == nil {
		return !ok
	}
	return ok && x == numberOf(field, want.x) && y == numberOf(field, want.y)
}

// below draws numbers below n, the smallest and largest more often than chance, and such
// as have long runs of equal bits.
func below(n *big.Int) *rapid.Generator[*big.Int] {
	return rapid.Custom(func(t *rapid.T) *big.Int {
		near := big.NewInt(rapid.Int64Range(0, 1<<33).Draw(t, "near"))
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			return near
		case 1:
			return near.Sub(n, near.Add(near, big.NewInt(1)))
		case 2:
			run := new(big.Int).Lsh(big.NewInt(1), rapid.UintRange(0, 256).Draw(t, "high"))
			run.Sub(run, new(big.Int).Lsh(big.NewInt(1), rapid.UintRange(0, 256).Draw(t, "low")))
			return run.Mod(run, n)
		}
		b := rapid.SliceOfN(rapid.Byte(), Size, Size).Draw(t, "bytes")
		return new(big.Int).Mod(new(big.Int).SetBytes(b), n)
	})
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
