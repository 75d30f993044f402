package partition

import (
	"errors"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/seal"
)

// Login is C_Login. The PIN remains the caller's, and so does the ticket that comes
// back, which is empty where there is none. Errors in the order of
// docs/check-order.md.
func (s *Session) Login(user cryptoki.UserType, pin secret.Bytes) (ticket secret.Bytes, err error) {
	if user == cryptoki.CKU_CONTEXT_SPECIFIC {
		return ticket, s.contextLogin(pin)
	}
	p, m := s.partition, s.member
	role, err := p.RoleOf(user)
	if err != nil {
		return ticket, err
	}
	if err := m.mayBecome(role); err != nil {
		return ticket, err
	}
	attempt := p.roles[role]
	attempt.Lock()
	defer attempt.Unlock()
	// Another thread of the application may have logged in while this one waited.
	if err := m.mayBecome(role); err != nil {
		return ticket, err
	}
	kek, c, err := p.authenticate(m, role, pin)
	if err != nil {
		return ticket, err
	}
	defer kek.Wipe()
	ticket, wanted := p.newTicket(role, c)
	err = p.forgive(role, func(w keystore.Writer) error {
		if wanted {
			if err := p.issue(w, m, role, c.wrap.Epoch, kek, ticket); err != nil {
				return err
			}
		}
		return m.record(w, role, audit.Record{Event: audit.EventLogin})
	})
	if err != nil {
		return secret.Bytes{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// Or as another role, which has a lock of its own.
	if err := m.mayBecome(role); err != nil {
		return secret.Bytes{}, err
	}
	if !p.has(role) {
		return secret.Bytes{}, errErased(role)
	}
	held := kek
	if c.empty {
		held = nil
	}
	p.enter(m, role, held, c.initial)
	m.ticketed = wanted
	return ticket, nil
}

// enter makes the member logged in, with the PartKEK that the role's wrap held, if
// any. p.mu is held.
func (p *Partition) enter(m *Member, role Role, kek *seal.PartKEK, expired bool) {
	if kek != nil {
		m.kek = kek.Clone()
	}
	m.expired.Store(expired)
	if !expired {
		p.open(m, role)
	}
	m.role.Store(uint32(role))
	m.logins.Add(1)
	m.epoch.Add(1)
}

// open opens the private objects for a member whose role sees them. p.mu is held.
func (p *Partition) open(m *Member, role Role) {
	if m.kek == nil || !role.usesPrivate() || m.opened {
		return
	}
	m.opened = true
	if p.users++; p.users == 1 {
		p.private.Store(m.kek.Values())
	}
}

// mayBecome checks what a login meets in the application's other sessions. Errors:
// CKR_USER_ALREADY_LOGGED_IN, CKR_USER_ANOTHER_ALREADY_LOGGED_IN,
// CKR_SESSION_READ_ONLY_EXISTS.
func (m *Member) mayBecome(role Role) error {
	switch m.Role() {
	case RoleNone:
	case role:
		return cryptoki.CKR_USER_ALREADY_LOGGED_IN
	default:
		return cryptoki.CKR_USER_ANOTHER_ALREADY_LOGGED_IN
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.sessions) == 0 {
		return cryptoki.CKR_SESSION_HANDLE_INVALID
	}
	if !role.officer() {
		return nil
	}
	for _, s := range m.sessions {
		if !s.readWrite {
			return cryptoki.CKR_SESSION_READ_ONLY_EXISTS
		}
	}
	return nil
}

// contextLogin is C_Login with CKU_CONTEXT_SPECIFIC: it allows the active operation
// whose key wants a login before each use. The try counts on the current role. An
// operation that was begun under another login waits for nobody.
func (s *Session) contextLogin(pin secret.Bytes) error {
	role := s.member.Role()
	waiting := s.waiting()
	if waiting == nil || role == RoleNone {
		return cryptoki.Errorf(cryptoki.CKR_OPERATION_NOT_INITIALIZED, "no operation waits for a context-specific login")
	}
	// s.mu is not held: what the last wrong PIN costs closes the session, which takes it.
	attempt := s.partition.roles[role]
	attempt.Lock()
	defer attempt.Unlock()
	kek, _, err := s.partition.authenticate(s.member, role, pin)
	if err != nil {
		return err
	}
	kek.Wipe()
	err = s.partition.forgive(role, func(w keystore.Writer) error {
		return s.member.record(w, role, audit.Record{Event: audit.EventLogin, Detail: "context-specific"})
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting.contextLogin = false
	return nil
}

// waiting is the active operation that waits for a context-specific login, nil when
// none does.
func (s *Session) waiting() (waiting *operation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, op := range s.operations {
		if op != nil && op.contextLogin && op.logins == s.member.logins.Load() {
			waiting = op
		}
	}
	return waiting
}

// Logout is C_Logout. The login's ticket is void before it returns. Error:
// CKR_USER_NOT_LOGGED_IN.
func (s *Session) Logout() error {
	if s.member.Role() == RoleNone {
		return cryptoki.CKR_USER_NOT_LOGGED_IN
	}
	return s.member.logout()
}

// logout ends the login and all that depends on it: private session objects and,
// with the last login to the partition, the key and the private objects in memory.
func (m *Member) logout() error {
	p := m.partition
	p.mu.Lock()
	ticketed := m.ticketed
	role := p.exit(m)
	p.mu.Unlock()
	if role == RoleNone {
		return nil
	}
	err := p.config.Store.Update(func(w keystore.Writer) error {
		if ticketed {
			if err := w.Delete(keystore.TableCounter, p.ticketKey(m.actor.ID)); err != nil {
				return err
			}
		}
		return m.record(w, role, audit.Record{Event: audit.EventLogout})
	})
	return errors.Join(storeError(err), m.reap())
}

// exit is the part of a logout that is in memory; it returns the role that ended.
// p.mu is held.
func (p *Partition) exit(m *Member) Role {
	role := m.Role()
	if role == RoleNone {
		return RoleNone
	}
	m.ticketed = false
	m.expired.Store(false)
	if m.kek != nil {
		m.kek.Wipe()
		m.kek = nil
	}
	m.role.Store(uint32(RoleNone))
	m.logins.Add(1)
	m.epoch.Add(1)
	m.mu.Lock()
	m.dropLocked(func(o *sessionObject) bool { return o.object.Private() })
	m.mu.Unlock()
	if m.opened {
		m.opened = false
		if p.users--; p.users == 0 {
			p.private.Store(nil)
			// A load that is under way must not put back what is removed here.
			p.epoch.Add(1)
			p.cache.removePrivate()
		}
	}
	return role
}

// SetPIN is C_SetPIN: it changes the PIN of the role that is logged in, or of the
// Crypto Officer when none is. Both PINs remain the caller's. A wrong old PIN counts
// as a failed login.
func (s *Session) SetPIN(old, pin secret.Bytes) error {
	if !s.readWrite {
		return cryptoki.CKR_SESSION_READ_ONLY
	}
	p, role := s.partition, s.member.Role()
	if role == RoleNone {
		if p.kind == Administration {
			return cryptoki.CKR_USER_NOT_LOGGED_IN
		}
		role = RoleCryptoOfficer
	}
	if err := p.checkPIN(pin); err != nil {
		return err
	}
	attempt := p.roles[role]
	attempt.Lock()
	defer attempt.Unlock()
	kek, c, err := p.authenticate(s.member, role, old)
	if err != nil {
		return err
	}
	defer kek.Wipe()
	held := kek
	if c.empty {
		held = nil
		// The key over private values is born when its holder has a PIN of his own.
		if role.usesPrivate() {
			held = seal.NewPartKEK()
			defer held.Wipe()
		}
	}
	changed, err := p.newCredential(role, c.wrap.Epoch+1, held, pin)
	if err != nil {
		return err
	}
	p.config.Verifier.Forget(uint64(p.id), role.User())
	// The new credential forgives the tries, and makes tickets of the old one void.
	err = p.config.Store.Update(func(w keystore.Writer) error {
		if err := p.remains(w, role); err != nil {
			return err
		}
		if err := p.putCredential(w, role, changed); err != nil {
			return err
		}
		return s.member.record(w, role, audit.Record{Event: audit.EventPINChange})
	})
	if err != nil {
		return storeError(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := s.member; m.Role() == role && m.expired.Load() {
		if m.kek == nil && held != nil {
			m.kek = held.Clone()
		}
		m.expired.Store(false)
		p.open(m, role)
		m.epoch.Add(1)
	}
	return nil
}
