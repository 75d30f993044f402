package wire

import "fmt"

const (
	redactedSecret = "[secret]"
	redactedID     = "[id]"
)

// Secret is a byte string that never prints: a PIN, for example. After Parse it
// refers to the frame's buffer; whoever has used it calls Wipe.
type Secret []byte

// Wipe overwrites the bytes with zeros.
func (s Secret) Wipe() { clear(s) }

// String returns a fixed text.
func (s Secret) String() string { return redactedSecret }

// GoString returns a fixed text.
func (s Secret) GoString() string { return redactedSecret }

// Format writes a fixed text, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redactedSecret) }

// MarshalText gives encoders, JSON's among them, a fixed text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redactedSecret), nil }

// ID is a random identifier. Whoever knows one may act as its owner, be it an
// application or the maker of an object, so it never prints either.
type ID [16]byte

// String returns a fixed text.
func (id ID) String() string { return redactedID }

// GoString returns a fixed text.
func (id ID) GoString() string { return redactedID }

// Format writes a fixed text, whatever the verb.
func (id ID) Format(f fmt.State, _ rune) { fmt.Fprint(f, redactedID) }

// MarshalText gives encoders a fixed text.
func (id ID) MarshalText() ([]byte, error) { return []byte(redactedID), nil }
