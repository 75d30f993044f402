// Package mech holds the cryptographic mechanisms: a file per family and one
// registry, in which a mechanism is one entry. It knows attribute values in and
// out and an opaque Key; it knows no object, session or policy.
//
// It may import cryptoki, internal/secret and cryptographic libraries.
package mech

import (
	"tidelock.dev/tidelock/cryptoki"
)

// Function is what a key is used for; the numbers are the wire's.
type Function uint8

// The functions of docs/wire.md, "Operations".
const (
	Encrypt Function = 1 + iota
	Decrypt
	Digest
	Sign
	Verify
)

// Rule tells how long the output of a one-part operation is.
type Rule struct {
	Kind   RuleKind
	Length uint64
}

// RuleKind is the kind of a Rule; the numbers are the wire's.
type RuleKind uint8

// The rules of docs/wire.md, "Operations".
const (
	RuleAsk RuleKind = iota
	RuleFixed
	RuleLonger
	RuleShorter
	RulePadded
	RuleUnpadded
	RuleAtMost
)

// Mechanism is one entry of the registry.
type Mechanism struct {
	Type cryptoki.MechanismType
	// Flags are those of CK_MECHANISM_INFO: CKF_SIGN, CKF_GENERATE_KEY_PAIR, CKF_EC_...
	Flags cryptoki.Flags
	// KeyTypes are the key types it works on; empty for a digest.
	KeyTypes []cryptoki.KeyType
	// MinKey and MaxKey bound the key size, in the unit that the standard gives for
	// the mechanism (bits for RSA and EC, bytes for AES and HMAC).
	MinKey, MaxKey uint64
	// Shape is the form its parameter must have.
	Shape cryptoki.Shape
	// MultiPart says that Update works.
	MultiPart bool
	// Approved says that the service is inside the FIPS module (FIPS 140-3, IG 2.4.C).
	Approved bool

	// Start begins an operation. The key is nil for a digest. It checks the
	// parameter (CKR_MECHANISM_PARAM_INVALID), the key's size (CKR_KEY_SIZE_RANGE)
	// and that the key has the type (CKR_KEY_TYPE_INCONSISTENT). Nil for mechanisms
	// that only make keys.
	Start func(f Function, m *cryptoki.Mechanism, key Key) (Operation, error)
	// Generate makes the value attributes of a secret key from what the template
	// says. Nil where the mechanism generates none.
	Generate func(m *cryptoki.Mechanism, t cryptoki.Template) (cryptoki.Template, error)
	// GeneratePair makes the value attributes of both halves of a key pair.
	GeneratePair func(m *cryptoki.Mechanism, public, private cryptoki.Template) (pub, priv cryptoki.Template, err error)
}

// Operation is one cryptographic operation under way. It is used by one
// goroutine at a time and holds no lock.
type Operation interface {
	// Rule tells the length of a one-part output.
	Rule() Rule
	// Once executes a one-part operation: data in, output out. For Verify sig is the
	// signature and there is no output. It must leave the operation usable for a
	// second Once with the same arguments, because a caller whose buffer was too
	// small asks again.
	Once(data, sig []byte) ([]byte, error)
	// Update takes the next part and returns what it yields. One-part mechanisms
	// return CKR_FUNCTION_NOT_SUPPORTED... they are never asked: see MultiPart.
	Update(part []byte) ([]byte, error)
	// UpdateLength tells how long the output of Update for a part of n bytes will be.
	UpdateLength(n int) int
	// Final ends a multi-part operation. sig is the signature for Verify. Like Once
	// it may be called again with the same arguments.
	Final(sig []byte) ([]byte, error)
	// Close wipes what the operation holds.
	Close()
}

// Key is a key in the form that its mechanisms want: parsed once, kept by the
// caller with the object, safe for concurrent use.
type Key interface {
	// Type is the CKK_ of the key.
	Type() cryptoki.KeyType
	// Size is in the unit of the key type's mechanisms (bits for RSA and EC, bytes
	// for secret keys).
	Size() uint64
}

// ParseKey makes a Key from an object's attributes. get returns an attribute's
// value, secret ones included, or nil. It checks that the parts belong together
// (CKR_ATTRIBUTE_VALUE_INVALID, CKR_TEMPLATE_INCOMPLETE) as far as that is cheap.
func ParseKey(class cryptoki.ObjectClass, typ cryptoki.KeyType, get func(cryptoki.AttributeType) []byte) (Key, error)
