package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"

	"tidelock.dev/tidelock/internal/secret"
)

// A record is a version byte, then what AES-256-GCM with a random nonce gives: 12
// bytes of nonce, the ciphertext, 16 bytes of tag.
const (
	recordVersion = 1
	nonceSize     = 12
	tagSize       = 16

	// Overhead is the number of bytes that a record is longer than its plaintext.
	Overhead = 1 + nonceSize + tagSize
)

// keySize is the size of every key of this package, in bytes.
const keySize = 32

// Key seals records. It is safe for concurrent use.
//
// The nonce is 96 random bits, drawn inside Go's FIPS module (IG C.H, scenario 2).
// SP 800-38D, 8.3, allows 2^32 records under one key then: enough for what changes
// now and then, but at a thousand records a second it lasts 49 days. A purpose that
// goes on without limit takes a key for each subject, whose number goes into the
// purpose.
type Key struct{ aead cipher.AEAD }

// newKey makes a Key and wipes raw, which has keySize bytes. The key schedule stays
// in memory of Go's AES.
func newKey(raw secret.Bytes) *Key {
	defer raw.Wipe()
	block, err := aes.NewCipher(raw.Expose())
	if err == nil {
		var aead cipher.AEAD
		if aead, err = cipher.NewGCMWithRandomNonce(block); err == nil {
			return &Key{aead}
		}
	}
	panic(fmt.Sprintf("seal: AES-256-GCM: %v", err)) // only a key of another size does that
}

// Seal appends the record of plaintext in context c to dst, which must not overlap
// plaintext.
func (k *Key) Seal(dst, plaintext []byte, c Context) []byte {
	return k.aead.Seal(append(dst, recordVersion), nil, plaintext, c.encoded)
}

// Open appends the plaintext of a record to dst, which must not overlap record. The
// caller owns the result. The error is ErrSealed, or says what is wrong with the
// record's form.
func (k *Key) Open(dst, record []byte, c Context) ([]byte, error) {
	if len(record) < Overhead {
		return nil, malformed("a record of %d bytes is too short", len(record))
	}
	if record[0] != recordVersion {
		return nil, malformed("a record has version %d, not %d", record[0], recordVersion)
	}
	plaintext, err := k.aead.Open(dst, nil, record[1:], c.encoded)
	if err != nil {
		return nil, ErrSealed
	}
	return plaintext, nil
}

// OpenSecret is Open into a secret of its own.
func (k *Key) OpenSecret(record []byte, c Context) (secret.Bytes, error) {
	s := secret.New(max(0, len(record)-Overhead))
	if _, err := k.Open(s.Expose()[:0], record, c); err != nil {
		s.Wipe()
		return secret.Bytes{}, err
	}
	return s, nil
}
