package partition

import (
	"fmt"
	"sync"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/object"
)

// authorizations are the keys that a session has authorized, each with the data that was
// given, under one login: with another, all are void.
type authorizations struct {
	mu     sync.Mutex
	logins uint64                                  // guarded by mu; Member.logins
	of     map[cryptoki.ObjectHandle]object.Family // guarded by mu
}

func (a *authorizations) add(h cryptoki.ObjectHandle, f object.Family, logins uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case logins < a.logins:
		return // the login has ended meanwhile
	case logins > a.logins || a.of == nil:
		a.logins, a.of = logins, make(map[cryptoki.ObjectHandle]object.Family)
	}
	a.of[h] = f
}

func (a *authorizations) has(h cryptoki.ObjectHandle, f object.Family, logins uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	given, there := a.of[h]
	return there && given == f && a.logins == logins
}

// forget is for a key that the session has destroyed.
func (a *authorizations) forget(h cryptoki.ObjectHandle) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.of, h)
}

// authorized checks that the session may use the value of a key, as far as that is for the
// key's own authorization data. It costs a key without such data nothing.
// Errors: CKR_KEY_NOT_ACTIVE for a key that is locked, CKR_KEY_NOT_AUTHORIZED.
func (s *Session) authorized(r *resident) error {
	v, guarded := r.object.Verifier()
	if !guarded {
		return nil
	}
	t, err := s.partition.standingOf(v.Family)
	switch {
	case err != nil:
		return err
	case t.locked():
		return errKeyLocked
	case !s.authorizations.has(r.handle, v.Family, s.member.logins.Load()):
		return cryptoki.Errorf(cryptoki.CKR_KEY_NOT_AUTHORIZED, "the key has authorization data, and this session has not given it: CA_AuthorizeKey")
	}
	return nil
}

var errKeyLocked = cryptoki.Errorf(cryptoki.CKR_KEY_NOT_ACTIVE, "the key is locked after %d wrong authorizations", object.AuthLimit)

// AuthorizeKey is CA_AuthorizeKey: this session may use the key from now on, until it ends
// or logs out or the key's data changes. The data remains the caller's.
//
// Errors: those of guardedKey; CKR_AUTH_DATA_TOO_SMALL and CKR_AUTH_DATA_TOO_LARGE, which
// count nothing; those of prove.
func (s *Session) AuthorizeKey(h cryptoki.ObjectHandle, data secret.Bytes) error {
	logins := s.member.logins.Load()
	if err := s.mayAuthorize(); err != nil {
		return err
	}
	v, unlock, err := s.guardedKey(h)
	if err != nil {
		return err
	}
	defer unlock()
	t, err := s.prove(h, v, data)
	if err != nil {
		return err
	}
	err = s.partition.config.Store.Update(func(w keystore.Writer) error {
		if err := s.partition.forgiveFamily(w, v.Family, t); err != nil {
			return err
		}
		return s.member.record(w, s.member.Role(), audit.Record{Event: audit.EventAuthorize, Object: h, Detail: "authorized"})
	})
	if err != nil {
		return storeError(err)
	}
	s.authorizations.add(h, v.Family, logins)
	return nil
}

// mayAuthorize checks the role of who gives authorization data. The Crypto User is not
// among those whom a key answers to. Errors: CKR_USER_NOT_LOGGED_IN, CKR_USER_NOT_AUTHORIZED.
func (s *Session) mayAuthorize() error {
	switch role := s.member.Role(); {
	case role.writes():
		return nil
	case role.usesPrivate():
		return cryptoki.Errorf(cryptoki.CKR_USER_NOT_AUTHORIZED, "the %v does not authorize keys", role)
	}
	return cryptoki.CKR_USER_NOT_LOGGED_IN
}

// mayAdminister checks that the Crypto Officer is logged in. Errors:
// CKR_USER_NOT_LOGGED_IN, and otherwise for another role.
func (s *Session) mayAdminister(otherwise cryptoki.RV) error {
	switch role := s.member.Role(); {
	case role == RoleCryptoOfficer:
		return nil
	case role.usesPrivate():
		return cryptoki.Errorf(otherwise, "this is for the %v", RoleCryptoOfficer)
	}
	return cryptoki.CKR_USER_NOT_LOGGED_IN
}

// guardedKey finds a key with authorization data. Until unlock is called nobody else tries,
// changes or counts anything of its family.
// Errors: CKR_KEY_HANDLE_INVALID, CKR_KEY_CANNOT_BE_AUTHORIZED.
func (s *Session) guardedKey(h cryptoki.ObjectHandle) (v object.Verifier, unlock func(), err error) {
	for {
		r, err := s.key(h, cryptoki.CKR_KEY_HANDLE_INVALID)
		if err != nil {
			return v, nil, err
		}
		v, guarded := r.object.Verifier()
		if !guarded {
			return v, nil, cryptoki.Errorf(cryptoki.CKR_KEY_CANNOT_BE_AUTHORIZED, "the key has no authorization data")
		}
		unlock := s.partition.lockFamily(v.Family)
		// Its data may have been changed in between, and with it its family.
		if r, err = s.key(h, cryptoki.CKR_KEY_HANDLE_INVALID); err == nil {
			if now, _ := r.object.Verifier(); now == v {
				return v, unlock, nil
			}
		}
		unlock()
	}
}

// families is how many locks the families of a partition share.
const families = 64

func (p *Partition) lockFamily(f object.Family) (unlock func()) {
	mu := &p.families[f[0]%families]
	mu.Lock()
	return mu.Unlock
}

// prove checks authorization data as authenticate does a PIN: that a try was begun is
// durable before the data is looked at, and that it was wrong before anybody hears of
// it. It returns the family's standing, for forgiveFamily. The caller holds the family's lock.
//
// Errors: CKR_AUTH_DATA_TOO_SMALL, CKR_AUTH_DATA_TOO_LARGE, CKR_KEY_NOT_ACTIVE,
// CKR_AUTH_DATA_INCORRECT, CKR_AUTH_DATA_INCORRECT_AND_LIMIT_REACHED.
func (s *Session) prove(h cryptoki.ObjectHandle, v object.Verifier, data secret.Bytes) (t standing, err error) {
	if err := object.CheckAuthData(data.Len()); err != nil {
		return t, err
	}
	p := s.partition
	err = p.config.Store.Update(func(w keystore.Writer) error {
		if t, err = p.standing(w, v.Family); err != nil {
			return err
		}
		if t.locked() {
			return errKeyLocked
		}
		t.tries = t.begin(object.AuthLimit)
		return p.putStanding(w, v.Family, t)
	})
	if err != nil {
		return t, storeError(err)
	}
	if !v.Matches(data) {
		return t, s.blameKey(h, v.Family, t)
	}
	return t, nil
}

// forgiveFamily clears the count after a right authorization.
func (p *Partition) forgiveFamily(w keystore.Writer, f object.Family, t standing) error {
	return p.putStanding(w, f, standing{assigned: t.assigned})
}

// blameKey counts a wrong authorization, durably, and returns the error to answer it with.
func (s *Session) blameKey(h cryptoki.ObjectHandle, f object.Family, t standing) error {
	t.tries = tries{failed: t.failed + 1}
	answer := cryptoki.CKR_AUTH_DATA_INCORRECT
	if t.locked() {
		answer = cryptoki.CKR_AUTH_DATA_INCORRECT_AND_LIMIT_REACHED
	}
	detail := fmt.Sprintf("wrong data %d of %d", t.failed, object.AuthLimit)
	err := s.partition.config.Store.Update(func(w keystore.Writer) error {
		if err := s.partition.putStanding(w, f, t); err != nil {
			return err
		}
		return s.member.record(w, s.member.Role(), audit.Record{Event: audit.EventAuthorize, Result: answer, Object: h, Detail: detail})
	})
	if err != nil {
		return storeError(err)
	}
	return cryptoki.Errorf(answer, "%s", detail)
}

// IncrementFailedAuthCount is CA_IncrementFailedAuthCount: the Crypto Officer counts a wrong
// authorization that was seen elsewhere, durably. At the limit the key is locked, for
// sessions that have authorized it, too.
//
// Errors: CKR_USER_NOT_LOGGED_IN, CKR_USER_NOT_AUTHORIZED; those of guardedKey;
// CKR_KEY_NOT_ACTIVE for a key that is locked already.
func (s *Session) IncrementFailedAuthCount(h cryptoki.ObjectHandle) error {
	if err := s.mayAdminister(cryptoki.CKR_USER_NOT_AUTHORIZED); err != nil {
		return err
	}
	v, unlock, err := s.guardedKey(h)
	if err != nil {
		return err
	}
	defer unlock()
	p := s.partition
	return storeError(p.config.Store.Update(func(w keystore.Writer) error {
		t, err := p.standing(w, v.Family)
		if err != nil {
			return err
		}
		if t.locked() {
			return errKeyLocked
		}
		t.tries = tries{failed: t.begin(object.AuthLimit).failed + 1}
		if err := p.putStanding(w, v.Family, t); err != nil {
			return err
		}
		detail := fmt.Sprintf("counted %d of %d", t.failed, object.AuthLimit)
		return s.member.record(w, s.member.Role(), audit.Record{Event: audit.EventAuthorize, Object: h, Detail: detail})
	}))
}
