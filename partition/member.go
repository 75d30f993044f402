package partition

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/object"
	"tidelock.dev/tidelock/seal"
)

// Actor is who an application is, for tickets and the audit log.
type Actor struct {
	// Application is the number that the running server knows it by.
	Application uint64
	// ID is the application's own, which a restarted server knows it by; Secret proves
	// that it is the application's.
	ID      [16]byte
	Secret  [16]byte
	UID     uint32
	PID     int32
	Program string
}

// Member is an application's standing in one partition: who it is logged in as,
// its sessions and its session objects. PKCS#11 shares all three over the
// application's sessions.
type Member struct {
	partition *Partition
	actor     Actor

	// role is read by every call and changed under partition.mu.
	role atomic.Uint32
	// ticketed says that a ticket of this login is in the store.
	ticketed bool // guarded by partition.mu
	// kek is what the login's credential held; nil when that was nothing.
	kek *seal.PartKEK // guarded by partition.mu
	// opened says that the member is one of partition.users.
	opened bool // guarded by partition.mu
	// expired says that the login was with an initial PIN, which must be changed first.
	expired atomic.Bool
	// logins counts logins and logouts: an operation begun under another login has
	// lost its right to a private key.
	logins atomic.Uint64
	// epoch is the application's part of the permit epoch.
	epoch atomic.Uint64
	// held is what the application's operations keep, in bytes.
	held atomic.Int64

	mu       sync.Mutex
	closed   bool                                     // guarded by mu
	sessions map[cryptoki.SessionHandle]*Session      // guarded by mu
	objects  map[cryptoki.ObjectHandle]*sessionObject // guarded by mu
	tokens   map[Token][]cryptoki.ObjectHandle        // guarded by mu; session objects by creation token
	bytes    uint64                                   // guarded by mu; size of objects
	next     cryptoki.ObjectHandle                    // guarded by mu; last session object handle given
	orphans  []object.Family                          // guarded by mu; of session objects that are gone, for reap
}

// sessionObject is an object that lives as long as its session.
type sessionObject struct {
	*resident
	session cryptoki.SessionHandle
	token   Token
}

// MaxSessionObjectBytes bounds what one application's session objects in one
// partition may take, by object.Size.
const MaxSessionObjectBytes = 64 << 20

var errSessionObjects = cryptoki.Errorf(cryptoki.CKR_DEVICE_MEMORY, "session objects would take more than %d bytes", MaxSessionObjectBytes)

// Join makes the application a member of the partition. Leave ends it.
func (p *Partition) Join(a Actor) *Member {
	m := &Member{
		partition: p,
		actor:     a,
		sessions:  make(map[cryptoki.SessionHandle]*Session),
		objects:   make(map[cryptoki.ObjectHandle]*sessionObject),
		tokens:    make(map[Token][]cryptoki.ObjectHandle),
		// A handle of an earlier server must not name a new object.
		next: cryptoki.ObjectHandle(p.config.Boot) << objectBits & (cryptoki.SessionObject - 1),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m.closed = p.retired.Load()
	p.members[m] = struct{}{}
	return m
}

// objectBits is what a session object's handle has for its number, beside the count
// of the server's starts.
const objectBits = 40

// Leave closes all the member's sessions for good. keepLogin says that the
// application may come back to another server with its ticket.
func (m *Member) Leave(keepLogin bool) {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	p := m.partition
	if keepLogin {
		p.mu.Lock()
		p.exit(m)
		p.mu.Unlock()
	}
	m.CloseAll()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.members, m)
}

// Expel is Leave for an application that may come back as another member. The permit epochs
// that it has seen are earlier then.
func (m *Member) Expel() {
	m.Leave(false)
	m.partition.epoch.Add(m.epoch.Load())
}

// CloseAll closes the sessions that are open now (C_CloseAllSessions).
func (m *Member) CloseAll() {
	m.mu.Lock()
	open := slices.Collect(maps.Values(m.sessions))
	m.mu.Unlock()
	for _, s := range open {
		s.Close()
	}
}

// Role is who the application is logged in as.
func (m *Member) Role() Role { return Role(m.role.Load()) }

// sees tells whether the application may know of the object at all.
func (m *Member) sees(r *resident) bool {
	return !r.object.Private() || m.Role().usesPrivate()
}

// add keeps residents as session objects of s and gives them handles, all or none.
// Error: CKR_DEVICE_MEMORY.
func (m *Member) add(s *Session, token Token, rs []*resident) error {
	if len(rs) == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, open := m.sessions[s.Handle]; !open {
		return cryptoki.CKR_SESSION_HANDLE_INVALID
	}
	size := m.bytes
	for _, r := range rs {
		size += r.object.Size()
	}
	if size > MaxSessionObjectBytes {
		return errSessionObjects
	}
	m.bytes = size
	for _, r := range rs {
		m.next++
		r.handle = cryptoki.SessionObject | m.next
		m.objects[r.handle] = &sessionObject{resident: r, session: s.Handle, token: token}
		if token.given() {
			m.tokens[token] = append(m.tokens[token], r.handle)
		}
	}
	return nil
}

// madeBy returns the session objects that a call with this token made.
func (m *Member) madeBy(token Token) []cryptoki.ObjectHandle {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.tokens[token])
}

// find returns a session object of this application, nil when there is none.
func (m *Member) find(h cryptoki.ObjectHandle) *resident {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o := m.objects[h]; o != nil {
		return o.resident
	}
	return nil
}

// replace puts a changed object in the place of an old one; false when somebody
// destroyed or changed that meanwhile. Error: CKR_DEVICE_MEMORY.
func (m *Member) replace(old, changed *resident) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.objects[old.handle]
	if o == nil || o.resident != old {
		return false, nil
	}
	size := m.bytes - old.object.Size() + changed.object.Size()
	if size > MaxSessionObjectBytes && size > m.bytes {
		return false, errSessionObjects
	}
	if moves(old.object, changed.object) {
		m.orphanLocked(old.object)
	}
	changed.budget.Store(m.partition.budgetOf(old))
	o.resident = changed
	m.bytes = size
	m.epoch.Add(1)
	return true, nil
}

// destroy removes a session object; false when it was gone.
func (m *Member) destroy(h cryptoki.ObjectHandle) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.objects)
	m.dropLocked(func(o *sessionObject) bool { return o.handle == h })
	return len(m.objects) < n
}

// dropLocked removes the session objects that match. m.mu is held.
func (m *Member) dropLocked(match func(*sessionObject) bool) {
	for h, o := range m.objects {
		if match(o) {
			delete(m.objects, h)
			m.orphanLocked(o.object)
			delete(m.tokens, o.token)
			m.bytes -= o.object.Size()
			m.epoch.Add(1)
		}
	}
}

// orphanLocked notes the family of a session object that goes. m.mu is held.
func (m *Member) orphanLocked(o *object.Object) {
	if v, guarded := o.Verifier(); guarded {
		m.orphans = append(m.orphans, v.Family)
	}
}

// list returns the session objects with handles above after, in their order.
func (m *Member) list(after cryptoki.ObjectHandle) []*resident {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*resident
	for h, o := range m.objects {
		if h > after {
			out = append(out, o.resident)
		}
	}
	slices.SortFunc(out, func(a, b *resident) int { return cmp.Compare(a.handle, b.handle) })
	return out
}
