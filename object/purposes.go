package object

import (
	"fmt"

	"tidelock.dev/tidelock/cryptoki"
)

// purposes is a set of what a key may be used for. The bits are stored: a number
// is never reused.
type purposes uint16

const (
	encrypt purposes = 1 << iota
	decrypt
	sign
	signRecover
	verify
	verifyRecover
	wrap
	unwrap
	derive
	encapsulate
	decapsulate

	allPurposes purposes = 1<<iota - 1
	// narrow is no purpose: it says that the key gets none which it never had. A copy
	// and its original could otherwise share out purposes that conflict.
	narrow purposes = 1 << 15
)

// usage pairs a purpose with its attribute.
var usage = [...]struct {
	attribute cryptoki.AttributeType
	purpose   purposes
}{
	{cryptoki.CKA_ENCRYPT, encrypt},
	{cryptoki.CKA_DECRYPT, decrypt},
	{cryptoki.CKA_SIGN, sign},
	{cryptoki.CKA_SIGN_RECOVER, signRecover},
	{cryptoki.CKA_VERIFY, verify},
	{cryptoki.CKA_VERIFY_RECOVER, verifyRecover},
	{cryptoki.CKA_WRAP, wrap},
	{cryptoki.CKA_UNWRAP, unwrap},
	{cryptoki.CKA_DERIVE, derive},
	{cryptoki.CKA_ENCAPSULATE, encapsulate},
	{cryptoki.CKA_DECAPSULATE, decapsulate},
}

// purposeOf is the purpose that an attribute stands for, 0 when it is none.
func purposeOf(t cryptoki.AttributeType) purposes {
	for _, u := range usage {
		if u.attribute == t {
			return u.purpose
		}
	}
	return 0
}

// Had tells whether the key has, or ever had, the purpose that attribute t stands for.
func (o *Object) Had(t cryptoki.AttributeType) bool { return o.granted&purposeOf(t) != 0 }

// purposesOf collects the purposes that are true.
func purposesOf(is func(cryptoki.AttributeType) bool) purposes {
	var p purposes
	for _, u := range usage {
		if is(u.attribute) {
			p |= u.purpose
		}
	}
	return p
}

// conflict is two purposes that one key must not have: together they reveal keys.
type conflict struct {
	of   kind
	a, b purposes
	why  string
}

// conflicts are refused by every partition, whatever its policies.
var conflicts = []conflict{
	{secretKeys, wrap, decrypt, "a key that it wraps could be decrypted"},
	{secretKeys, unwrap, encrypt, "a key of known value could be encrypted and unwrapped"},
	{secretKeys, encrypt, derive, "an encryption could give the derived key"},
	{secretKeys, sign, derive, "a MAC could give the derived key"},
	{privateKeys, unwrap, decrypt, "a wrapped key could be decrypted"},
}

// conflictOf finds two purposes of p that a key of kind k must not have.
func conflictOf(k kind, p purposes) *conflict {
	for i := range conflicts {
		if c := &conflicts[i]; c.of&k != 0 && p&c.a != 0 && p&c.b != 0 {
			return c
		}
	}
	return nil
}

func (c *conflict) Error() string {
	return fmt.Sprintf("a key cannot have both %v and %v: %s", c.a, c.b, c.why)
}

// String names the attribute of a single purpose.
func (p purposes) String() string {
	for _, u := range usage {
		if u.purpose == p {
			return u.attribute.String()
		}
	}
	return fmt.Sprintf("purposes %#x", uint16(p))
}

// generalPurpose is what programs ask for that do not know what a secret key
// will be used for. A key made with all of these is let pass, and is then mixed.
const generalPurpose = encrypt | decrypt | wrap | unwrap

// checkMade decides on the purposes that a new key asks for.
// Error: CKR_TEMPLATE_INCONSISTENT.
func checkMade(k kind, p purposes) error {
	if k&secretKeys != 0 && p&generalPurpose == generalPurpose {
		return nil
	}
	if c := conflictOf(k, p); c != nil {
		return cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCONSISTENT, "%w", c)
	}
	return nil
}

// checkGranted decides on a change of a key's purposes. What it had before counts
// although it has it no longer, because what was wrapped with the key then is
// still about. A mixed key and a copy get no further purpose.
// Error: CKR_TEMPLATE_INCONSISTENT.
func checkGranted(k kind, before, after purposes) error {
	if before|after == before {
		return nil
	}
	if before&narrow != 0 {
		return cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCONSISTENT, "a copy gets no purpose that its original did not have: %v", after&^before)
	}
	if c := conflictOf(k, before|after); c != nil {
		return cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCONSISTENT, "%w", c)
	}
	return nil
}

// Narrowed is a key as another place gets it, while this one stays: it gets no purpose
// there that it never had here.
func (o *Object) Narrowed() *Object {
	n := o.fork()
	if o.rules.kind&confidential != 0 {
		n.granted |= narrow
	}
	return n
}
