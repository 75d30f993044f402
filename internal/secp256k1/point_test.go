package secp256k1

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// Points are added as by the textbook, whatever they are and with whatever z.
func TestAddition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := below(bigOrder).Draw(t, "m")
		n := below(bigOrder).Draw(t, "n")
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			n = m
		case 1: // the opposite point
			n = new(big.Int).Sub(bigOrder, m)
			n.Mod(n, bigOrder)
		case 2:
			n = new(big.Int)
		}
		p, q := base().times(bytesOf(m)), base().times(bytesOf(n))
		if z := below(bigPrime).Draw(t, "z"); z.Sign() > 0 {
			q = scaled(q, numberOf(field, z))
		}
		a, b := bigBase.multiplied(m), bigBase.multiplied(n)
		if !same(p, a) || !same(q, b) {
			t.Fatalf("multiples of the base point by %x and %x", m, n)
		}
		if !same(p.add(&q), a.plus(b)) || !same(q.add(&p), a.plus(b)) {
			t.Errorf("sum of %x and %x", m, n)
		}
		if !same(q.double(), b.plus(b)) {
			t.Errorf("double of %x", n)
		}
	})
}

// scaled is the same point with its coordinates multiplied by z.
func scaled(p point, z number) point {
	return point{field.multiply(p.x, z), field.multiply(p.y, z), field.multiply(p.z, z)}
}

// Any point is multiplied as the base point is, and by numbers beyond the order too.
func TestMultiplication(t *testing.T) {
	beyond := new(big.Int).Lsh(big.NewInt(1), 256)
	rapid.Check(t, func(t *rapid.T) {
		m, n := below(bigOrder).Draw(t, "m"), below(beyond).Draw(t, "n")
		p := base().times(bytesOf(m))
		product := new(big.Int).Mul(m, n)
		if !same(p.times(bytesOf(n)), bigBase.multiplied(product.Mod(product, bigOrder))) {
			t.Errorf("%x times %x", n, m)
		}
		if !same(base().times(bytesOf(n)), bigBase.multiplied(n)) {
			t.Errorf("%x times the base point", n)
		}
	})
}

// Every entry of a table is what it stands for.
func TestTables(t *testing.T) {
	for i := range base() {
		weight := new(big.Int).Lsh(big.NewInt(1), uint(windowBits*(windows-1-i)))
		for n := range byte(1 << windowBits) {
			multiple := base()[i].times(n)
			if want := bigBase.multiplied(new(big.Int).Mul(weight, big.NewInt(int64(n)))); !same(multiple, want) {
				t.Errorf("%d in window %d", n, i)
			}
		}
	}
}
