package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/big"
	"os"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
)

// exponent is the public exponent of all keys here.
const exponent = 65537

// rsaCases are private RSA operations in Go and in libcrypto, where that can be loaded.
func rsaCases() (all []timing, err error) {
	defer mech.UseRSA("go")
	for _, by := range []string{"go", "libcrypto"} {
		if err := mech.UseRSA(by); err != nil {
			fmt.Fprintln(os.Stderr, "timing:", err)
			continue
		}
		for _, of := range []func() ([]timing, error){oaepPadding, rsaExponents, rsaInputs} {
			cases, err := of()
			if err != nil {
				return nil, err
			}
			for _, c := range cases {
				c.name += " " + by
				all = append(all, c)
			}
		}
	}
	return all, nil
}

// pool is an operation on inputs in turn, so that no class is a single place in memory.
func pool(n int, make func() func()) func() {
	runs := slices.Collect(func(yield func(func()) bool) {
		for range n {
			if !yield(make()) {
				return
			}
		}
	})
	next := 0
	return func() {
		runs[next%n]()
		next++
	}
}

// rsaPrimes are the numbers of a key.
type rsaPrimes struct{ p, q *big.Int }

func (k rsaPrimes) modulus() *big.Int { return new(big.Int).Mul(k.p, k.q) }

// parse gives the private key as mechanisms want it.
func (k rsaPrimes) parse() (mech.Key, error) {
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(k.p, one), new(big.Int).Sub(k.q, one))
	d := new(big.Int).ModInverse(big.NewInt(exponent), phi)
	if d == nil {
		return nil, fmt.Errorf("%d is no exponent of the key", exponent)
	}
	return mech.ParseKey(cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_RSA, func(a cryptoki.AttributeType) []byte {
		switch a {
		case cryptoki.CKA_MODULUS:
			return k.modulus().Bytes()
		case cryptoki.CKA_PUBLIC_EXPONENT:
			return big.NewInt(exponent).Bytes()
		case cryptoki.CKA_PRIVATE_EXPONENT:
			return d.Bytes()
		case cryptoki.CKA_PRIME_1:
			return k.p.Bytes()
		case cryptoki.CKA_PRIME_2:
			return k.q.Bytes()
		}
		return nil
	})
}

// ordinary are primes of a key of a number of bits, made as any; the first is the larger one.
func ordinary(bits int) (k rsaPrimes, err error) {
	for {
		if k.p, err = rand.Prime(rand.Reader, bits/2); err != nil {
			return k, err
		}
		if k.q, err = rand.Prime(rand.Reader, bits/2); err != nil {
			return k, err
		}
		if _, err := k.parse(); err == nil && k.p.Cmp(k.q) > 0 {
			return k, nil
		}
	}
}

// extreme are primes whose exponents of the Chinese remainder theorem have nearly no bits
// set, or nearly all: with p = 65537x + 2 the exponent is 65536x + 1, so x is chosen.
func extreme(bits int, dense bool) (rsaPrimes, error) {
	// The two differ in their third bit: they must not be close to each other (FIPS 186-5, A.1.3).
	prime := func(third uint) (*big.Int, error) {
		n := bits/2 - 16
		for {
			x := new(big.Int)
			if dense {
				x.Sub(x.Lsh(big.NewInt(1), uint(n)), big.NewInt(1))
			} else {
				x.SetBit(x.SetBit(x.SetBit(x, n-1, 1), n-2, 1), 0, 1)
			}
			x.SetBit(x, n-3, third)
			for range 6 {
				at, err := rand.Int(rand.Reader, big.NewInt(int64(n-4)))
				if err != nil {
					return nil, err
				}
				i := int(at.Int64()) + 1
				x.SetBit(x, i, 1-x.Bit(i))
			}
			p := x.Add(x.Mul(x, big.NewInt(exponent)), big.NewInt(2))
			if p.BitLen() == bits/2 && p.ProbablyPrime(20) {
				return p, nil
			}
		}
	}
	p, err := prime(1)
	if err != nil {
		return rsaPrimes{}, err
	}
	q, err := prime(0)
	return rsaPrimes{p, q}, err
}

// rsaExponents are signatures by keys of which the exponents differ as much as they can.
func rsaExponents() ([]timing, error) {
	// Each key lies in several places, of which one may be slower than another.
	const keys, places, bits = 4, 8, 2048
	of := map[string][]mech.Key{}
	names := []string{"few bits", "nearly all bits", "ordinary"}
	for i, name := range names {
		for range keys {
			k, err := ordinary(bits)
			if i < 2 {
				k, err = extreme(bits, i == 1)
			}
			if err != nil {
				return nil, err
			}
			for range places {
				key, err := k.parse()
				if err != nil {
					return nil, err
				}
				of[name] = append(of[name], key)
			}
		}
	}
	var all []timing
	for _, m := range signatures {
		c := timing{name: "exponent, " + m.name, share: 10}
		for _, name := range names {
			next := 0
			c.classes = append(c.classes, class{name, pool(keys*places, func() func() {
				next++
				return once(mech.Sign, m.mechanism, of[name][next-1], make([]byte, 32), nil)
			})})
		}
		all = append(all, c)
	}
	return all, nil
}

var signatures = []struct {
	name      string
	mechanism cryptoki.Mechanism
}{
	{"PKCS#1", cryptoki.New(cryptoki.CKM_SHA256_RSA_PKCS)},
	{"PSS", cryptoki.NewPSS(cryptoki.CKM_SHA256_RSA_PKCS_PSS, cryptoki.PSSParameters{HashAlg: cryptoki.CKM_SHA256, MGF: cryptoki.CKG_MGF1_SHA256, SaltLength: 32})},
}

// rsaInputs are a fixed input against random ones, and for the operation without padding
// against a small number.
func rsaInputs() ([]timing, error) {
	const inputs, bits = 64, 2048
	k, err := ordinary(bits)
	if err != nil {
		return nil, err
	}
	key, err := k.parse()
	if err != nil {
		return nil, err
	}
	random := func(n int) []byte {
		b := make([]byte, n)
		rand.Read(b)
		b[0] &= 0x7f // below the modulus
		return b
	}
	fixed := func(b []byte) func(int) []byte { return func(int) []byte { return slices.Clone(b) } }
	of := func(f mech.Function, m cryptoki.Mechanism, n int, input func(int) []byte) func() {
		return pool(inputs, func() func() { return once(f, m, key, input(n), nil) })
	}
	var all []timing
	for _, m := range signatures {
		all = append(all, timing{"message, " + m.name, 10, []class{
			{"one", of(mech.Sign, m.mechanism, 32, fixed(random(32)))},
			{"random ones", of(mech.Sign, m.mechanism, 32, random)},
		}})
	}
	raw := cryptoki.New(cryptoki.CKM_RSA_X_509)
	small := append(make([]byte, bits/8-1), 2)
	return append(all, timing{"X.509", 10, []class{
		{"one number", of(mech.Decrypt, raw, bits/8, fixed(random(bits/8)))},
		{"random ones", of(mech.Decrypt, raw, bits/8, random)},
		{"a small one", of(mech.Decrypt, raw, bits/8, fixed(small))},
	}}), nil
}

// oaepPadding are ciphertexts whose padding is right or wrong (RFC 8017, 7.1.2, 3.g), under
// a short key, so that the padding has a large part in the time.
func oaepPadding() ([]timing, error) {
	const inputs, bits = 64, 1024
	k, err := ordinary(bits)
	if err != nil {
		return nil, err
	}
	key, err := k.parse()
	if err != nil {
		return nil, err
	}
	n := k.modulus()
	m := cryptoki.NewOAEP(cryptoki.CKM_RSA_PKCS_OAEP, cryptoki.OAEPParameters{
		HashAlg: cryptoki.CKM_SHA256, MGF: cryptoki.CKG_MGF1_SHA256, Source: cryptoki.CKZ_DATA_SPECIFIED,
	})
	entry, _ := mech.Lookup(m.Type)
	op, err := entry.Start(mech.Decrypt, &m, key)
	if err != nil {
		return nil, err
	}
	defer op.Close()
	whole := func(*byte, []byte) {}
	if _, err := op.Once(encodeOAEP(n, whole), nil); err != nil {
		return nil, fmt.Errorf("what is valid does not open: %w", err)
	}
	open := func(spoil func(first *byte, db []byte)) func() {
		return pool(inputs, func() func() { return once(mech.Decrypt, m, key, encodeOAEP(n, spoil), nil) })
	}
	const separator = bits/8 - sha256.Size - 1 - 16 - 1 // before a message of 16 bytes
	return []timing{{"OAEP", 2, []class{
		{"valid", open(whole)},
		{"first byte of 1", open(func(first *byte, _ []byte) { *first = 1 })},
		{"label's first byte", open(func(_ *byte, db []byte) { db[0] ^= 1 })},
		{"label's last byte", open(func(_ *byte, db []byte) { db[sha256.Size-1] ^= 1 })},
		{"no 1 before the message", open(func(_ *byte, db []byte) { clear(db[separator:]) })},
		{"a 2 in its place", open(func(_ *byte, db []byte) { db[separator] = 2 })},
		{"padding's first byte", open(func(_ *byte, db []byte) { db[sha256.Size] = 2 })},
	}}}, nil
}

// encodeOAEP encrypts 16 bytes by RSAES-OAEP with SHA-256, spoilt before they are masked.
func encodeOAEP(n *big.Int, spoil func(first *byte, db []byte)) []byte {
	size := (n.BitLen() + 7) / 8
	em := make([]byte, size)
	seed, db := em[1:1+sha256.Size], em[1+sha256.Size:]
	rand.Read(seed)
	label := sha256.Sum256(nil)
	copy(db, label[:])
	db[len(db)-17] = 1
	rand.Read(db[len(db)-16:])
	spoil(&em[0], db)
	mask(db, seed)
	mask(seed, db)
	c := new(big.Int).SetBytes(em)
	return c.Exp(c, big.NewInt(exponent), n).FillBytes(em)
}

// mask adds MGF1 with SHA-256 of a seed (RFC 8017, B.2.1).
func mask(out, seed []byte) {
	for i := range out {
		if i%sha256.Size == 0 {
			block := sha256.Sum256(binary.BigEndian.AppendUint32(slices.Clone(seed), uint32(i/sha256.Size)))
			for j := range block[:min(sha256.Size, len(out)-i)] {
				out[i+j] ^= block[j]
			}
		}
	}
}
