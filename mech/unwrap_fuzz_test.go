package mech

import (
	"bytes"
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// FuzzUnwrap gives every mechanism that unwraps any bytes: they are refused with a code
// that tells nothing, or what comes out is a key that a mechanism without
// randomness wraps to the same bytes again.
func FuzzUnwrap(f *testing.F) {
	uses := wrapUses(f)
	for i, u := range uses {
		entry, _ := Lookup(u.mechanism.Type)
		for _, n := range []int{1, 24, 40} {
			wrapped, err := entry.Wrap(&u.mechanism, u.keys.public, make([]byte, u.fit(n)))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), wrapped)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, wrapped []byte) {
		u := uses[int(which)%len(uses)]
		entry, _ := Lookup(u.mechanism.Type)
		given := slices.Clone(wrapped)
		plain, err := entry.Unwrap(&u.mechanism, u.keys.private, given)
		if !bytes.Equal(given, wrapped) {
			t.Errorf("%s: the wrapped key is changed", u.name)
		}
		if err != nil {
			if code := cryptoki.Code(err); code != cryptoki.CKR_WRAPPED_KEY_INVALID && code != cryptoki.CKR_WRAPPED_KEY_LEN_RANGE {
				t.Errorf("%s: %v", u.name, err)
			}
			if plain != nil {
				t.Errorf("%s: %d bytes beside an error", u.name, len(plain))
			}
			return
		}
		again, err := entry.Wrap(&u.mechanism, u.keys.public, plain)
		if err != nil {
			t.Fatalf("%s: %d bytes unwrapped, which do not wrap: %v", u.name, len(plain), err)
		}
		if slices.Contains(entry.KeyTypes, cryptoki.CKK_AES) && !bytes.Equal(again, wrapped) {
			t.Errorf("%s: %x becomes %x", u.name, wrapped, again)
		}
	})
}
