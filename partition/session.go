package partition

import (
	"sync"
	"sync/atomic"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
)

// Session is a CK_SESSION: what one application does on one partition, one step
// at a time.
type Session struct {
	// Handle is unique over all partitions of this HSM and its restarts.
	Handle cryptoki.SessionHandle
	// Slot is the partition's slot, for C_GetSessionInfo.
	Slot cryptoki.SlotID

	partition *Partition
	member    *Member
	readWrite bool
	closed    func()
	over      atomic.Bool
	approved  atomic.Bool // the last service was an approved one

	authorizations authorizations

	mu sync.Mutex
	// operations has one place for each function, so that an application may digest
	// and sign at the same time, as PKCS#11 section 5.1 allows a library to permit.
	operations [mech.MessageDecrypt + 1]*operation // guarded by mu
}

// MaxSessions bounds the sessions that one application may have open on one
// partition.
const MaxSessions = 16384

// Open opens a session for the member. handle must be new; closed is called
// once when the session has closed, for whatever reason. Errors:
// CKR_SESSION_COUNT, CKR_SESSION_READ_WRITE_SO_EXISTS.
func (p *Partition) Open(m *Member, handle cryptoki.SessionHandle, slot cryptoki.SlotID, readWrite bool, closed func()) (*Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return p.openLocked(m, handle, slot, readWrite, closed)
}

// openLocked is Open. m.mu is held.
func (p *Partition) openLocked(m *Member, handle cryptoki.SessionHandle, slot cryptoki.SlotID, readWrite bool, closed func()) (*Session, error) {
	s := &Session{Handle: handle, Slot: slot, partition: p, member: m, readWrite: readWrite, closed: closed}
	if m.closed {
		if p.retired.Load() {
			return nil, cryptoki.CKR_DEVICE_REMOVED
		}
		return nil, cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED
	}
	if !p.initialized && p.kind == Application {
		return nil, cryptoki.Errorf(cryptoki.CKR_TOKEN_NOT_RECOGNIZED, "the partition is not initialised")
	}
	if len(m.sessions) >= MaxSessions {
		return nil, cryptoki.Errorf(cryptoki.CKR_SESSION_COUNT, "the application has %d sessions open", len(m.sessions))
	}
	if !readWrite && m.Role().officer() {
		return nil, cryptoki.CKR_SESSION_READ_WRITE_SO_EXISTS
	}
	m.sessions[handle] = s
	p.sessions.Add(1)
	if readWrite {
		p.rwSessions.Add(1)
	}
	return s, nil
}

// Reopen opens a session of an earlier server again, under its handle, for an
// application that resumes; a session that is open already stays as it is.
func (p *Partition) Reopen(m *Member, handle cryptoki.SessionHandle, slot cryptoki.SlotID, readWrite bool, closed func()) (*Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.sessions[handle]; s != nil {
		return s, nil
	}
	return p.openLocked(m, handle, slot, readWrite, closed)
}

// Close ends the session: its operations, its objects and, if it was the
// application's last on this partition, the login (section 5.6.2).
func (s *Session) Close() {
	m := s.member
	m.mu.Lock()
	if _, open := m.sessions[s.Handle]; !open {
		m.mu.Unlock()
		return
	}
	delete(m.sessions, s.Handle)
	s.partition.sessions.Add(-1)
	if s.readWrite {
		s.partition.rwSessions.Add(-1)
	}
	m.dropLocked(func(o *sessionObject) bool { return o.session == s.Handle })
	last := len(m.sessions) == 0
	m.mu.Unlock()
	s.over.Store(true)
	s.closed()

	s.mu.Lock()
	for f := range s.operations {
		s.end(mech.Function(f))
	}
	s.mu.Unlock()
	if last {
		// A ticket that could not be removed belongs to a store that has failed, and the
		// server ends with that.
		_ = m.logout()
	}
	_ = m.reap() // as above
}

// Closed tells whether the session has been closed.
func (s *Session) Closed() bool { return s.over.Load() }

// Info is C_GetSessionInfo.
func (s *Session) Info() (state cryptoki.SessionState, flags cryptoki.Flags) {
	flags = cryptoki.CKF_SERIAL_SESSION
	if s.readWrite {
		flags |= cryptoki.CKF_RW_SESSION
	}
	switch role := s.member.Role(); {
	case role.officer():
		state = cryptoki.CKS_RW_SO_FUNCTIONS
	case role != RoleNone && s.readWrite:
		state = cryptoki.CKS_RW_USER_FUNCTIONS
	case role != RoleNone:
		state = cryptoki.CKS_RO_USER_FUNCTIONS
	case s.readWrite:
		state = cryptoki.CKS_RW_PUBLIC_SESSION
	default:
		state = cryptoki.CKS_RO_PUBLIC_SESSION
	}
	return state, flags
}

// Epoch is the newest permit epoch for this session's application: it moves
// when a login, a destruction, a changed attribute or policy may have made a
// permit untrue.
func (s *Session) Epoch() uint64 {
	return s.partition.epoch.Load() + s.member.epoch.Load()
}
