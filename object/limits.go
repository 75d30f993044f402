package object

import "tidelock.dev/tidelock/cryptoki"

// Limits are what a partition's policies add to the rules for a key's purposes. The zero
// value adds nothing.
type Limits struct {
	// OnePair says that a key has the purposes of one pair alone, such as signing and
	// verifying.
	OnePair bool
	// Fixed says that a key's purposes do not change after it was made.
	Fixed bool
}

// pairs are the purposes that belong together.
var pairs = [...]purposes{
	encrypt | decrypt,
	sign | signRecover | verify | verifyRecover,
	wrap | unwrap,
	derive,
	encapsulate | decapsulate,
}

// checkPair decides whether purposes are of one pair where that is asked for.
// Error: CKR_TEMPLATE_INCONSISTENT.
func (l Limits) checkPair(p purposes) error {
	if !l.OnePair {
		return nil
	}
	for _, pair := range pairs {
		if p&^pair == 0 {
			return nil
		}
	}
	return cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCONSISTENT, "a key of this partition has one pair of purposes alone")
}

// CheckChange decides on what Set or Copy made of an object.
// Errors: CKR_ATTRIBUTE_READ_ONLY for a purpose that has changed where none may,
// CKR_TEMPLATE_INCONSISTENT for one of another pair than the key ever had.
func (l Limits) CheckChange(before, after *Object) error {
	if l.Fixed {
		for _, u := range usage {
			if before.Bool(u.attribute) != after.Bool(u.attribute) {
				return cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_READ_ONLY, "%v of a key of this partition cannot be changed", u.attribute)
			}
		}
	}
	// A key that was made under another policy keeps what it has.
	if before.granted|narrow == after.granted|narrow {
		return nil
	}
	return l.checkPair(after.granted &^ narrow)
}
