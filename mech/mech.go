// Package mech holds the cryptographic mechanisms: a file per family and one
// registry, in which a mechanism is one entry. It knows attribute values in and
// out and an opaque Key; it knows no object, session or policy.
//
// The primitives are those of Go's FIPS 140-3 module, but for the curve secp256k1 and, where
// it is installed, RSA by OpenSSL. They work with
// GODEBUG=fips140=on, not with fips140=only: that one also refuses what PKCS#11
// callers may ask for, such as AES-GCM with an IV of their own.
//
// It may import cryptoki, internal/secret, internal/secp256k1 and cryptographic libraries.
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
	SignRecover
	VerifyRecover
	// A message in parts, which is an operation beside the others.
	MessageEncrypt Function = 14
	MessageDecrypt Function = 15
)

// Rule tells how long the output of a one-part operation is.
type Rule struct {
	Kind   RuleKind
	Length uint64 // in bytes
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

// Mechanism is one entry of the registry. Entries are shared and never change.
type Mechanism struct {
	Type cryptoki.MechanismType
	// Flags are those of CK_MECHANISM_INFO: CKF_SIGN, CKF_GENERATE_KEY_PAIR, CKF_EC_F_P.
	Flags cryptoki.Flags
	// KeyTypes are the key types it works on; empty for a digest.
	KeyTypes []cryptoki.KeyType
	// MinKey and MaxKey bound the key size, in the unit that the standard gives for
	// the mechanism (bits for RSA and EC, bytes for AES and HMAC).
	MinKey, MaxKey uint64
	// Shape is the form of its parameter. CKM_EDDSA may also come without one
	// (PKCS#11 3.2, 6.3).
	Shape cryptoki.Shape
	// MultiPart says that Update and Final work.
	MultiPart bool
	// Collects says that Update keeps the parts until Final, up to 16 MiB, because the
	// mechanism cannot work piecewise: a caller who bounds memory counts them.
	Collects bool
	// Approved says that the service can be an approved one of the FIPS 140-3 module
	// below (IG 2.4.C). What a caller chooses may still take a single use out of it:
	// an HMAC key below 112 bits, a GCM encryption under the caller's own IV (SP
	// 800-38D, 8.2; IG C.H), an OAEP with SHA-1, an Ed25519 with a context.
	Approved bool

	// Start begins an operation. The key is nil for a digest. It answers
	// CKR_MECHANISM_INVALID for a function that the mechanism does not have,
	// CKR_KEY_TYPE_INCONSISTENT for a key of another type or without the half that
	// the function needs, CKR_KEY_SIZE_RANGE, and CKR_MECHANISM_PARAM_INVALID. What it
	// keeps of m it copies. Nil for mechanisms that only make keys.
	Start func(f Function, m *cryptoki.Mechanism, key Key) (Operation, error)
	// Message encrypts or decrypts one message of C_EncryptMessage or C_DecryptMessage, whose
	// parameter comes with it. It answers as Start, and CKR_AEAD_DECRYPT_FAILED. Nil where the
	// mechanism has no messages.
	Message func(f Function, m *Message, key Key) (Sealed, error)
	// MessageBegin begins a message of C_EncryptMessageBegin or C_DecryptMessageBegin, without
	// Data and Tag, and returns the IV that an encryption uses, which is the caller's. It answers as
	// Message. Nil where that is.
	MessageBegin func(f Function, m *Message, key Key) (MessageParts, []byte, error)
	// Generate makes the value attributes of a secret key from what the template
	// says: CKR_TEMPLATE_INCOMPLETE, CKR_ATTRIBUTE_VALUE_INVALID. The caller owns the
	// result and wipes it. Nil where the mechanism generates none.
	Generate func(m *cryptoki.Mechanism, t cryptoki.Template) (cryptoki.Template, error)
	// GeneratePair makes the value attributes of both halves of a key pair, with the
	// errors of Generate and CKR_CURVE_NOT_SUPPORTED.
	GeneratePair func(m *cryptoki.Mechanism, public, private cryptoki.Template) (pub, priv cryptoki.Template, err error)
	// Wrap encrypts a key: the value of a secret key, or what EncodePrivate makes of a
	// private one. The caller owns the result. It answers
	// CKR_WRAPPING_KEY_TYPE_INCONSISTENT, CKR_WRAPPING_KEY_SIZE_RANGE,
	// CKR_MECHANISM_PARAM_INVALID, and CKR_KEY_SIZE_RANGE for a length of plain that the
	// mechanism cannot take. Nil where the mechanism does not wrap.
	Wrap func(m *cryptoki.Mechanism, wrapping Key, plain []byte) ([]byte, error)
	// Unwrap undoes Wrap. The caller owns the result and wipes it. It answers
	// CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, CKR_UNWRAPPING_KEY_SIZE_RANGE,
	// CKR_MECHANISM_PARAM_INVALID, CKR_WRAPPED_KEY_LEN_RANGE for a length that Wrap never
	// gives, and CKR_WRAPPED_KEY_INVALID for every other failure.
	Unwrap func(m *cryptoki.Mechanism, unwrapping Key, wrapped []byte) ([]byte, error)
	// Derive makes the value of a secret key of length bytes from a base key; 0 stands
	// for the mechanism's natural length. The caller owns the result and wipes it. It
	// answers CKR_KEY_TYPE_INCONSISTENT, CKR_MECHANISM_PARAM_INVALID, and
	// CKR_KEY_SIZE_RANGE for a base key or a length that the mechanism does not take.
	Derive func(m *cryptoki.Mechanism, base Key, length int) ([]byte, error)
}

// Operation is one cryptographic operation under way. It is used by one
// goroutine at a time and holds no lock. It is used either through Once or
// through Update and Final.
type Operation interface {
	// Rule tells the length of a one-part output; RuleFixed 0 for Verify.
	Rule() Rule
	// Once executes a one-part operation: data in, output out. For Verify sig is the
	// signature and there is no output; for VerifyRecover the signature is data. The operation stays usable for a second Once
	// with the same arguments, because a caller whose buffer was too small asks
	// again. data and sig are neither kept nor changed; the output is the caller's.
	Once(data, sig []byte) ([]byte, error)
	// Update takes the next part and returns what it yields, which is the caller's.
	// It answers CKR_FUNCTION_NOT_SUPPORTED where MultiPart is false.
	Update(part []byte) ([]byte, error)
	// UpdateLength tells how long the output of Update for a part of n bytes will be.
	UpdateLength(n int) int
	// Final ends a multi-part operation. sig is the signature for Verify. Like Once
	// it may be called again with the same arguments.
	Final(sig []byte) ([]byte, error)
	// Close wipes what the operation holds; nothing may be called after it.
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
