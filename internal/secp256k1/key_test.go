package secp256k1

import (
	"bytes"
	"errors"
	"math/big"
	"testing"
)

func TestPrivateKeys(t *testing.T) {
	plus := func(n int64) []byte { return bytesOf(new(big.Int).Add(bigOrder, big.NewInt(n)))[:] }
	small := func(n int64) []byte { return bytesOf(big.NewInt(n))[:] }
	for _, c := range []struct {
		name  string
		value []byte
		good  bool
	}{
		{"0", small(0), false},
		{"1", small(1), true},
		{"2", small(2), true},
		{"the order less 1", plus(-1), true},
		{"the order", plus(0), false},
		{"the order and 1", plus(1), false},
		{"ones", bytes.Repeat([]byte{0xff}, Size), false},
		{"nothing", nil, false},
		{"31 bytes", small(1)[1:], false},
		{"33 bytes", append([]byte{0}, small(1)...), false},
	} {
		key, err := NewPrivateKey(c.value)
		if !c.good {
			if !errors.Is(err, errPrivate) || key != nil {
				t.Errorf("%s: %v, %v", c.name, key, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !bytes.Equal(key.Bytes(), c.value) {
			t.Errorf("%s: it comes back as %x", c.name, key.Bytes())
		}
		want := bigBase.multiplied(new(big.Int).SetBytes(c.value))
		if !same(*key.Public().point(), want) {
			t.Errorf("%s: public key %x", c.name, key.Public().Bytes())
		}
		back, err := NewPublicKey(key.Public().Bytes())
		if err != nil || !back.Equal(key.Public()) {
			t.Errorf("%s: the public key comes back as %v, %v", c.name, back, err)
		}
	}
}

func TestGenerateKey(t *testing.T) {
	seen := map[string]bool{}
	for range 20 {
		key := GenerateKey()
		if _, err := NewPrivateKey(key.Bytes()); err != nil || seen[string(key.Bytes())] {
			t.Errorf("a key is not in range or comes twice: %v", err)
		}
		seen[string(key.Bytes())] = true
	}
}

func uncompressed(x, y *big.Int) []byte {
	return append(append([]byte{4}, bytesOf(x)[:]...), bytesOf(y)[:]...)
}

// pointOf makes a point of y² = x³ + b, with the least x from this one on.
func pointOf(x, b int64) []byte {
	for ; ; x++ {
		square := new(big.Int).Exp(big.NewInt(x), big.NewInt(3), nil)
		if y := new(big.Int).ModSqrt(modPrime(square.Add(square, big.NewInt(b))), bigPrime); y != nil {
			return uncompressed(big.NewInt(x), y)
		}
	}
}

func TestPublicKeys(t *testing.T) {
	good := uncompressed(bigBase.x, bigBase.y)
	changed := func(i int) []byte {
		b := bytes.Clone(good)
		b[i] ^= 1
		return b
	}
	small := pointOf(1, 7)
	y := new(big.Int).SetBytes(small[1+Size:])
	for _, c := range []struct {
		name string
		b    []byte
		good bool
	}{
		{"base point", good, true},
		{"opposite point", uncompressed(bigBase.x, new(big.Int).Sub(bigPrime, bigBase.y)), true},
		{"x of 1", small, true},
		{"x of 1 not reduced", uncompressed(new(big.Int).Add(bigPrime, big.NewInt(1)), y), false},
		{"x of the prime", uncompressed(bigPrime, y), false},
		{"x off the curve", changed(Size), false},
		{"y off the curve", changed(2 * Size), false},
		{"zeros", append([]byte{4}, make([]byte, 2*Size)...), false},
		{"ones", append([]byte{4}, bytes.Repeat([]byte{0xff}, 2*Size)...), false},
		{"infinity", []byte{0}, false},
		{"infinity at full length", make([]byte, PointSize), false},
		{"compressed", append([]byte{2}, good[1:1+Size]...), false},
		{"compressed at full length", append([]byte{2}, good[1:]...), false},
		{"hybrid", append([]byte{6 + good[2*Size]&1}, good[1:]...), false},
		{"a byte less", good[:2*Size], false},
		{"a byte more", append(bytes.Clone(good), 0), false},
		{"nothing", nil, false},
		// The twist has -7 for 7, because -1 is no square; others have small subgroups.
		{"point of the twist", pointOf(2, -7), false},
		{"point of y² = x³ + 2", pointOf(3, 2), false},
		{"point of y² = x³ + 6", pointOf(3, 6), false},
	} {
		key, err := NewPublicKey(c.b)
		switch {
		case c.good && (err != nil || !bytes.Equal(key.Bytes(), c.b)):
			t.Errorf("%s: %v", c.name, err)
		case !c.good && (!errors.Is(err, errPoint) || key != nil):
			t.Errorf("%s: %v, %v", c.name, key, err)
		}
	}
}

// Both sides have the same secret, which is that of the textbook.
func TestECDH(t *testing.T) {
	keys := []*PrivateKey{GenerateKey(), GenerateKey()}
	for _, n := range []*big.Int{big.NewInt(1), big.NewInt(2), new(big.Int).Sub(bigOrder, big.NewInt(1))} {
		key, err := NewPrivateKey(bytesOf(n)[:])
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	for i, a := range keys {
		for j, b := range keys {
			secret := a.ECDH(b.Public())
			product := new(big.Int).Mul(new(big.Int).SetBytes(a.Bytes()), new(big.Int).SetBytes(b.Bytes()))
			want := bigBase.multiplied(product.Mod(product, bigOrder)).x
			if !bytes.Equal(secret, bytesOf(want)[:]) || !bytes.Equal(secret, b.ECDH(a.Public())) {
				t.Errorf("keys %d and %d: %x, want %x", i, j, secret, want)
			}
		}
	}
}

// FuzzNewPublicKey reads anything: what is taken is a point of the textbook's curve, and
// comes back as it was.
func FuzzNewPublicKey(f *testing.F) {
	f.Add(uncompressed(bigBase.x, bigBase.y))
	f.Add(pointOf(1, 7))
	f.Add(pointOf(2, -7))
	f.Add(append([]byte{4}, make([]byte, 2*Size)...))
	f.Add(append([]byte{4}, bytes.Repeat([]byte{0xff}, 2*Size)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		key, err := NewPublicKey(b)
		good := len(b) == PointSize && b[0] == 4
		if good {
			p := &affinePoint{new(big.Int).SetBytes(b[1 : 1+Size]), new(big.Int).SetBytes(b[1+Size:])}
			good = p.x.Cmp(bigPrime) < 0 && p.y.Cmp(bigPrime) < 0 && p.on()
		}
		if good != (err == nil) {
			t.Fatalf("%x: %v", b, err)
		}
		if good && !bytes.Equal(key.Bytes(), b) {
			t.Errorf("%x comes back as %x", b, key.Bytes())
		}
	})
}
