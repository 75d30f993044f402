package mech

import (
	"bytes"
	"crypto/rand"
	mathrand "math/rand/v2"
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// wrapUses are the uses of mechanisms that wrap.
func wrapUses(t testing.TB) []use {
	t.Helper()
	return slices.DeleteFunc(cipherUses(t), func(u use) bool {
		entry, _ := Lookup(u.mechanism.Type)
		return entry.Wrap == nil
	})
}

func TestWrapUnwrap(t *testing.T) {
	for _, u := range wrapUses(t) {
		t.Run(u.name, func(t *testing.T) {
			entry, _ := Lookup(u.mechanism.Type)
			for _, n := range []int{1, 16, 20, 24, 32, 48, 121, 1000} {
				n = u.fit(n)
				plain := make([]byte, n)
				rand.Read(plain)
				before := bytes.Clone(plain)
				wrapped, err := entry.Wrap(&u.mechanism, u.keys.public, plain)
				if err != nil {
					t.Fatalf("%d bytes: %v", n, err)
				}
				got, err := entry.Unwrap(&u.mechanism, u.keys.private, wrapped)
				if err != nil || !bytes.Equal(got, before) {
					t.Errorf("%d bytes: %x, %v", n, got, err)
				}
				if !bytes.Equal(plain, before) || len(got) > 0 && &got[0] == &plain[0] {
					t.Errorf("%d bytes: the key is changed or given away", n)
				}
				if !u.authenticates() {
					continue
				}
				for range 8 {
					got, err := entry.Unwrap(&u.mechanism, u.keys.private, flipped(wrapped, mathrand.IntN(8*len(wrapped))))
					wantCode(t, err, cryptoki.CKR_WRAPPED_KEY_INVALID)
					if got != nil {
						t.Errorf("%d bytes beside an error", len(got))
					}
				}
			}
		})
	}
}

// TestWrapRefuses gives each mechanism keys and lengths that it does not take.
func TestWrapRefuses(t *testing.T) {
	other := genericKey().secret(t, cryptoki.CKK_GENERIC_SECRET).private
	for _, u := range wrapUses(t) {
		t.Run(u.name, func(t *testing.T) {
			entry, _ := Lookup(u.mechanism.Type)
			plain := make([]byte, u.fit(16))
			_, err := entry.Wrap(&u.mechanism, other, plain)
			wantCode(t, err, cryptoki.CKR_WRAPPING_KEY_TYPE_INCONSISTENT)
			_, err = entry.Unwrap(&u.mechanism, other, plain)
			wantCode(t, err, cryptoki.CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT)
			_, err = entry.Wrap(&u.mechanism, nil, plain)
			wantCode(t, err, cryptoki.CKR_WRAPPING_KEY_TYPE_INCONSISTENT)
			if u.keys.public != u.keys.private {
				_, err = entry.Unwrap(&u.mechanism, u.keys.public, plain)
				wantCode(t, err, cryptoki.CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT)
			}
			malformed := cryptoki.Mechanism{Type: u.mechanism.Type, Shape: cryptoki.ShapeMalformed}
			_, err = entry.Wrap(&malformed, u.keys.public, plain)
			wantCode(t, err, cryptoki.CKR_MECHANISM_PARAM_INVALID)
			_, err = entry.Unwrap(&malformed, u.keys.private, plain)
			wantCode(t, err, cryptoki.CKR_MECHANISM_PARAM_INVALID)
			if u.unit > 0 {
				_, err = entry.Wrap(&u.mechanism, u.keys.public, make([]byte, u.fit(16)+1))
				wantCode(t, err, cryptoki.CKR_KEY_SIZE_RANGE)
			}
			if u.least > 0 {
				_, err = entry.Wrap(&u.mechanism, u.keys.public, make([]byte, u.least-max(1, u.unit)))
				wantCode(t, err, cryptoki.CKR_KEY_SIZE_RANGE)
			}
			if u.length > 0 {
				most := int(start(t, Decrypt, u.mechanism, u.keys.private).Rule().Length)
				_, err = entry.Wrap(&u.mechanism, u.keys.public, make([]byte, most+1))
				wantCode(t, err, cryptoki.CKR_KEY_SIZE_RANGE)
			}
			_, err = entry.Unwrap(&u.mechanism, u.keys.private, make([]byte, 7))
			wantCode(t, err, cryptoki.CKR_WRAPPED_KEY_LEN_RANGE)
		})
	}
}

// TestWrapKeySize checks the codes for keys beyond the bounds of an entry.
func TestWrapKeySize(t *testing.T) {
	var done bool
	do := func(*cryptoki.Mechanism, *macKey, []byte) ([]byte, error) {
		done = true
		return nil, nil
	}
	entry := derives(wraps(Mechanism{
		KeyTypes: []cryptoki.KeyType{cryptoki.CKK_GENERIC_SECRET}, MinKey: 4, MaxKey: 6,
	}, do, do), func(*cryptoki.Mechanism, *macKey, int) ([]byte, error) {
		done = true
		return nil, nil
	})
	if entry.Flags != cryptoki.CKF_WRAP|cryptoki.CKF_UNWRAP|cryptoki.CKF_DERIVE {
		t.Errorf("flags %#x", uint64(entry.Flags))
	}
	for _, n := range []int{3, 4, 6, 7} {
		key := secretKeyOf(t, cryptoki.CKK_GENERIC_SECRET, make([]byte, n))
		m := cryptoki.New(entry.Type)
		for code, call := range map[cryptoki.RV]func() error{
			cryptoki.CKR_WRAPPING_KEY_SIZE_RANGE:   func() error { _, err := entry.Wrap(&m, key, nil); return err },
			cryptoki.CKR_UNWRAPPING_KEY_SIZE_RANGE: func() error { _, err := entry.Unwrap(&m, key, nil); return err },
			cryptoki.CKR_KEY_SIZE_RANGE:            func() error { _, err := entry.Derive(&m, key, 0); return err },
		} {
			done = false
			good := n == 4 || n == 6
			if good {
				code = cryptoki.CKR_OK
			}
			wantCode(t, call(), code)
			if done != good {
				t.Errorf("%d bytes: done %v", n, done)
			}
		}
	}
}

// TestKWPPadding makes ciphertexts of plaintexts that KWP never gives: each part of
// the check alone refuses one.
func TestKWPPadding(t *testing.T) {
	key := secretKeyOf(t, cryptoki.CKK_AES, make([]byte, 16)).(*aesKey)
	for _, n := range []int{0, 8, 17} {
		_, err := start(t, Decrypt, cryptoki.New(cryptoki.CKM_AES_KEY_WRAP_KWP), key).Once(make([]byte, n), nil)
		wantCode(t, err, cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE)
	}
	open := func(plain string) ([]byte, error) {
		s := unhex(t, plain)
		if len(s) == 16 {
			key.block.Encrypt(s, s)
		} else {
			wrapSemiblocks(key.block, s)
		}
		m := cryptoki.New(cryptoki.CKM_AES_KEY_WRAP_KWP)
		entry, _ := Lookup(m.Type)
		return entry.Unwrap(&m, key, s)
	}
	for _, c := range []struct {
		plain string
		n     int // bytes of the key; 0: refused
	}{
		{"a65959a6 00000001 01 00000000000000", 1},
		{"a65959a6 00000008 0102030405060708", 8},
		{"a65959a6 00000009 0102030405060708 09 00000000000000", 9},
		{"a65959a6 00000010 0102030405060708 0900000000000000", 16},
		{"a65959a7 00000001 01 00000000000000", 0},
		{"a65959a6 00000000 00 00000000000000", 0},
		{"a65959a6 00000009 0102030405060708", 0},
		{"a65959a6 00000001 01 00000000000001", 0},
		{"a65959a6 00000001 01 01000000000000", 0},
		{"a65959a6 00000007 01020304050607 01", 0},
		{"a65959a6 00000008 0102030405060708 0000000000000000", 0},
		{"a65959a6 00000011 0102030405060708 0000000000000000", 0},
		{"a65959a6 80000009 0102030405060708 0900000000000000", 0},
		{"a65959a6 ffffffff 0102030405060708 0900000000000000", 0},
	} {
		got, err := open(c.plain)
		if c.n == 0 {
			wantCode(t, err, cryptoki.CKR_WRAPPED_KEY_INVALID)
		} else if err != nil || len(got) != c.n {
			t.Errorf("%s: %x, %v", c.plain, got, err)
		}
	}
}
