package seal

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash"

	"tidelock.dev/tidelock/internal/secret"
)

// DerivationKey is a 256-bit key from which others are derived, and which is used
// for nothing else. Each purpose gives an independent key, and Key and MAC of one
// purpose are independent too.
//
// The derivation is HKDF-Expand with SHA-256 (RFC 5869, 2.3; SP 800-56C, 5), whose
// info is an encoded Context.
type DerivationKey struct{ raw secret.Bytes }

func newDerivationKey() DerivationKey {
	raw := secret.New(keySize)
	_, _ = rand.Read(raw.Expose()) // never fails: crypto/rand ends the program instead
	return DerivationKey{raw}
}

// Key derives the key that seals for a purpose. That costs about a microsecond or
// two: a caller with many records keeps it.
func (d DerivationKey) Key(purpose Context) *Key {
	return newKey(d.derive("seal", purpose))
}

// MAC derives the key that authenticates for a purpose.
func (d DerivationKey) MAC(purpose Context) *MAC {
	return &MAC{d.derive("mac", purpose)}
}

// Wipe forgets the key. Keys that were derived from it live on.
func (d DerivationKey) Wipe() { d.raw.Wipe() }

func (d DerivationKey) derive(kind string, purpose Context) secret.Bytes {
	info := NewContext("tidelock 1 " + kind).Bytes(purpose.encoded)
	// An expansion of no key would be a key that everybody knows.
	if d.raw.Len() != keySize {
		panic("seal: a derivation from a key that was wiped or never made")
	}
	out, err := hkdf.Expand(sha256.New, d.raw.Expose(), string(info.encoded), keySize)
	if err != nil {
		panic(fmt.Sprintf("seal: HKDF: %v", err)) // only an output of over 8160 bytes does that
	}
	return secret.Take(out)
}

// seal seals this key under another.
func (d DerivationKey) seal(k *Key, c Context) []byte {
	return k.Seal(nil, d.raw.Expose(), c)
}

// openDerivationKey opens what seal sealed.
func openDerivationKey(k *Key, record []byte, c Context) (DerivationKey, error) {
	raw, err := k.OpenSecret(record, c)
	if err != nil {
		return DerivationKey{}, err
	}
	if raw.Len() != keySize {
		defer raw.Wipe()
		return DerivationKey{}, malformed("a sealed key has %d bytes, not %d", raw.Len(), keySize)
	}
	return DerivationKey{raw}, nil
}

// MACSize is the size of a MAC, in bytes.
const MACSize = sha256.Size

// MAC computes HMAC-SHA-256 (FIPS 198-1) over contexts. It is safe for concurrent
// use.
type MAC struct{ raw secret.Bytes }

// Sum is the MAC of a context.
func (m *MAC) Sum(c Context) [MACSize]byte {
	if m.raw.Len() != keySize {
		panic("seal: a MAC under a key that was wiped or never made")
	}
	h := hmac.New(sha256.New, m.raw.Expose())
	h.Write(c.encoded)
	var sum [MACSize]byte
	h.Sum(sum[:0])
	scrub(h)
	return sum
}

// scrub overwrites the end of the message that a used HMAC-SHA-256 still holds, which
// may be of a PIN or a key. Reset would leave it.
func scrub(h hash.Hash) {
	// A whole block, however much the buffer has: what completes the old block is hashed,
	// the rest begins the next one.
	var zeros [sha256.BlockSize]byte
	h.Write(zeros[:])
}

// Verify tells in constant time whether sum is the MAC of a context.
func (m *MAC) Verify(c Context, sum []byte) bool {
	expected := m.Sum(c)
	return hmac.Equal(expected[:], sum)
}

// key makes a sealing key of the MAC of a secret input, and wipes the input. Who
// does not have both the MAC's key and the input does not have the key.
func (m *MAC) key(input Context) *Key {
	sum := m.Sum(input)
	secret.Wipe(input.encoded)
	return newKey(secret.Take(sum[:]))
}

// Wipe forgets the key.
func (m *MAC) Wipe() { m.raw.Wipe() }
