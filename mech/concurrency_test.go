package mech

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	mathrand "math/rand/v2"
	"sync"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// TestConcurrentUse shares keys between goroutines, as sessions share an object.
// The race detector looks on.
func TestConcurrentUse(t *testing.T) {
	uses := append(signatureUses(t), cipherUses(t)...)
	var wg sync.WaitGroup
	for _, u := range uses {
		entry, _ := Lookup(u.mechanism.Type)
		forward, back := Sign, Verify
		first, second := u.keys.private, u.keys.public
		if entry.Flags&cryptoki.CKF_SIGN == 0 {
			forward, back = Encrypt, Decrypt
			first, second = second, first
		}
		for range 2 {
			wg.Go(func() {
				data := u.message()
				for range 3 {
					op, err := tryStart(forward, u.mechanism, first)
					if err != nil {
						t.Error(err)
						return
					}
					out, err := op.Once(data, nil)
					if err != nil {
						t.Error(err)
					}
					op.Close()
					op, err = tryStart(back, u.mechanism, second)
					if err != nil {
						t.Error(err)
						return
					}
					if back == Verify {
						_, err = op.Once(data, out)
					} else if out, err = op.Once(out, nil); !bytes.Equal(out, data) {
						t.Errorf("%s: the data does not come back", u.name)
					}
					if err != nil {
						t.Errorf("%s: %v", u.name, err)
					}
					op.Close()
				}
			})
		}
	}
	wg.Wait()
}

// TestHMACStates uses one key with several functions and leaves operations
// half-done: what comes back from the pool is neither of another function nor full
// of other data.
func TestHMACStates(t *testing.T) {
	value := []byte("a key that signs with every function")
	key := secretKeyOf(t, cryptoki.CKK_GENERIC_SECRET, value)
	data := []byte("data")
	for i := range 100 {
		c := []struct {
			m cryptoki.MechanismType
			h crypto.Hash
		}{
			{cryptoki.CKM_SHA224_HMAC, crypto.SHA224}, {cryptoki.CKM_SHA256_HMAC, crypto.SHA256},
			{cryptoki.CKM_SHA384_HMAC, crypto.SHA384}, {cryptoki.CKM_SHA512_HMAC, crypto.SHA512},
		}[mathrand.IntN(4)]
		op, err := tryStart(Sign, cryptoki.New(c.m), key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := op.Update(data); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			want := hmac.New(c.h.New, value)
			want.Write(data)
			if got, err := op.Final(nil); err != nil || !bytes.Equal(got, want.Sum(nil)) {
				t.Errorf("%v: %x, %v", c.m, got, err)
			}
		}
		op.Close()
	}
}
