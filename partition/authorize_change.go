package partition

import (
	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/object"
)

// SetAuthorizationData is CA_SetAuthorizationData: whoever knows a key's authorization data
// changes it, which ends every authorization of the key. A key that has none gets its first
// from the Crypto Officer, with old empty. Both remain the caller's.
//
// Errors: CKR_USER_NOT_LOGGED_IN, CKR_USER_NOT_AUTHORIZED; those of regulated;
// CKR_AUTH_DATA_TOO_SMALL, CKR_AUTH_DATA_TOO_LARGE; those of guardedKey and prove.
func (s *Session) SetAuthorizationData(h cryptoki.ObjectHandle, old, data secret.Bytes) error {
	if err := s.mayAuthorize(); err != nil {
		return err
	}
	r, err := s.regulated(h, errNoAuthData)
	if err != nil {
		return err
	}
	if old.Len() == 0 && !r.object.Guarded() {
		return s.ResetAuthorizationData(h, data)
	}
	changed, err := object.NewVerifier(data)
	if err != nil {
		return err
	}
	v, unlock, err := s.guardedKey(h)
	if err != nil {
		return err
	}
	defer unlock()
	t, err := s.prove(h, v, old)
	if err != nil {
		return err
	}
	return s.regulate(r, "data changed", func(w keystore.Writer, o *object.Object) (*object.Object, error) {
		if now, _ := o.Verifier(); now != v {
			return nil, cryptoki.Errorf(cryptoki.CKR_AUTH_DATA_INCORRECT, "the data was reset meanwhile")
		}
		if err := s.partition.forgiveFamily(w, v.Family, t); err != nil {
			return nil, err
		}
		if err := s.partition.putStanding(w, changed.Family, standing{assigned: t.assigned}); err != nil {
			return nil, err
		}
		return o.WithVerifier(changed)
	})
}

// ResetAuthorizationData is CA_ResetAuthorizationData: the Crypto Officer gives a key other
// authorization data, or its first, without the old. A lock is gone with that. The data
// remains the caller's.
//
// Errors: CKR_USER_NOT_LOGGED_IN, CKR_USER_NOT_AUTHORIZED; those of regulated;
// CKR_AUTH_DATA_TOO_SMALL, CKR_AUTH_DATA_TOO_LARGE; CKR_ASSIGNED_KEY_CANNOT_BE_RESET for an
// assigned key and its copies.
func (s *Session) ResetAuthorizationData(h cryptoki.ObjectHandle, data secret.Bytes) error {
	if err := s.mayAdminister(cryptoki.CKR_USER_NOT_AUTHORIZED); err != nil {
		return err
	}
	r, err := s.regulated(h, errNoAuthData)
	if err != nil {
		return err
	}
	changed, err := object.NewVerifier(data)
	if err != nil {
		return err
	}
	return s.regulate(r, "data reset", func(w keystore.Writer, o *object.Object) (*object.Object, error) {
		if old, guarded := o.Verifier(); guarded {
			t, err := s.partition.standing(w, old.Family)
			if err != nil {
				return nil, err
			}
			if t.assigned || o.Assigned() {
				return nil, cryptoki.Errorf(cryptoki.CKR_ASSIGNED_KEY_CANNOT_BE_RESET, "the key is assigned: only who knows its data changes that")
			}
		}
		return o.WithVerifier(changed)
	})
}

// AssignKey is CA_AssignKey: the Crypto Officer makes a key its owner's alone, for good.
// A key that is assigned already stays so.
//
// Errors: CKR_USER_NOT_LOGGED_IN, CKR_ROLE_CANNOT_MAKE_KEYS_ASSIGNED; those of regulated;
// CKR_ASSIGNED_KEY_REQUIRES_AUTH_DATA, CKR_ASSIGNED_KEY_FAILED_ATTRIBUTE_DEPENDENCIES;
// CKR_KEY_NOT_ACTIVE for a key that is locked, which nobody could unlock any more.
func (s *Session) AssignKey(h cryptoki.ObjectHandle) error {
	if err := s.mayAdminister(cryptoki.CKR_ROLE_CANNOT_MAKE_KEYS_ASSIGNED); err != nil {
		return err
	}
	r, err := s.regulated(h, errNoAssigned)
	if err != nil {
		return err
	}
	if _, err := r.object.Assign(); err != nil || r.object.Assigned() {
		return err
	}
	_, unlock, err := s.guardedKey(h)
	if err != nil {
		return err
	}
	defer unlock()
	return s.regulate(r, "assigned", func(w keystore.Writer, o *object.Object) (*object.Object, error) {
		if err := s.partition.assignFamily(w, o); err != nil {
			return nil, err
		}
		return o.Assign()
	})
}

// assignFamily notes in the standing of a key's family that it is assigned.
// Error: CKR_KEY_NOT_ACTIVE.
func (p *Partition) assignFamily(w keystore.Writer, o *object.Object) error {
	v, _ := o.Verifier()
	t, err := p.standing(w, v.Family)
	if err != nil {
		return err
	}
	if t.locked() {
		return errKeyLocked
	}
	t.assigned = true
	return p.putStanding(w, v.Family, t)
}

// regulated finds a key whose authorization the session may change. Errors:
// CKR_KEY_HANDLE_INVALID; CKR_KEY_CANNOT_BE_AUTHORIZED for a public key; none where the
// partition has no authorization of keys; CKR_SESSION_READ_ONLY; CKR_ACTION_PROHIBITED by the
// policies.
func (s *Session) regulated(h cryptoki.ObjectHandle, none error) (*resident, error) {
	r, err := s.key(h, cryptoki.CKR_KEY_HANDLE_INVALID)
	switch {
	case err != nil:
		return nil, err
	case r.object.Class() == cryptoki.CKO_PUBLIC_KEY:
		return nil, cryptoki.Errorf(cryptoki.CKR_KEY_CANNOT_BE_AUTHORIZED, "a public key is everybody's")
	case !s.partition.guards():
		return nil, none
	}
	if err := s.mayChange(r.object); err != nil {
		return nil, err
	}
	return r, s.partition.mayManage()
}

// regulate changes a key's authorization and what goes with it in one update, with the
// entry in the audit log.
func (s *Session) regulate(r *resident, detail string, change alteration) error {
	entry := audit.Record{Event: audit.EventAuthorize, Object: r.handle, Class: audit.Some(r.object.Class()), Detail: detail}
	if r.object.Token() {
		return s.partition.change(r.handle, change, s.member, entry)
	}
	for {
		var o *object.Object
		err := s.partition.config.Store.Update(func(w keystore.Writer) (err error) {
			if o, err = change(w, r.object); err != nil {
				return err
			}
			return s.member.record(w, s.member.Role(), entry)
		})
		if err != nil {
			return storeError(err)
		}
		switch done, err := s.member.replace(r, &resident{handle: r.handle, object: o}); {
		case err != nil:
			return err
		case done:
			return s.member.reap()
		}
		if r = s.member.find(r.handle); r == nil {
			return cryptoki.CKR_KEY_HANDLE_INVALID
		}
	}
}
