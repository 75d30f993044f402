package partition

import (
	"slices"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/object"
)

// keyUse is a use of a key in one call, without an operation that an Init begins:
// wrapping, unwrapping, deriving.
type keyUse struct {
	flag      cryptoki.Flags
	attribute cryptoki.AttributeType
	class     cryptoki.ObjectClass // that fits beside CKO_SECRET_KEY
	// exclusive says that a key with a purpose that conflicts is not used at all.
	exclusive bool
	// The codes for a handle that names no key, for a key of the wrong type, and for one
	// of a size that is not allowed.
	handle, kind, size cryptoki.RV
	// Of a use that makes a key: the attribute that has a template for it, and its event.
	template cryptoki.AttributeType
	event    audit.Event
}

var (
	useToWrap = keyUse{
		cryptoki.CKF_WRAP, cryptoki.CKA_WRAP, cryptoki.CKO_PUBLIC_KEY, false,
		cryptoki.CKR_WRAPPING_KEY_HANDLE_INVALID, cryptoki.CKR_WRAPPING_KEY_TYPE_INCONSISTENT, cryptoki.CKR_WRAPPING_KEY_SIZE_RANGE,
		0, 0,
	}
	useToUnwrap = keyUse{
		cryptoki.CKF_UNWRAP, cryptoki.CKA_UNWRAP, cryptoki.CKO_PRIVATE_KEY, true,
		cryptoki.CKR_UNWRAPPING_KEY_HANDLE_INVALID, cryptoki.CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, cryptoki.CKR_UNWRAPPING_KEY_SIZE_RANGE,
		cryptoki.CKA_UNWRAP_TEMPLATE, audit.EventUnwrap,
	}
	useToDerive = keyUse{
		cryptoki.CKF_DERIVE, cryptoki.CKA_DERIVE, cryptoki.CKO_PRIVATE_KEY, true,
		cryptoki.CKR_KEY_HANDLE_INVALID, cryptoki.CKR_KEY_TYPE_INCONSISTENT, cryptoki.CKR_KEY_SIZE_RANGE,
		cryptoki.CKA_DERIVE_TEMPLATE, audit.EventKeyDerive,
	}
)

// key finds a key that the session's application may see. Error: code.
func (s *Session) key(h cryptoki.ObjectHandle, code cryptoki.RV) (*resident, error) {
	r, err := s.object(h)
	switch {
	case cryptoki.Code(err) == cryptoki.CKR_OBJECT_HANDLE_INVALID:
		return nil, code
	case err != nil:
		return nil, err
	case !isKey(r.object):
		return nil, cryptoki.Errorf(code, "object %d is a %v, not a key", h, r.object.Class())
	}
	return r, nil
}

// fits checks all that only the key itself says of a use.
// Errors: CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_MECHANISM_INVALID, CKR_USER_NOT_LOGGED_IN,
// CKR_KEY_NOT_ACTIVE, CKR_KEY_NOT_AUTHORIZED, and the use's own.
func (s *Session) fits(u keyUse, m service, r *resident) error {
	o := r.object
	if !slices.Contains(m.KeyTypes, o.KeyType()) || o.Class() != u.class && o.Class() != cryptoki.CKO_SECRET_KEY {
		return cryptoki.Errorf(u.kind, "%v with a %v %v", m.Type, o.KeyType(), o.Class())
	}
	if !o.Permits(u.attribute) {
		return cryptoki.Errorf(cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED, "%v is false", u.attribute)
	}
	if u.exclusive && o.Tainted(u.attribute) {
		return cryptoki.Errorf(cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED, "the key has, or had, a purpose that does not go with %v", u.attribute)
	}
	if !o.AllowsMechanism(m.Type) {
		return cryptoki.Errorf(cryptoki.CKR_MECHANISM_INVALID, "%v is not among the key's CKA_ALLOWED_MECHANISMS", m.Type)
	}
	if o.Bool(cryptoki.CKA_ALWAYS_AUTHENTICATE) {
		return cryptoki.Errorf(cryptoki.CKR_USER_NOT_LOGGED_IN, "the key wants a context-specific login, which only an operation with an Init can have")
	}
	err := s.partition.mayUse(m, u.flag, r)
	if cryptoki.Code(err) == cryptoki.CKR_KEY_SIZE_RANGE {
		return cryptoki.Errorf(u.size, "%w", err)
	}
	if err != nil {
		return err
	}
	return s.authorized(r)
}

// source is the key that another one is made from, with the mechanism that makes it and
// what the new key is to be.
type source struct {
	service
	key      *resident
	template cryptoki.Template
	guard    guard
	durable  bool
}

// makeFrom makes the checks that come first when a key is unwrapped or derived. made is
// what an earlier call with the token has made already, nil when there was none.
func (s *Session) makeFrom(u keyUse, token Token, m cryptoki.MechanismType, h cryptoki.ObjectHandle, t cryptoki.Template) (from source, made []cryptoki.ObjectHandle, err error) {
	if from.service, err = s.partition.offer(m, u.flag); err != nil {
		return from, nil, err
	}
	if from.key, err = s.key(h, u.handle); err != nil {
		return from, nil, err
	}
	if err := s.fits(u, from.service, from.key); err != nil {
		return from, nil, err
	}
	if t, err = from.key.object.Impose(u.template, t); err != nil {
		return from, nil, err
	}
	from.durable = boolIn(t, cryptoki.CKA_TOKEN, false)
	if made, err := s.created(token, from.durable); made != nil || err != nil {
		return from, made, err
	}
	if err := s.partition.mayManage(); err != nil {
		return from, nil, err
	}
	from.template, from.guard, err = s.admit(t)
	return from, nil, err
}

// keepMade stores a key that was made from another one, unless that is gone by then.
func (s *Session) keepMade(u keyUse, token Token, m *cryptoki.Mechanism, from source, o *object.Object) (cryptoki.ObjectHandle, error) {
	o, err := from.guard.on(o)
	if err != nil {
		return 0, err
	}
	entry := creation{
		member: s.member, event: u.event, mechanism: audit.Some(m.Type),
		source: from.key.handle, gone: u.handle, must: from.key.object.Guarded(),
	}
	handles, err := s.keep(token, entry, o)
	if err == nil {
		s.served(from.approved(u.flag, m, from.key))
	}
	return first(handles), err
}
