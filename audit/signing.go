package audit

import (
	"crypto/ed25519"
	"encoding/hex"

	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/seal"
)

// createSigningKey makes the key that signs checkpoints and stores it sealed.
// Ed25519 (FIPS 186-5, 7): its signatures need no random numbers.
func (l *Log) createSigningKey(w keystore.Writer) (ed25519.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(private)
	return public, w.Put(keystore.TableHSM, keySigningKey, l.sealing.Seal(nil, private.Seed(), l.signingContext()))
}

func (l *Log) signingContext() seal.Context {
	return seal.NewContext("audit signing key").String(l.serial)
}

// describeKey is how the first entry's detail and a checkpoint name a key.
func describeKey(public ed25519.PublicKey) string { return keyPrefix + hex.EncodeToString(public) }

const keyPrefix = "ed25519:"
