package partition

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/object"
)

// The length of a derived key in bytes: a shorter one, of less than 112 bits, could be
// found by trying all.
const (
	leastDerived = 14
	mostDerived  = 512
)

// DeriveKey is C_DeriveKey. The new key is secret, generic unless the template says
// otherwise, and as long as CKA_VALUE_LEN says or as the mechanism gives.
//
// The checks are those of docs/check-order.md, "Keys".
func (s *Session) DeriveKey(token Token, m *cryptoki.Mechanism, base cryptoki.ObjectHandle, t cryptoki.Template) (cryptoki.ObjectHandle, error) {
	from, made, err := s.makeFrom(useToDerive, token, m.Type, base, t)
	if made != nil || err != nil {
		return first(made), err
	}
	t = from.template
	typ := cryptoki.CKK_GENERIC_SECRET
	if v, given := t.Find(cryptoki.CKA_KEY_TYPE); given {
		n, ok := cryptoki.ParseULong(v)
		if !ok {
			return 0, cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, "CKA_KEY_TYPE is not a CK_ULONG")
		}
		typ = cryptoki.KeyType(n)
	}
	ctx := s.context(object.Derived, m.Type)
	ctx.Base = from.key.object
	if err := object.Check(ctx, cryptoki.CKO_SECRET_KEY, typ, t); err != nil {
		return 0, err
	}
	if err := s.mayHold(from.durable, true); err != nil {
		return 0, err
	}
	o, err := derived(ctx, from, m, typ, t)
	if err != nil {
		return 0, s.inVain(useToDerive, m, from, err)
	}
	return s.keepMade(useToDerive, token, m, from, o)
}

// derived makes the new key. Errors: CKR_KEY_SIZE_RANGE, and the mechanism's.
func derived(ctx object.Context, from source, m *cryptoki.Mechanism, typ cryptoki.KeyType, t cryptoki.Template) (*object.Object, error) {
	var length uint64
	if v, given := t.Find(cryptoki.CKA_VALUE_LEN); given {
		length, _ = cryptoki.ParseULong(v)
		if err := derivable(length); err != nil {
			return nil, err
		}
	}
	key, err := from.key.parsedKey()
	if err != nil {
		return nil, err
	}
	value, err := from.Derive(m, key, int(length))
	if err != nil {
		return nil, err
	}
	defer clear(value)
	if err := derivable(uint64(len(value))); err != nil {
		return nil, err
	}
	o, err := object.New(ctx, cryptoki.CKO_SECRET_KEY, typ, t, cryptoki.Template{{Type: cryptoki.CKA_VALUE, Value: value}})
	if err != nil {
		return nil, err
	}
	if _, err := mech.ParseKey(cryptoki.CKO_SECRET_KEY, typ, o.Value); err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_KEY_SIZE_RANGE, "no such key can be derived: %w", err)
	}
	return o, nil
}

// derivable checks a length in bytes. Error: CKR_KEY_SIZE_RANGE.
func derivable(n uint64) error {
	if n < leastDerived || n > mostDerived {
		return cryptoki.Errorf(cryptoki.CKR_KEY_SIZE_RANGE, "a derived key has %d to %d bytes, not %d", leastDerived, mostDerived, n)
	}
	return nil
}
