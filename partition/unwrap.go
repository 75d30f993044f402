package partition

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/object"
	"tidelock.dev/tidelock/policy"
)

// UnwrapKey is C_UnwrapKey. All that can be refused without the wrapped key is refused
// before it is decrypted, and whatever is wrong with what comes out has one code.
//
// The checks are those of docs/check-order.md, "Keys".
func (s *Session) UnwrapKey(token Token, m *cryptoki.Mechanism, unwrapping cryptoki.ObjectHandle, wrapped []byte, t cryptoki.Template) (cryptoki.ObjectHandle, error) {
	from, made, err := s.makeFrom(useToUnwrap, token, m.Type, unwrapping, t)
	if made != nil || err != nil {
		return first(made), err
	}
	t = from.template
	class, typ, err := s.unwrappable(t)
	if err != nil {
		return 0, err
	}
	ctx := s.context(object.Unwrapped, m.Type)
	if err := object.Check(ctx, class, typ, t); err != nil {
		return 0, err
	}
	if err := s.mayHold(from.durable, true); err != nil {
		return 0, err
	}
	if padded(m.Type) && s.partition.denies(policy.CBCPad) && len(wrapped) <= leastPadded {
		return 0, cryptoki.Errorf(cryptoki.CKR_WRAPPED_KEY_LEN_RANGE, "partition policy %d: CBC-PAD unwraps keys of %d bytes and more", policy.CBCPad, leastPadded)
	}
	key, err := from.key.parsedKey()
	if err != nil {
		return 0, err
	}
	plain, err := from.Unwrap(m, key, wrapped)
	if err != nil {
		return 0, s.inVain(useToUnwrap, m, from, err)
	}
	defer clear(plain)
	o, err := unwrapped(ctx, class, typ, t, plain)
	if err != nil {
		return 0, s.inVain(useToUnwrap, m, from, err)
	}
	return s.keepMade(useToUnwrap, token, m, from, o)
}

// unwrappable tells what a template says is unwrapped, and whether that may be.
// Errors: CKR_ACTION_PROHIBITED by the policies, CKR_TEMPLATE_INCOMPLETE,
// CKR_TEMPLATE_INCONSISTENT, CKR_ATTRIBUTE_VALUE_INVALID.
func (s *Session) unwrappable(t cryptoki.Template) (cryptoki.ObjectClass, cryptoki.KeyType, error) {
	class, typ, err := object.Kind(t)
	if err != nil {
		return 0, 0, err
	}
	var needs policy.ID
	switch class {
	case cryptoki.CKO_SECRET_KEY:
		needs = policy.SecretUnwrapping
	case cryptoki.CKO_PRIVATE_KEY:
		needs = policy.PrivateUnwrapping
	default:
		return 0, 0, cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCONSISTENT, "a %v is not unwrapped", class)
	}
	if s.partition.denies(needs) {
		return 0, 0, cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "partition policy %d: a %v is not unwrapped", needs, class)
	}
	return class, typ, nil
}

// unwrapped makes the object of what was in the wrapped key.
// Error: CKR_WRAPPED_KEY_INVALID.
func unwrapped(ctx object.Context, class cryptoki.ObjectClass, typ cryptoki.KeyType, t cryptoki.Template, plain []byte) (*object.Object, error) {
	values := cryptoki.Template{{Type: cryptoki.CKA_VALUE, Value: plain}}
	if class == cryptoki.CKO_PRIVATE_KEY {
		was, decoded, err := mech.DecodePrivate(plain)
		if err != nil {
			return nil, err
		}
		defer wipe(decoded)
		if was != typ {
			return nil, cryptoki.Errorf(cryptoki.CKR_WRAPPED_KEY_INVALID, "a %v is in the wrapped key, not a %v", was, typ)
		}
		values = decoded
	}
	if want, given := t.Find(cryptoki.CKA_VALUE_LEN); given {
		if n, _ := cryptoki.ParseULong(want); n != uint64(len(plain)) {
			return nil, cryptoki.Errorf(cryptoki.CKR_WRAPPED_KEY_INVALID, "the key has another length than CKA_VALUE_LEN")
		}
	}
	o, err := object.New(ctx, class, typ, t, values)
	if err != nil {
		return nil, err
	}
	if _, err := mech.ParseKey(class, typ, o.Value); err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_WRAPPED_KEY_INVALID, "the wrapped key is not sound: %w", err)
	}
	return o, nil
}
