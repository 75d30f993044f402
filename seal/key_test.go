package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
)

// counting is a key with the bytes 0, 1, 2, ...
func counting() secret.Bytes {
	s := secret.New(keySize)
	for i := range s.Expose() {
		s.Expose()[i] = byte(i)
	}
	return s
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKeyRoundTrip(t *testing.T) {
	k := newKey(counting())
	c := NewContext("test").Uint64(1)
	for _, n := range []int{0, 1, 15, 16, 17, 1000} {
		plaintext := bytes.Repeat([]byte{7}, n)
		record := k.Seal([]byte("before"), plaintext, c)
		if !bytes.HasPrefix(record, []byte("before")) || len(record) != len("before")+n+Overhead {
			t.Fatalf("a plaintext of %d bytes gives %d bytes", n, len(record))
		}
		record = record[len("before"):]
		got, err := k.Open([]byte("front"), record, c)
		if err != nil || !bytes.Equal(got, append([]byte("front"), plaintext...)) {
			t.Errorf("%d bytes open to %d bytes, %v", n, len(got), err)
		}
		s, err := k.OpenSecret(record, c)
		if err != nil || !bytes.Equal(s.Expose(), plaintext) {
			t.Errorf("%d bytes open to a secret of %d bytes, %v", n, s.Len(), err)
		}
		if again := k.Seal(nil, plaintext, c); bytes.Equal(again, record) {
			t.Error("two records of one plaintext are equal")
		}
	}
}

// The record is what its description says: plain AES-256-GCM opens it.
func TestRecordFormat(t *testing.T) {
	c := NewContext("test").Uint64(1)
	record := newKey(counting()).Seal(nil, []byte("plaintext"), c)
	block, err := aes.NewCipher(counting().Expose())
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	aad := unhex(t, "0000000474657374"+"000000080000000000000001")
	got, err := gcm.Open(nil, record[1:13], record[13:], aad)
	if err != nil || string(got) != "plaintext" || record[0] != 1 {
		t.Errorf("AES-256-GCM gives %q, %v", got, err)
	}
}

func TestKeyRefuses(t *testing.T) {
	k := newKey(counting())
	c := NewContext("test").Uint64(1)
	record := k.Seal(nil, []byte("plaintext"), c)
	refuse := func(name string, k *Key, record []byte, c Context) {
		t.Helper()
		if got, err := k.Open(nil, record, c); err == nil || got != nil || cryptoki.Code(err) != cryptoki.CKR_DEVICE_ERROR {
			t.Errorf("%s: gives %q, %v", name, got, err)
		}
		if got, err := k.OpenSecret(record, c); err == nil || got.Len() != 0 {
			t.Errorf("%s: gives a secret of %d bytes, %v", name, got.Len(), err)
		}
	}
	for bit := range 8 * len(record) {
		changed := bytes.Clone(record)
		changed[bit/8] ^= 1 << (bit % 8)
		refuse("a flipped bit", k, changed, c)
	}
	for n := range record {
		refuse("a prefix", k, record[:n], c)
	}
	refuse("a longer record", k, append(bytes.Clone(record), 0), c)
	refuse("another label", k, record, NewContext("Test").Uint64(1))
	refuse("another field", k, record, NewContext("test").Uint64(2))
	refuse("a field more", k, record, c.String(""))
	refuse("another key", newKey(newDerivationKey().raw), record, c)
	if _, err := k.Open(nil, record, c.String("")); !errors.Is(err, ErrSealed) {
		t.Errorf("another context gives %v", err)
	}
}

func TestNewKeyWipes(t *testing.T) {
	raw := counting()
	under := raw.Expose()
	newKey(raw)
	if raw.Len() != 0 || !bytes.Equal(under, make([]byte, keySize)) {
		t.Error("the raw key is still there")
	}
}

func FuzzOpen(f *testing.F) {
	k := newKey(counting())
	c := NewContext("fuzz")
	f.Add(k.Seal(nil, []byte("plaintext"), c))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, record []byte) {
		if got, err := k.Open(nil, record, c); err == nil && len(got) != len(record)-Overhead {
			t.Errorf("%d bytes open to %d", len(record), len(got))
		}
	})
}
