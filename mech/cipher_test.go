package mech

import (
	"bytes"
	"crypto/rand"
	mathrand "math/rand/v2"
	"testing"

	"pgregory.net/rapid"
	"tidelock.dev/tidelock/cryptoki"
)

// fits tells whether a one-part output of length n agrees with a rule for an input
// of length in.
func (r Rule) fits(in, n int) bool {
	length := int(r.Length)
	switch r.Kind {
	case RuleFixed:
		return n == length
	case RuleLonger:
		return n == in+length
	case RuleShorter:
		return n == max(0, in-length)
	case RulePadded:
		return n == (in/length+1)*length
	case RuleUnpadded:
		return n <= in && n >= in-length
	case RuleAtMost:
		return n <= length
	case RuleAsk:
		return true
	}
	return false
}

func TestEncryptDecrypt(t *testing.T) {
	for _, u := range cipherUses(t) {
		t.Run(u.name, func(t *testing.T) {
			encrypting, decrypting := start(t, Encrypt, u.mechanism, u.keys.public), start(t, Decrypt, u.mechanism, u.keys.private)
			for _, n := range []int{0, 1, 15, 16, 17, 32, 100, 1000} {
				n = u.fit(n)
				data := make([]byte, n)
				rand.Read(data)
				for range 2 {
					sealed, err := encrypting.Once(data, nil)
					if err != nil {
						t.Fatal(err)
					}
					if !encrypting.Rule().fits(n, len(sealed)) {
						t.Errorf("%d bytes gave %d, the rule is %v", n, len(sealed), encrypting.Rule())
					}
					for range 2 {
						got, err := decrypting.Once(sealed, nil)
						if err != nil {
							t.Fatal(err)
						}
						if !bytes.Equal(got, data) {
							t.Errorf("%d bytes do not come back", n)
						}
						if !decrypting.Rule().fits(len(sealed), len(got)) {
							t.Errorf("%d bytes gave %d, the rule is %v", len(sealed), len(got), decrypting.Rule())
						}
					}
				}
			}
		})
	}
}

// TestChangedCiphertext flips bits of what authenticates.
func TestChangedCiphertext(t *testing.T) {
	for _, u := range cipherUses(t) {
		if !u.authenticates() {
			continue
		}
		t.Run(u.name, func(t *testing.T) {
			data := make([]byte, u.fit(max(1, u.length)))
			sealed := once(t, Encrypt, u.mechanism, u.keys.public, data, nil)
			op := start(t, Decrypt, u.mechanism, u.keys.private)
			for range 8 {
				out, err := op.Once(flipped(sealed, mathrand.IntN(8*len(sealed))), nil)
				wantCode(t, err, cryptoki.CKR_ENCRYPTED_DATA_INVALID)
				if out != nil {
					t.Errorf("%d bytes of plaintext beside an error", len(out))
				}
			}
			for i := range op.Rule().Length {
				if op.Rule().Kind != RuleShorter {
					break
				}
				_, err := op.Once(sealed[:i], nil)
				wantCode(t, err, cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE)
			}
		})
	}
}

func TestOAEPLengths(t *testing.T) {
	for _, u := range cipherUses(t) {
		if u.mechanism.Type != cryptoki.CKM_RSA_PKCS_OAEP {
			continue
		}
		t.Run(u.name, func(t *testing.T) {
			decrypting := start(t, Decrypt, u.mechanism, u.keys.private)
			most := int(decrypting.Rule().Length)
			encrypting := start(t, Encrypt, u.mechanism, u.keys.public)
			sealed, err := encrypting.Once(make([]byte, most), nil)
			if err != nil {
				t.Fatalf("%d bytes: %v", most, err)
			}
			_, err = encrypting.Once(make([]byte, most+1), nil)
			wantCode(t, err, cryptoki.CKR_DATA_LEN_RANGE)
			for _, data := range [][]byte{nil, sealed[1:], append(bytes.Clone(sealed), 0)} {
				_, err = decrypting.Once(data, nil)
				wantCode(t, err, cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE)
			}
			// A number that is not below the modulus.
			_, err = decrypting.Once(bytes.Repeat([]byte{0xff}, len(sealed)), nil)
			wantCode(t, err, cryptoki.CKR_ENCRYPTED_DATA_INVALID)
		})
	}
}

// TestCBCPadding decrypts every kind of last block: what the padding says decides,
// and only PKCS #7 padding is taken.
func TestCBCPadding(t *testing.T) {
	key := secretKeyOf(t, cryptoki.CKK_AES, make([]byte, 16))
	m := cryptoki.NewBytes(cryptoki.CKM_AES_CBC_PAD, make([]byte, 16))
	// Encrypting a block gives it and a block of padding; the first alone is then a
	// ciphertext with whatever padding the block ends in.
	check := func(block []byte, wantLength int, wantCodeIs cryptoki.RV) {
		t.Helper()
		sealed := once(t, Encrypt, m, key, block, nil)[:len(block)]
		got, err := start(t, Decrypt, m, key).Once(sealed, nil)
		wantCode(t, err, wantCodeIs)
		if err == nil && !bytes.Equal(got, block[:wantLength]) {
			t.Errorf("%x gave %x", block, got)
		}
	}
	for last := range 256 {
		block := bytes.Repeat([]byte{byte(last)}, 32)
		if last >= 1 && last <= 16 {
			check(block, 32-last, cryptoki.CKR_OK)
			for wrong := 1; wrong < last; wrong++ {
				changed := bytes.Clone(block)
				changed[31-wrong] ^= 0x40
				check(changed, 0, cryptoki.CKR_ENCRYPTED_DATA_INVALID)
			}
			if last < 16 {
				changed := bytes.Clone(block)
				changed[31-last] ^= 0x40
				check(changed, 32-last, cryptoki.CKR_OK)
			}
		} else {
			check(block, 0, cryptoki.CKR_ENCRYPTED_DATA_INVALID)
		}
	}
	for _, n := range []int{0, 1, 15, 17, 31} {
		_, err := start(t, Decrypt, m, key).Once(make([]byte, n), nil)
		wantCode(t, err, cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE)
	}
}

// TestBlocksLeftOver ends operations on whole blocks within a block.
func TestBlocksLeftOver(t *testing.T) {
	key := aesSecret().secret(t, cryptoki.CKK_AES).private
	for _, m := range []cryptoki.Mechanism{cryptoki.New(cryptoki.CKM_AES_ECB), cryptoki.NewBytes(cryptoki.CKM_AES_CBC, make([]byte, 16))} {
		for f, code := range map[Function]cryptoki.RV{Encrypt: cryptoki.CKR_DATA_LEN_RANGE, Decrypt: cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE} {
			op := start(t, f, m, key)
			_, err := op.Once(make([]byte, 17), nil)
			wantCode(t, err, code)
			for _, n := range []int{5, 11, 1} {
				if _, err := op.Update(make([]byte, n)); err != nil {
					t.Error(err)
				}
			}
			_, err = op.Final(nil)
			wantCode(t, err, code)
		}
	}
}

// inParts gives an operation data in random parts and checks UpdateLength and that
// Final can be repeated.
func inParts(t *rapid.T, op Operation, data, sig []byte) ([]byte, error) {
	var out []byte
	for len(data) > 0 {
		n := rapid.IntRange(0, len(data)).Draw(t, "part")
		if rapid.Bool().Draw(t, "small") {
			n = min(n, 17)
		}
		want := op.UpdateLength(n)
		got, err := op.Update(data[:n])
		if err != nil {
			return nil, err
		}
		if len(got) != want {
			t.Fatalf("Update gave %d bytes, UpdateLength said %d", len(got), want)
		}
		out, data = append(out, got...), data[n:]
	}
	first, err := op.Final(sig)
	again, errAgain := op.Final(sig)
	if cryptoki.Code(err) != cryptoki.Code(errAgain) || len(first) != len(again) {
		t.Fatalf("Final gave %x, %v and then %x, %v", first, err, again, errAgain)
	}
	return append(out, again...), err
}

func TestCipherInParts(t *testing.T) {
	for _, u := range cipherUses(t) {
		if entry, _ := Lookup(u.mechanism.Type); !entry.MultiPart {
			continue
		}
		t.Run(u.name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				data := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(r, "data")
				data = append(data, make([]byte, u.fit(len(data))-len(data))...)
				whole := once(t, Encrypt, u.mechanism, u.keys.public, data, nil)
				op, err := tryStart(Encrypt, u.mechanism, u.keys.public)
				if err != nil {
					r.Fatal(err)
				}
				defer op.Close()
				sealed, err := inParts(r, op, data, nil)
				if err != nil || !bytes.Equal(sealed, whole) {
					r.Fatalf("in parts %x, %v; at once %x", sealed, err, whole)
				}
				op, err = tryStart(Decrypt, u.mechanism, u.keys.private)
				if err != nil {
					r.Fatal(err)
				}
				defer op.Close()
				if got, err := inParts(r, op, sealed, nil); err != nil || !bytes.Equal(got, data) {
					r.Fatalf("in parts %x, %v; want %x", got, err, data)
				}
				if len(data) == 0 || !u.authenticates() {
					return
				}
				op, err = tryStart(Decrypt, u.mechanism, u.keys.private)
				if err != nil {
					r.Fatal(err)
				}
				defer op.Close()
				bit := rapid.IntRange(0, 8*len(sealed)-1).Draw(r, "bit")
				if got, err := inParts(r, op, flipped(sealed, bit), nil); cryptoki.Code(err) != cryptoki.CKR_ENCRYPTED_DATA_INVALID || len(got) > 0 {
					r.Fatalf("changed ciphertext in parts: %x, %v", got, err)
				}
			})
		})
	}
}

// TestPartsLimit fills the memory that an operation may collect.
func TestPartsLimit(t *testing.T) {
	key := aesSecret().secret(t, cryptoki.CKK_AES).private
	gcm := cryptoki.NewGCM(cryptoki.CKM_AES_GCM, cryptoki.GCMParameters{IV: make([]byte, 12), TagBits: 128})
	for _, c := range []struct {
		function  Function
		mechanism cryptoki.Mechanism
		key       Key
		code      cryptoki.RV
	}{
		{Encrypt, gcm, key, cryptoki.CKR_DATA_LEN_RANGE},
		{Decrypt, gcm, key, cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE},
		{Sign, cryptoki.New(cryptoki.CKM_EDDSA), edwardsPair().pair(t, cryptoki.CKK_EC_EDWARDS).private, cryptoki.CKR_DATA_LEN_RANGE},
	} {
		op := start(t, c.function, c.mechanism, c.key)
		part := make([]byte, maxParts/4)
		for range 4 {
			if _, err := op.Update(part); err != nil {
				t.Fatal(err)
			}
		}
		_, err := op.Update([]byte{0})
		wantCode(t, err, c.code)
	}
}
