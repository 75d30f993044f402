package mech

import (
	"bytes"
	"crypto/aes"
	"crypto/subtle"
	"math/big"
	"testing"

	"pgregory.net/rapid"
	"tidelock.dev/tidelock/cryptoki"
)

// TestCounter compares AES-CTR with counter blocks made one by one.
func TestCounter(t *testing.T) {
	value := bytes.Repeat([]byte{7}, 16)
	key := secretKeyOf(t, cryptoki.CKK_AES, value)
	block, err := aes.NewCipher(value)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(r *rapid.T) {
		bits := rapid.UintRange(1, 128).Draw(r, "bits")
		first := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(r, "first")
		if rapid.Bool().Draw(r, "carry") { // into the upper half
			copy(first[8:], bytes.Repeat([]byte{0xff}, 8))
		}
		modulus := new(big.Int).Lsh(big.NewInt(1), bits)
		counter := new(big.Int).SetBytes(first)
		fixed := new(big.Int).Sub(counter, new(big.Int).Mod(counter, modulus))
		counter.Mod(counter, modulus)
		if rapid.Bool().Draw(r, "at the end") {
			counter.Sub(modulus, big.NewInt(int64(rapid.IntRange(1, 4).Draw(r, "blocks to the end"))))
			counter.Mod(counter, modulus)
			new(big.Int).Add(fixed, counter).FillBytes(first)
		}
		data := bytes.Repeat([]byte{0x5a}, rapid.IntRange(0, 120).Draw(r, "length"))
		if bits < 4 {
			data = data[:min(len(data), 16<<bits)]
		}
		want := make([]byte, 0, 128)
		for len(want) < len(data) {
			b := new(big.Int).Add(fixed, counter).FillBytes(make([]byte, 16))
			block.Encrypt(b, b)
			want = append(want, b...)
			counter.Add(counter, big.NewInt(1)).Mod(counter, modulus)
		}
		want = want[:len(data)]
		subtle.XORBytes(want, want, data)

		op, err := tryStart(Encrypt, counterMode(uint64(bits), first), key)
		if err != nil {
			r.Fatal(err)
		}
		defer op.Close()
		if got, err := op.Once(data, nil); err != nil || !bytes.Equal(got, want) {
			r.Fatalf("%x, %v; want %x", got, err, want)
		}
		if got, err := inParts(r, op, data, nil); err != nil || !bytes.Equal(got, want) {
			r.Fatalf("in parts %x, %v; want %x", got, err, want)
		}
	})
}

// TestCounterWraps has counters of each length that are at their end: the bits before
// them stay.
func TestCounterWraps(t *testing.T) {
	value := bytes.Repeat([]byte{7}, 16)
	key := secretKeyOf(t, cryptoki.CKK_AES, value)
	for bits := range 128 {
		bits := uint64(bits + 1)
		last := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1)) // all ones
		first := new(big.Int).Rsh(last, uint(bits))
		first.Lsh(first, uint(bits)) // the counter after its end
		op := start(t, Encrypt, counterMode(bits, last.FillBytes(make([]byte, 16))), key)
		got, err := op.Once(make([]byte, 32), nil)
		if err != nil {
			t.Fatal(err)
		}
		want := once(t, Encrypt, cryptoki.New(cryptoki.CKM_AES_ECB), key,
			append(last.FillBytes(make([]byte, 16)), first.FillBytes(make([]byte, 16))...), nil)
		if !bytes.Equal(got, want) {
			t.Errorf("%d bits: %x, want %x", bits, got, want)
		}
	}
}

// TestCounterEnds encrypts until a block would come again.
func TestCounterEnds(t *testing.T) {
	key := aesSecret().secret(t, cryptoki.CKK_AES).private
	for f, code := range map[Function]cryptoki.RV{Encrypt: cryptoki.CKR_DATA_LEN_RANGE, Decrypt: cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE} {
		op := start(t, f, counterMode(3, bytes.Repeat([]byte{0xfe}, 16)), key)
		if _, err := op.Once(make([]byte, 128), nil); err != nil {
			t.Error(err)
		}
		_, err := op.Once(make([]byte, 129), nil)
		wantCode(t, err, code)
		for _, n := range []int{100, 28, 0} {
			if _, err := op.Update(make([]byte, n)); err != nil {
				t.Error(err)
			}
		}
		_, err = op.Update(make([]byte, 1))
		wantCode(t, err, code)
	}
}
