package audit

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"strings"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/seal"
)

// PublicKey verifies the checkpoints of one HSM: Ed25519 (FIPS 186-5, 7), whose
// signatures need no random numbers.
type PublicKey [ed25519.PublicKeySize]byte

const keyPrefix = "ed25519:"

// String is how the first entry's detail and a checkpoint name the key.
func (k PublicKey) String() string { return keyPrefix + hex.EncodeToString(k[:]) }

// parsePublicKey reads what String returned.
func parsePublicKey(s string) (k PublicKey, err error) {
	digits, ok := strings.CutPrefix(s, keyPrefix)
	if !ok {
		return k, fmt.Errorf("a public key begins with %s", keyPrefix)
	}
	return k, parseHex(k[:], digits, "public key")
}

// parseHex reads exactly len(dst) bytes.
func parseHex(dst []byte, digits, what string) error {
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != len(dst) {
		return fmt.Errorf("a %s is %d hexadecimal bytes", what, len(dst))
	}
	copy(dst, b)
	return nil
}

func (l *Log) signingContext() seal.Context {
	return seal.NewContext("audit signing key").String(l.serial)
}

// createSigningKey makes the key that signs checkpoints and stores its seed sealed.
func (l *Log) createSigningKey(w keystore.Writer) (k PublicKey, err error) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return k, err
	}
	defer secret.Wipe(private)
	seed := secret.Take(private.Seed())
	defer seed.Wipe()
	return publicKeyOf(private), w.Put(keystore.TableHSM, keySigningKey, l.sealing.Seal(nil, seed.Expose(), l.signingContext()))
}

// signingKey opens the signing key, which the caller wipes.
func (l *Log) signingKey(r keystore.Reader) (ed25519.PrivateKey, error) {
	sealed, err := r.Get(keystore.TableHSM, keySigningKey)
	if err != nil {
		return nil, err
	}
	seed, err := l.sealing.OpenSecret(sealed, l.signingContext())
	if err != nil {
		return nil, fmt.Errorf("audit: the signing key: %w", err)
	}
	defer seed.Wipe()
	if seed.Len() != ed25519.SeedSize {
		return nil, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "audit: the signing key has %d bytes, not %d", seed.Len(), ed25519.SeedSize)
	}
	return ed25519.NewKeyFromSeed(seed.Expose()), nil
}

// publicKey is the public part of the signing key.
func (l *Log) publicKey(r keystore.Reader) (PublicKey, error) {
	private, err := l.signingKey(r)
	if err != nil {
		return PublicKey{}, err
	}
	defer secret.Wipe(private)
	return publicKeyOf(private), nil
}

func publicKeyOf(private ed25519.PrivateKey) (k PublicKey) {
	copy(k[:], private.Public().(ed25519.PublicKey))
	return k
}
