package partition

import (
	"tidelock.dev/tidelock/audit"
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
	offer, err := s.partition.offer(m.Type, useToDerive.flag)
	if err != nil {
		return 0, err
	}
	b, err := s.key(base, useToDerive.handle)
	if err != nil {
		return 0, err
	}
	if err := s.fits(useToDerive, offer, b); err != nil {
		return 0, err
	}
	if t, err = b.object.Impose(cryptoki.CKA_DERIVE_TEMPLATE, t); err != nil {
		return 0, err
	}
	durable := boolIn(t, cryptoki.CKA_TOKEN, false)
	if made, err := s.created(token, durable); made != nil || err != nil {
		return first(made), err
	}
	if err := s.partition.mayManage(); err != nil {
		return 0, err
	}
	t, guard, err := s.admit(t)
	if err != nil {
		return 0, err
	}
	typ := cryptoki.CKK_GENERIC_SECRET
	if v, given := t.Find(cryptoki.CKA_KEY_TYPE); given {
		n, ok := cryptoki.ParseULong(v)
		if !ok {
			return 0, cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_VALUE_INVALID, "CKA_KEY_TYPE is not a CK_ULONG")
		}
		typ = cryptoki.KeyType(n)
	}
	ctx := s.context(object.Derived, m.Type)
	ctx.Base = b.object
	if err := object.Check(ctx, cryptoki.CKO_SECRET_KEY, typ, t); err != nil {
		return 0, err
	}
	if err := s.mayHold(durable, true); err != nil {
		return 0, err
	}
	o, err := derived(ctx, offer, m, b, typ, t)
	if err != nil {
		return 0, err
	}
	if o, err = guard.on(o); err != nil {
		return 0, err
	}
	handles, err := s.keep(token, creation{member: s.member, event: audit.EventKeyDerive, mechanism: audit.Some(m.Type), source: base, gone: useToDerive.handle}, o)
	if err == nil {
		s.served(offer.approved(useToDerive.flag, m, b))
	}
	return first(handles), err
}

// derived makes the new key. Errors: CKR_KEY_SIZE_RANGE, and the mechanism's.
func derived(ctx object.Context, offer service, m *cryptoki.Mechanism, base *resident, typ cryptoki.KeyType, t cryptoki.Template) (*object.Object, error) {
	var length uint64
	if v, given := t.Find(cryptoki.CKA_VALUE_LEN); given {
		length, _ = cryptoki.ParseULong(v)
		if err := derivable(length); err != nil {
			return nil, err
		}
	}
	key, err := base.parsedKey()
	if err != nil {
		return nil, err
	}
	value, err := offer.Derive(m, key, int(length))
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
