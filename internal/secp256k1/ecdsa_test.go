package secp256k1

import (
	"bytes"
	"crypto/sha256"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// Known answers of the deterministic nonce (RFC 6979, which has none for this curve), as
// implementations for Bitcoin share them. They give the lower of the two s.
func TestDeterministicSignatures(t *testing.T) {
	for _, v := range []struct{ key, message, nonce, sig string }{
		{"0000000000000000000000000000000000000000000000000000000000000001", "Satoshi Nakamoto",
			"8f8a276c19f4149656b280621e358cce24f5f52542772691ee69063b74f15d15",
			"934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8" + "2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5"},
		{"0000000000000000000000000000000000000000000000000000000000000001", "All those moments will be lost in time, like tears in rain. Time to die...",
			"38aa22d72376b4dbc472e06c3ba403ee0a394da63fc58d88686c611aba98d6b3",
			"8600dbd41e348fe5c9465ab92d23e3db8b98b873beecd930736488696438cb6b" + "547fe64427496db33bf66019dacbf0039c04199abb0122918601db38a72cfc21"},
		{"fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140", "Satoshi Nakamoto",
			"33a19b60e25fb6f4435af53a3d42d493644827367e6453928554f43e49aa6f90",
			"fd567d121db66e382991534ada77a6bd3106f0a1098c231e47993447cd6af2d0" + "6b39cd0eb1bc8603e159ef5c20a5c8ad685a45b06ce9bebed3f153d10d93bed5"},
		{"f8b8af8ce3c7cca5e300d33939540c10d45ce001b8f252bfbc57ba0342904181", "Alan Turing",
			"525a82b70e67874398067543fd84c83d30c175fdc45fdeee082fe13b1d7cfdf1",
			"7063ae83e7f62bbb171798131b4a0564b956930092b33b07b395615d9ec7e15c" + "58dfcc1e00a35e1572f366ffe34ba0fc47db1e7189759b9fb233c5b05ab388ea"},
	} {
		key, err := NewPrivateKey(unhex(t, v.key))
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256([]byte(v.message))
		if nonce := scalars.bytes(newNonces(key.d, hashed(digest[:]), nil).next()); !bytes.Equal(nonce[:], unhex(t, v.nonce)) {
			t.Errorf("%s: nonce %x, want %s", v.message, nonce, v.nonce)
		}
		sig, want := key.sign(digest[:], nil), unhex(t, v.sig)
		if !bytes.Equal(sig, want) && !bytes.Equal(opposite(sig), want) {
			t.Errorf("%s: %x, want %x", v.message, sig, want)
		}
	}
}

// opposite is the other signature that fits, with the order less s.
func opposite(sig []byte) []byte {
	s := new(big.Int).Sub(bigOrder, new(big.Int).SetBytes(sig[Size:]))
	return append(bytes.Clone(sig[:Size]), bytesOf(s)[:]...)
}

// verifies is FIPS 186-5, 6.4.2, by the textbook.
func verifies(public *affinePoint, digest, sig []byte) bool {
	r, s := new(big.Int).SetBytes(sig[:Size]), new(big.Int).SetBytes(sig[Size:])
	if r.Sign() == 0 || s.Sign() == 0 || r.Cmp(bigOrder) >= 0 || s.Cmp(bigOrder) >= 0 {
		return false
	}
	e := new(big.Int).SetBytes(digest[:min(len(digest), Size)])
	w := new(big.Int).ModInverse(s, bigOrder)
	u, v := e.Mod(e.Mul(e, w), bigOrder), new(big.Int).Mul(r, w)
	p := bigBase.multiplied(u).plus(public.multiplied(v.Mod(v, bigOrder)))
	return p != nil && new(big.Int).Mod(p.x, bigOrder).Cmp(r) == 0
}

// What is signed verifies, here and by the textbook, with keys of all sizes and digests of
// all lengths; what is changed does not.
func TestSignatures(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := below(bigOrder).Draw(t, "d")
		if d.Sign() == 0 {
			d.SetInt64(1)
		}
		key, err := NewPrivateKey(bytesOf(d)[:])
		if err != nil {
			t.Fatal(err)
		}
		digest := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x80, 0xff}), 0, 64).Draw(t, "digest")
		sig := key.Sign(digest)
		public := bigBase.multiplied(d)
		for _, good := range [][]byte{sig, opposite(sig)} {
			if !key.Public().Verify(digest, good) || !verifies(public, digest, good) {
				t.Errorf("%x does not verify", good)
			}
		}
		bad := bytes.Clone(sig)
		bad[rapid.IntRange(0, SignatureSize-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if key.Public().Verify(digest, bad) || verifies(public, digest, bad) {
			t.Errorf("%x verifies, which was %x", bad, sig)
		}
		if len(digest) > 0 && len(digest) <= Size {
			other := bytes.Clone(digest)
			other[0] ^= 1
			if key.Public().Verify(other, sig) {
				t.Errorf("%x verifies for another digest", sig)
			}
		}
	})
}

// Numbers that are not in range, and a point at infinity, make no signature.
func TestVerifyRefuses(t *testing.T) {
	key, err := NewPrivateKey(bytesOf(big.NewInt(3))[:])
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("data"))
	sig := key.Sign(digest[:])
	r, s := new(big.Int).SetBytes(sig[:Size]), new(big.Int).SetBytes(sig[Size:])
	zero, ones := new(big.Int), new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	pair := func(r, s *big.Int) []byte { return append(bytesOf(r)[:], bytesOf(s)[:]...) }
	for name, bad := range map[string][]byte{
		"nothing":        nil,
		"r alone":        sig[:Size],
		"a byte less":    sig[:SignatureSize-1],
		"a byte more":    append(bytes.Clone(sig), 0),
		"r of 0":         pair(zero, s),
		"s of 0":         pair(r, zero),
		"both 0":         make([]byte, SignatureSize),
		"r of the order": pair(bigOrder, s),
		"s of the order": pair(r, bigOrder),
		"r of the prime": pair(bigPrime, s),
		"largest":        pair(ones, ones),
		"exchanged":      pair(s, r),
	} {
		if key.Public().Verify(digest[:], bad) {
			t.Errorf("%s verifies", name)
		}
	}
	// For s = 5 and the digest 5k - r·d there is the signature with s, and s plus the order
	// fits into 32 bytes.
	k, five := number{11}, number{5}
	x := numberOf(scalars, bigBase.multiplied(big.NewInt(11)).x)
	small := scalars.bytes(scalars.subtract(scalars.multiply(five, k), scalars.multiply(x, key.d)))
	s5 := append(bytesOf(bigBase.multiplied(big.NewInt(11)).x)[:], bytesOf(big.NewInt(5))[:]...)
	if !key.Public().Verify(small[:], s5) {
		t.Error("a small s does not verify")
	}
	if key.Public().Verify(small[:], append(s5[:Size:Size], bytesOf(new(big.Int).Add(bigOrder, big.NewInt(5)))[:]...)) {
		t.Error("a small s plus the order verifies")
	}
	// With e = -r·d both products cancel out.
	e := new(big.Int).Mul(r, big.NewInt(-3))
	if key.Public().Verify(bytesOf(e.Mod(e, bigOrder))[:], pair(r, big.NewInt(1))) {
		t.Error("the point at infinity verifies")
	}
}

// A nonce under which r or s is 0 makes no signature.
func TestNoSignature(t *testing.T) {
	key := GenerateKey()
	sig := make([]byte, SignatureSize)
	if key.signWith(sig, base(), number{5}, number{}) {
		t.Error("a nonce of 0, and so an r of 0, is taken")
	}
	// s = (e + r·d)/k is 0 for e = -r·d.
	r := scalars.reduce(bytesOf(bigBase.multiplied(big.NewInt(7)).x)[:])
	e := scalars.subtract(number{}, scalars.multiply(r, key.d))
	if key.signWith(sig, base(), e, number{7}) {
		t.Error("an s of 0 is taken")
	}
	if !bytes.Equal(sig, make([]byte, SignatureSize)) {
		t.Errorf("%x beside a refusal", sig)
	}
	if e = scalars.add(e, one); !key.signWith(sig, base(), e, number{7}) {
		t.Error("no signature with the next digest")
	}
}

// Known answers of the generator with fresh bytes and beyond the first nonce, as Decred's
// dcrec/secp256k1 has them.
func TestKnownNonces(t *testing.T) {
	d := numberOf(scalars, new(big.Int).SetBytes(unhex(t, "0011111111111111111111111111111111111111111111111111111111111111")))
	for _, v := range []struct {
		fresh string
		want  []string
	}{
		{"", []string{
			"154e92760f77ad9af6b547edd6f14ad0fae023eb2221bc8be2911675d8a686a3",
			"66fca3fe494a6216e4a3f15cfbc1d969c60d9cdefda1a1c193edabd34aa8cd5e",
			"70da248c92b5d28a52eafca1848b1a37d4cb36526c02553c9c48bb0b895fc77d",
		}},
		{"0000000000000000000000000000000000000000000000000000000000000002", []string{
			"67893461ade51cde61824b20bc293b585d058e6b9f40fb68453d5143f15116ae",
		}},
	} {
		n := newNonces(d, one, unhex(t, v.fresh))
		for i, want := range v.want {
			if got := scalars.bytes(n.next()); !bytes.Equal(got[:], unhex(t, want)) {
				t.Errorf("nonce %d with %q: %x, want %s", i, v.fresh, got, want)
			}
		}
	}
}

// The nonces differ with whatever they are made of, and from one to the next.
func TestNonces(t *testing.T) {
	seen := map[number]bool{}
	for _, d := range []number{{1}, {2}} {
		for _, e := range []number{{}, {1}} {
			for _, fresh := range [][]byte{nil, {0}, make([]byte, Size)} {
				n := newNonces(d, e, fresh)
				for range 3 {
					k := n.next()
					if seen[k] || k.isZero() {
						t.Errorf("%x comes twice", scalars.bytes(k))
					}
					seen[k] = true
				}
			}
		}
	}
	key, digest := GenerateKey(), make([]byte, Size)
	if bytes.Equal(key.Sign(digest)[:Size], key.Sign(digest)[:Size]) {
		t.Error("two signatures share their nonce")
	}
}

// FuzzVerify compares with the textbook.
func FuzzVerify(f *testing.F) {
	key, err := NewPrivateKey(bytesOf(big.NewInt(5))[:])
	if err != nil {
		f.Fatal(err)
	}
	public := bigBase.multiplied(big.NewInt(5))
	for _, digest := range [][]byte{nil, {1}, make([]byte, Size), bytes.Repeat([]byte{0xff}, 64)} {
		sig := key.Sign(digest)
		f.Add(digest, sig)
		f.Add(digest, opposite(sig))
		f.Add(digest, append(sig[:Size:Size], bytesOf(bigOrder)[:]...))
	}
	f.Fuzz(func(t *testing.T, digest, sig []byte) {
		want := len(sig) == SignatureSize && verifies(public, digest, sig)
		if key.Public().Verify(digest, sig) != want {
			t.Errorf("%x for %x: want %v", sig, digest, want)
		}
	})
}

func Benchmark(b *testing.B) {
	key, other, digest := GenerateKey(), GenerateKey(), make([]byte, Size)
	sig := key.Sign(digest)
	for name, run := range map[string]func(){
		"GenerateKey": func() { GenerateKey() },
		"Sign":        func() { key.Sign(digest) },
		"Verify":      func() { key.Public().Verify(digest, sig) },
		"ECDH":        func() { key.ECDH(other.Public()) },
		"table":       func() { newBaseTable() },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}
