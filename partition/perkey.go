package partition

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/object"
	"tidelock.dev/tidelock/policy"
)

// perKey tells whether the partition shows the attributes of Per-Key Authorization. One
// of version 0 has them in its objects, for the day when it becomes version 1.
func (p *Partition) perKey() bool { return p.Version() == 1 }

// guards tells whether keys may have authorization data of their own.
func (p *Partition) guards() bool { return p.perKey() && !p.denies(policy.PerKeyAuth) }

// admitPlain checks what a template for a new or changed object says of Per-Key
// Authorization. Errors: CKR_AUTH_DATA_NOT_ALLOWED and CKR_ASSIGNED_KEY_NOT_ALLOWED where
// the partition has none.
func (p *Partition) admitPlain(t cryptoki.Template) error {
	if p.guards() {
		return nil
	}
	for _, a := range t {
		switch a.Type {
		case cryptoki.CKA_AUTH_DATA:
			return errNoAuthData
		case cryptoki.CKA_ASSIGNED:
			return errNoAssigned
		}
	}
	return nil
}

var (
	errNoAuthData = cryptoki.Errorf(cryptoki.CKR_AUTH_DATA_NOT_ALLOWED, "only a partition of version 1 with partition policy %d on has authorization data", policy.PerKeyAuth)
	errNoAssigned = cryptoki.Errorf(cryptoki.CKR_ASSIGNED_KEY_NOT_ALLOWED, "only a partition of version 1 with partition policy %d on has assigned keys", policy.PerKeyAuth)
)

// admitChange is admitPlain for a template that changes or copies an object, which takes
// no authorization data. Error besides: CKR_ATTRIBUTE_READ_ONLY.
func (p *Partition) admitChange(t cryptoki.Template) error {
	if err := p.admitPlain(t); err != nil {
		return err
	}
	if _, given := t.Find(cryptoki.CKA_AUTH_DATA); given {
		return cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_READ_ONLY, "CKA_AUTH_DATA is changed by CA_SetAuthorizationData and CA_ResetAuthorizationData")
	}
	return nil
}

// admit takes the authorization data out of a template for a new object: the rest is the
// object's, and the guard is put on when that is made.
//
// Errors: those of admitPlain; CKR_TEMPLATE_INCONSISTENT for data that is given twice,
// CKR_AUTH_DATA_TOO_SMALL, CKR_AUTH_DATA_TOO_LARGE; of a key that is made assigned,
// CKR_ROLE_CANNOT_MAKE_KEYS_ASSIGNED and CKR_ASSIGNED_KEY_REQUIRES_AUTH_DATA.
func (s *Session) admit(t cryptoki.Template) (rest cryptoki.Template, g guard, err error) {
	if err := s.partition.admitPlain(t); err != nil {
		return nil, g, err
	}
	data, given := t.Find(cryptoki.CKA_AUTH_DATA)
	if boolIn(t, cryptoki.CKA_ASSIGNED, false) {
		switch {
		case s.member.Role() != RoleCryptoOfficer:
			return nil, g, cryptoki.Errorf(cryptoki.CKR_ROLE_CANNOT_MAKE_KEYS_ASSIGNED, "keys are assigned by the %v", RoleCryptoOfficer)
		case !given:
			return nil, g, cryptoki.Errorf(cryptoki.CKR_ASSIGNED_KEY_REQUIRES_AUTH_DATA, "a key that is made assigned has CKA_AUTH_DATA in its template")
		}
	}
	if !given {
		return t, g, nil
	}
	for _, a := range t {
		if a.Type != cryptoki.CKA_AUTH_DATA {
			rest = append(rest, a)
		}
	}
	if len(rest) != len(t)-1 {
		return nil, g, cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCONSISTENT, "CKA_AUTH_DATA is given twice")
	}
	secretData := secret.Copy(data)
	defer secretData.Wipe()
	v, err := object.NewVerifier(secretData)
	return rest, guard{&v}, err
}

// guard is what becomes of the authorization data in a template; the zero value is for a
// key without any.
type guard struct{ verifier *object.Verifier }

// on gives a new key its authorization data.
// Error: CKR_TEMPLATE_INCONSISTENT for an object that can have none.
func (g guard) on(o *object.Object) (*object.Object, error) {
	if g.verifier == nil {
		return o, nil
	}
	return o.WithVerifier(*g.verifier)
}

// hidden tells whether the partition keeps an attribute to itself.
func (p *Partition) hidden(t cryptoki.AttributeType) bool { return object.PerKey(t) && !p.perKey() }
