package mech

import (
	"bytes"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// FuzzMessage gives AES-GCM any message: it is refused with CKR_MECHANISM_PARAM_INVALID, or
// what is sealed opens again, and not after a change.
func FuzzMessage(f *testing.F) {
	entry, _ := Lookup(cryptoki.CKM_AES_GCM)
	key := aesSecret().secret(f, cryptoki.CKK_AES).private
	f.Add(make([]byte, 12), uint64(0), uint64(cryptoki.CKG_GENERATE), uint64(128), []byte("aad"), []byte("data"))
	f.Add(make([]byte, 20), uint64(61), uint64(cryptoki.CKG_GENERATE_RANDOM), uint64(96), []byte{}, []byte{})
	f.Add([]byte{1}, uint64(0), uint64(cryptoki.CKG_NO_GENERATE), uint64(104), []byte{}, []byte("x"))
	f.Fuzz(func(t *testing.T, iv []byte, fixed, generator, tagBits uint64, aad, data []byte) {
		m := Message{IV: iv, FixedBits: fixed, Generator: generator, TagBits: tagBits, AAD: aad, Data: data}
		sealed, err := entry.Message(Encrypt, &m, key)
		if err != nil {
			wantCode(t, err, cryptoki.CKR_MECHANISM_PARAM_INVALID)
			return
		}
		back := Message{IV: sealed.IV, TagBits: tagBits, AAD: aad, Data: sealed.Output, Tag: sealed.Tag}
		opened, err := entry.Message(Decrypt, &back, key)
		if err != nil || !bytes.Equal(opened.Output, data) {
			t.Fatalf("%x opens to %x, %v", data, opened.Output, err)
		}
		back.Tag = flipped(sealed.Tag, 0)
		_, err = entry.Message(Decrypt, &back, key)
		wantCode(t, err, cryptoki.CKR_AEAD_DECRYPT_FAILED)
	})
}
