package partition

import (
	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/seal"
)

// InitRole is C_InitPIN and CA_InitRolePIN: it makes a role that its maker, who is
// logged in, may make; the Auditor makes himself where nobody is logged in. A role that
// is there is reset if that is allowed. The PIN remains the caller's.
//
// Errors: CKR_SESSION_READ_ONLY, CKR_USER_TYPE_INVALID, CKR_USER_PIN_NOT_INITIALIZED
// for a role that the partition's version does not have, CKR_USER_NOT_LOGGED_IN,
// CKR_USER_ANOTHER_ALREADY_LOGGED_IN for an Auditor while an HSM SO is logged in,
// CKR_PIN_LEN_RANGE, CKR_PIN_INVALID, CKR_ACTION_PROHIBITED.
func (s *Session) InitRole(user cryptoki.UserType, pin secret.Bytes) error {
	return s.setRole(user, pin, false)
}

// ResetRole gives a role that is there a new PIN, which clears a lock. A Partition SO
// may do so to the Crypto Officer only with HSM policy 15. Errors: those of InitRole,
// and CKR_USER_PIN_NOT_INITIALIZED when the role is not there.
func (s *Session) ResetRole(user cryptoki.UserType, pin secret.Bytes) error {
	return s.setRole(user, pin, true)
}

func (s *Session) setRole(user cryptoki.UserType, pin secret.Bytes, reset bool) error {
	p := s.partition
	role, maker, err := s.makes(user)
	if err != nil {
		return err
	}
	if err := p.checkPIN(pin); err != nil {
		return err
	}
	attempt := p.roles[role]
	attempt.Lock()
	defer attempt.Unlock()
	// Another thread of the application may have logged out meanwhile, and with that
	// taken the key away that the role is to hold.
	kek, err := s.heldBy(maker)
	if err != nil {
		return err
	}
	if kek != nil {
		defer kek.Wipe()
	}
	old, err := p.readCredential(role)
	switch {
	case err != nil:
		return err
	case old == nil && reset:
		return cryptoki.Errorf(cryptoki.CKR_USER_PIN_NOT_INITIALIZED, "there is no %v", role)
	case old != nil && !p.mayReset(role):
		return cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "there is a %v already, whom nobody may reset", role)
	}
	policies := p.config.HSMPolicies()
	initial := maker != RoleNone && policies.On(policy.ForcePINChange)
	if kek == nil && role == RoleCryptoOfficer && old == nil && !initial {
		kek = seal.NewPartKEK()
		defer kek.Wipe()
	}
	if kek == nil && (maker == RoleCryptoOfficer || old != nil && role.usesPrivate()) {
		return cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "the %v does not hold the partition's key", maker)
	}
	event, epoch := audit.EventRoleCreate, uint64(1)
	if old != nil {
		event, epoch = audit.EventPINReset, old.wrap.Epoch+1
	}
	made, err := p.newCredential(role, epoch, kek, pin)
	if err != nil {
		return err
	}
	made.initial = initial
	p.config.Verifier.Forget(uint64(p.id), role.User())
	return storeError(p.config.Store.Update(func(w keystore.Writer) error {
		if maker != RoleNone {
			if err := p.remains(w, maker); err != nil {
				return err
			}
		}
		// The partition may have become version 0 while the PIN was hashed.
		i, err := p.written(w)
		if err != nil {
			return err
		}
		if !role.in(i.Version) {
			return errVersion0
		}
		if err := p.putCredential(w, role, made); err != nil {
			return err
		}
		return s.member.record(w, s.member.Role(), audit.Record{Event: event, Detail: role.String()})
	}))
}

// makes finds a role that the session may make or reset, and whose business that is: its
// own. Errors: those of InitRole that are about neither PIN nor record.
func (s *Session) makes(user cryptoki.UserType) (role, maker Role, err error) {
	if !s.readWrite {
		return RoleNone, RoleNone, cryptoki.CKR_SESSION_READ_ONLY
	}
	if role, err = s.partition.RoleOf(user); err != nil {
		return RoleNone, RoleNone, err
	}
	maker = roleRules[role].maker
	switch {
	case role.officer():
		err = cryptoki.Errorf(cryptoki.CKR_USER_TYPE_INVALID, "the %v is made when what he is in charge of is initialised", role)
	case s.member.Role() != maker:
		err = cryptoki.Errorf(cryptoki.CKR_USER_NOT_LOGGED_IN, "the %v is made by the %v", role, maker)
	case maker == RoleNone && s.partition.anybodyIs(Role.officer):
		err = cryptoki.Errorf(cryptoki.CKR_USER_ANOTHER_ALREADY_LOGGED_IN, "the %v makes himself while no SO is logged in", role)
	}
	return role, maker, err
}

// anybodyIs tells whether an application is logged in as a role that fits.
func (p *Partition) anybodyIs(fits func(Role) bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for m := range p.members {
		if fits(m.Role()) {
			return true
		}
	}
	return false
}

// mayReset tells whether a role that is there may be given another PIN by its maker.
func (p *Partition) mayReset(role Role) bool {
	switch role {
	case RoleCryptoUser, RoleLimitedCryptoOfficer:
		return true
	case RoleCryptoOfficer:
		return p.config.HSMPolicies().On(policy.ResetPIN)
	}
	return false
}

// heldBy is a copy of what the login's credential held, for the caller to wipe; nil
// when that was nothing. Error: CKR_USER_NOT_LOGGED_IN when the login is not the role's.
func (s *Session) heldBy(role Role) (*seal.PartKEK, error) {
	s.partition.mu.Lock()
	defer s.partition.mu.Unlock()
	switch {
	case s.member.Role() != role:
		return nil, cryptoki.Errorf(cryptoki.CKR_USER_NOT_LOGGED_IN, "the %v has logged out", role)
	case s.member.kek == nil:
		return nil, nil
	}
	return s.member.kek.Clone(), nil
}

func (p *Partition) readCredential(role Role) (c *credential, err error) {
	err = p.config.Store.View(func(r keystore.Reader) error {
		c, err = p.credentialOf(r, role)
		return err
	})
	return c, storeError(err)
}

// Role is who the session's application is logged in as.
func (s *Session) Role() Role { return s.member.Role() }

// Partition is the partition that the session is on.
func (s *Session) Partition() *Partition { return s.partition }

// Expired tells whether the login was with an initial PIN that has not been changed:
// everything but that, logging out and asking for information gives CKR_PIN_EXPIRED.
func (s *Session) Expired() bool { return s.member.expired.Load() }

// Authorized checks that the session is a role's. Errors: CKR_USER_NOT_LOGGED_IN,
// CKR_PIN_EXPIRED.
func (s *Session) Authorized(role Role) error {
	if s.Role() != role {
		return cryptoki.Errorf(cryptoki.CKR_USER_NOT_LOGGED_IN, "this is for the %v", role)
	}
	if s.Expired() {
		return cryptoki.CKR_PIN_EXPIRED
	}
	return nil
}

// Record writes an entry about the partition by the session's role, in the transaction
// of the act itself.
func (s *Session) Record(w keystore.Writer, r audit.Record) error {
	return s.member.record(w, s.member.Role(), r)
}

// Appoint prepares a role's credential, epoch and all, without anybody's login: for an
// administration, whose HSM SO is made by hsm init. The PIN remains the caller's.
// Errors: CKR_PIN_LEN_RANGE, CKR_PIN_INVALID.
func (p *Partition) Appoint(role Role, pin secret.Bytes) (write func(keystore.Writer) error, err error) {
	made, err := p.newCredential(role, 1, nil, pin)
	if err != nil {
		return nil, err
	}
	return func(w keystore.Writer) error { return p.putCredential(w, role, made) }, nil
}

// Dismiss removes a role's credential, its tries and the tickets of its logins.
func (p *Partition) Dismiss(w keystore.Writer, role Role) error {
	if err := p.voidTickets(w, role); err != nil {
		return err
	}
	if err := w.Delete(keystore.TablePartition, p.id.roleKey(keyRole, role)); err != nil {
		return err
	}
	return w.Delete(keystore.TableCounter, p.id.roleKey(keyTries, role))
}
