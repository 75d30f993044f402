package partition

import (
	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/seal"
)

// Role is who an application is logged in as. The numbers are stored.
type Role uint8

// The roles of a partition.
const (
	RoleNone                 Role = 0
	RolePartitionSO          Role = 1
	RoleCryptoOfficer        Role = 2
	RoleLimitedCryptoOfficer Role = 3
	RoleCryptoUser           Role = 4
)

// String returns the name that operators know the role by.
func (r Role) String() string {
	switch r {
	case RolePartitionSO:
		return "Partition SO"
	case RoleCryptoOfficer:
		return "Crypto Officer"
	case RoleLimitedCryptoOfficer:
		return "Limited Crypto Officer"
	case RoleCryptoUser:
		return "Crypto User"
	}
	return "nobody"
}

// user is the CKU_ number of a role.
func (r Role) user() cryptoki.UserType {
	switch r {
	case RolePartitionSO:
		return cryptoki.CKU_SO
	case RoleLimitedCryptoOfficer:
		return cryptoki.CKU_LIMITED_CRYPTO_OFFICER
	case RoleCryptoUser:
		return cryptoki.CKU_CRYPTO_USER
	}
	return cryptoki.CKU_USER
}

// usesPrivate tells whether the role sees and uses private objects.
func (r Role) usesPrivate() bool { return r == RoleCryptoOfficer }

// writes tells whether the role creates, changes and destroys token objects.
func (r Role) writes() bool { return r == RoleCryptoOfficer }

// roleOf maps a CKU_ number to a role of a partition. Whether the role has a PIN is
// for the login to find out in its turn.
func roleOf(u cryptoki.UserType) (Role, error) {
	switch u {
	case cryptoki.CKU_SO:
		return RolePartitionSO, nil
	case cryptoki.CKU_USER:
		return RoleCryptoOfficer, nil
	case cryptoki.CKU_LIMITED_CRYPTO_OFFICER:
		return RoleLimitedCryptoOfficer, nil
	case cryptoki.CKU_CRYPTO_USER:
		return RoleCryptoUser, nil
	}
	return RoleNone, cryptoki.Errorf(cryptoki.CKR_USER_TYPE_INVALID, "user type %#x", uint64(u))
}

// Login is C_Login. The PIN remains the caller's, and so does the ticket that comes
// back, which is empty where there is none. Errors in the order of
// docs/check-order.md.
func (s *Session) Login(user cryptoki.UserType, pin secret.Bytes) (ticket secret.Bytes, err error) {
	if user == cryptoki.CKU_CONTEXT_SPECIFIC {
		return ticket, s.contextLogin(pin)
	}
	role, err := roleOf(user)
	if err != nil {
		return ticket, err
	}
	p, m := s.partition, s.member
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
	kek, wrap, err := p.authenticate(m, role, pin)
	if err != nil {
		return ticket, err
	}
	defer kek.Wipe()
	ticket, wanted := p.newTicket(role)
	err = p.forgive(role, func(w keystore.Writer) error {
		if wanted {
			if err := p.issue(w, m, role, wrap.Epoch, kek, ticket); err != nil {
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
	p.enter(m, role, kek)
	m.ticketed = wanted
	return ticket, nil
}

// enter makes the member logged in. p.mu is held.
func (p *Partition) enter(m *Member, role Role, kek *seal.PartKEK) {
	if role.usesPrivate() {
		if p.users++; p.users == 1 {
			p.private.Store(kek.Values())
		}
	}
	m.role.Store(uint32(role))
	m.logins.Add(1)
	m.epoch.Add(1)
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
	if role != RolePartitionSO {
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
// whose key wants a login before each use. The try counts on the current role.
func (s *Session) contextLogin(pin secret.Bytes) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var waiting *operation
	for _, op := range s.operations {
		if op != nil && op.contextLogin {
			waiting = op
		}
	}
	role := s.member.Role()
	if waiting == nil || role == RoleNone {
		return cryptoki.Errorf(cryptoki.CKR_OPERATION_NOT_INITIALIZED, "no operation waits for a context-specific login")
	}
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
	waiting.contextLogin = false
	return nil
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
	return storeError(p.config.Store.Update(func(w keystore.Writer) error {
		if ticketed {
			if err := w.Delete(keystore.TableCounter, p.ticketKey(m.actor.ID)); err != nil {
				return err
			}
		}
		return m.record(w, role, audit.Record{Event: audit.EventLogout})
	}))
}

// exit is the part of a logout that is in memory; it returns the role that ended.
// p.mu is held.
func (p *Partition) exit(m *Member) Role {
	role := m.Role()
	if role == RoleNone {
		return RoleNone
	}
	m.ticketed = false
	m.role.Store(uint32(RoleNone))
	m.logins.Add(1)
	m.epoch.Add(1)
	m.mu.Lock()
	m.dropLocked(func(o *sessionObject) bool { return o.object.Private() })
	m.mu.Unlock()
	if role.usesPrivate() {
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
		role = RoleCryptoOfficer
	}
	if err := p.checkPIN(pin); err != nil {
		return err
	}
	attempt := p.roles[role]
	attempt.Lock()
	defer attempt.Unlock()
	kek, wrap, err := p.authenticate(s.member, role, old)
	if err != nil {
		return err
	}
	defer kek.Wipe()
	changed, err := p.newCredential(role, wrap.Epoch+1, kek, pin)
	if err != nil {
		return err
	}
	p.config.Verifier.Forget(uint64(p.id), role.user())
	// The new credential forgives the tries, and makes tickets of the old one void.
	return storeError(p.config.Store.Update(func(w keystore.Writer) error {
		if err := p.putCredential(w, role, changed); err != nil {
			return err
		}
		return s.member.record(w, role, audit.Record{Event: audit.EventPINChange})
	}))
}
