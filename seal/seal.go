// Package seal makes the keys that protect everything at rest, and seals with
// them.
//
//	RootKEK   from factors: a key file, a passphrase
//	HSMKey    random, sealed under RootKEK
//	PartPub   random, one for each partition, sealed under HSMKey
//	PartKEK   random, one for each partition, sealed once for each role under what
//	          the role's factors give (Wrap)
//
// Each of them is a DerivationKey: it seals nothing itself, but yields a key for
// each purpose. So no two purposes share a key, and the bound on the messages under
// one key (see Key) counts for each purpose alone.
//
// Sealing is AES-256-GCM by Go's FIPS module. Whatever is sealed is bound to a
// Context that says what it is and where it belongs, so that a record does not open
// in another's place.
//
// It does no I/O. It may import cryptoki, internal/secret, the standard library and
// golang.org/x/crypto/argon2.
package seal

import "tidelock.dev/tidelock/cryptoki"

// Errors of this package. They say nothing about how a secret was wrong.
var (
	// ErrWrongSecret is returned when factors do not open what they should: a wrong PIN
	// or passphrase, another key file, or a record that was changed. Nothing tells these
	// apart.
	ErrWrongSecret = cryptoki.Errorf(cryptoki.CKR_PIN_INCORRECT, "seal: the factors do not open the key")
	// ErrSealed is returned when a record does not open: it was changed, or belongs to
	// another key or context.
	ErrSealed = cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "seal: the record does not open under this key in this context")
)

// malformed is an error of a record that cannot be read.
func malformed(format string, args ...any) error {
	return cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "seal: "+format, args...)
}
