package partition

import (
	"crypto/rand"
	"errors"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/object"
)

// Token is the random number that a creating call carries, so that a repeat of
// the call finds what the first one made. All zeros is none.
type Token [16]byte

func (t Token) given() bool { return t != Token{} }

// object finds an object that the session's application may see.
// Error: CKR_OBJECT_HANDLE_INVALID.
func (s *Session) object(h cryptoki.ObjectHandle) (*resident, error) {
	var r *resident
	if h&cryptoki.SessionObject != 0 {
		r = s.member.find(h)
	} else {
		var err error
		if r, err = s.partition.load(h, s.member); err != nil {
			return nil, err
		}
	}
	if r == nil || !s.member.sees(r) {
		return nil, cryptoki.CKR_OBJECT_HANDLE_INVALID
	}
	return r, nil
}

// mayStore checks that the session may create such an object.
// Errors: CKR_SESSION_READ_ONLY, CKR_USER_NOT_LOGGED_IN.
func (s *Session) mayStore(o *object.Object) error { return s.mayHold(o.Token(), confidential(o)) }

// mayChange checks that the session may change or destroy an object. Whoever made a
// token object, it is an officer's to change. Errors as mayStore's.
func (s *Session) mayChange(o *object.Object) error {
	return s.mayHold(o.Token(), o.Token() || confidential(o))
}

// confidential tells whether only those who see private objects may make an object.
func confidential(o *object.Object) bool {
	return o.Private() || o.Class() == cryptoki.CKO_PRIVATE_KEY || o.Class() == cryptoki.CKO_SECRET_KEY
}

func (s *Session) mayHold(token, confidential bool) error {
	if token && !s.readWrite {
		return cryptoki.CKR_SESSION_READ_ONLY
	}
	role := s.member.Role()
	if confidential && !role.writes() || token && !role.publishes() {
		return cryptoki.CKR_USER_NOT_LOGGED_IN
	}
	return nil
}

// context is what the object rules want to know of the session.
func (s *Session) context(origin object.Origin, mechanism cryptoki.MechanismType) object.Context {
	return object.Context{Origin: origin, Mechanism: mechanism, LoggedIn: s.member.Role().usesPrivate(),
		Format: s.partition.format, Limits: s.partition.limits()}
}

// Create is C_CreateObject.
func (s *Session) Create(token Token, t cryptoki.Template) (cryptoki.ObjectHandle, error) {
	if made, err := s.created(token, boolIn(t, cryptoki.CKA_TOKEN, false)); made != nil || err != nil {
		return first(made), err
	}
	t, guard, err := s.admit(t)
	if err != nil {
		return 0, err
	}
	o, err := object.FromTemplate(s.context(object.Created, cryptoki.MechanismType(cryptoki.UnavailableInformation)), t)
	if err != nil {
		return 0, err
	}
	if o, err = guard.on(o); err != nil {
		return 0, err
	}
	if err := s.partition.mayManageObject(o); err != nil {
		return 0, err
	}
	if err := s.mayStore(o); err != nil {
		return 0, err
	}
	r := &resident{object: o}
	if isKey(o) {
		// Parsing is the check that the key material is sound.
		if _, err := r.parsedKey(); err != nil {
			return 0, err
		}
	}
	if err := checkPublicKeyInfo(r, t); err != nil {
		return 0, err
	}
	handles, err := s.keep(token, creation{member: s.member, event: audit.EventImport}, o)
	return first(handles), err
}

// first is the only handle of a call that makes one object.
func first(handles []cryptoki.ObjectHandle) cryptoki.ObjectHandle {
	if len(handles) == 0 {
		return 0
	}
	return handles[0]
}

func isKey(o *object.Object) bool {
	return o.KeyType() != cryptoki.KeyType(cryptoki.UnavailableInformation)
}

// Copy is C_CopyObject.
func (s *Session) Copy(token Token, h cryptoki.ObjectHandle, t cryptoki.Template) (cryptoki.ObjectHandle, error) {
	if err := s.partition.untouchable(h); err != nil {
		return 0, err
	}
	r, err := s.object(h)
	if err != nil {
		return 0, err
	}
	if made, err := s.created(token, boolIn(t, cryptoki.CKA_TOKEN, r.object.Token())); made != nil || err != nil {
		return first(made), err
	}
	if err := s.partition.admitChange(t); err != nil {
		return 0, err
	}
	o, err := r.object.Copy(t)
	if err != nil {
		return 0, err
	}
	if err := checkPublicKeyInfo(r, t); err != nil {
		return 0, err
	}
	if err := s.partition.limits().CheckChange(r.object, o); err != nil {
		return 0, err
	}
	if err := s.partition.mayManageObject(o); err != nil {
		return 0, err
	}
	if err := s.mayStore(o); err != nil {
		return 0, err
	}
	used, err := s.partition.usedIVs(r)
	if err != nil {
		return 0, err
	}
	handles, err := s.keep(token, creation{
		member: s.member, event: audit.EventCopy, usedIVs: used,
		copied: r.object, source: h, gone: cryptoki.CKR_OBJECT_HANDLE_INVALID,
	}, o)
	return first(handles), err
}

// created finds the objects that an earlier call with this token made; durable
// tells of each whether it is a token object. Nil when there was no such call.
func (s *Session) created(token Token, durable ...bool) ([]cryptoki.ObjectHandle, error) {
	if !token.given() {
		return nil, nil
	}
	temporary := s.member.madeBy(token)
	stored, err := s.partition.madeBy(token)
	if err != nil || len(temporary)+len(stored) != len(durable) {
		return nil, err
	}
	handles := make([]cryptoki.ObjectHandle, len(durable))
	for i, d := range durable {
		from := &temporary
		if d {
			from = &stored
		}
		if len(*from) == 0 {
			return nil, nil
		}
		handles[i], *from = (*from)[0], (*from)[1:]
	}
	return handles, nil
}

// keep stores new objects, all or none: session objects with the application,
// token objects durably, and the entry in the audit log with them. The two halves of a key pair may be of different kinds. The
// handles are in the order of the objects.
func (s *Session) keep(token Token, entry creation, objects ...*object.Object) ([]cryptoki.ObjectHandle, error) {
	temporary := make([]*resident, len(objects))
	var session []*resident
	for i := range objects {
		var id [object.OUIDSize]byte
		rand.Read(id[:])
		o := objects[i].WithOUID(id)
		objects[i] = o
		if !o.Token() {
			temporary[i] = &resident{object: o}
			if entry.usedIVs > 0 {
				temporary[i].budget.Store(s.partition.temporaryBudget(entry.usedIVs))
			}
			session = append(session, temporary[i])
		}
	}
	// Session objects first: they can be taken back.
	if err := s.member.add(s, token, session); err != nil {
		return nil, err
	}
	handles, err := s.partition.store(token, entry, objects, temporary)
	if err != nil {
		for _, r := range session {
			s.member.destroy(r.handle)
		}
		return nil, errors.Join(err, s.member.reap())
	}
	return handles, nil
}

// Destroy is C_DestroyObject. A token object is gone for good when it returns.
func (s *Session) Destroy(h cryptoki.ObjectHandle) error {
	if err := s.partition.untouchable(h); err != nil {
		return err
	}
	r, err := s.object(h)
	if err != nil {
		return err
	}
	if r.object.Token() {
		if err := s.mayHold(true, true); err != nil {
			return err
		}
	}
	if err := s.partition.mayManageObject(r.object); err != nil {
		return err
	}
	if !r.object.Bool(cryptoki.CKA_DESTROYABLE) {
		return cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "CKA_DESTROYABLE is false")
	}
	entry := audit.Record{Event: audit.EventDestroy, Object: h, Class: audit.Some(r.object.Class())}
	if r.object.Token() {
		err = s.partition.destroy(h, s.member, entry)
	} else {
		err = s.member.discard(h, entry)
	}
	if err == nil {
		s.authorizations.forget(h)
	}
	return err
}

// discard destroys a session object, with the entry in the audit log.
func (m *Member) discard(h cryptoki.ObjectHandle, entry audit.Record) error {
	if !m.destroy(h) {
		return cryptoki.CKR_OBJECT_HANDLE_INVALID
	}
	err := m.partition.config.Store.Update(func(w keystore.Writer) error {
		return m.record(w, m.Role(), entry)
	})
	return errors.Join(storeError(err), m.reap())
}

// Size is C_GetObjectSize, in bytes by object.Size's formula.
func (s *Session) Size(h cryptoki.ObjectHandle) (uint64, error) {
	if s.partition.builtin(h) != nil {
		return 0, nil
	}
	r, err := s.object(h)
	if err != nil {
		return 0, err
	}
	return r.object.Size(), nil
}

// Attributes is C_GetAttributeValue: each attribute that was asked for, in order, and
// CKR_ATTRIBUTE_TYPE_INVALID or CKR_ATTRIBUTE_SENSITIVE when one of them had no value
// to show. The values belong to the object.
func (s *Session) Attributes(h cryptoki.ObjectHandle, types []uint64, visit func(object.Status, []byte)) error {
	read, err := s.reader(h)
	if err != nil {
		return err
	}
	result := cryptoki.CKR_OK
	for _, t := range types {
		value, status, err := read(cryptoki.AttributeType(t))
		if err != nil {
			return err
		}
		visit(status, value)
		switch {
		case status == object.Absent:
			result = cryptoki.CKR_ATTRIBUTE_TYPE_INVALID
		case status == object.Sensitive && result == cryptoki.CKR_OK:
			result = cryptoki.CKR_ATTRIBUTE_SENSITIVE
		}
	}
	if result != cryptoki.CKR_OK {
		return result
	}
	return nil
}

// reader reads the attributes of one object. Error: CKR_OBJECT_HANDLE_INVALID.
func (s *Session) reader(h cryptoki.ObjectHandle) (func(cryptoki.AttributeType) ([]byte, object.Status, error), error) {
	if attributes := s.partition.builtin(h); attributes != nil {
		return func(t cryptoki.AttributeType) ([]byte, object.Status, error) {
			value, status := readBuiltin(attributes, t)
			return value, status, nil
		}, nil
	}
	r, err := s.object(h)
	if err != nil {
		return nil, err
	}
	return func(t cryptoki.AttributeType) ([]byte, object.Status, error) { return s.read(r, t) }, nil
}

// read is what the application gets to see of an attribute.
func (s *Session) read(r *resident, t cryptoki.AttributeType) (value []byte, status object.Status, err error) {
	switch {
	case t == cryptoki.CKA_UNIQUE_ID:
		return uniqueID(r.handle), object.Present, nil
	case t == cryptoki.CKA_PUBLIC_KEY_INFO && ofPair(r.object):
		value, status = publicKeyInfo(r)
		return value, status, nil
	case s.partition.hidden(t):
		return nil, object.Absent, nil
	case counted(t):
		return s.partition.readStanding(r.object, t)
	}
	value, status = r.object.Read(t)
	return value, status, nil
}

// SetAttributes is C_SetAttributeValue: all of the template or nothing.
func (s *Session) SetAttributes(h cryptoki.ObjectHandle, t cryptoki.Template) error {
	if err := s.partition.untouchable(h); err != nil {
		return err
	}
	r, err := s.object(h)
	if err != nil {
		return err
	}
	set := s.setter(t)
	if trusted, trusts := s.trusts(t); trusts {
		set = trust(trusted)
	} else if err := s.mayChange(r.object); err != nil {
		return err
	}
	if err := s.partition.admitChange(t); err != nil {
		return err
	}
	if err := s.partition.mayManageObject(r.object); err != nil {
		return err
	}
	if err := checkPublicKeyInfo(r, t); err != nil {
		return err
	}
	if r.object.Token() {
		entry := audit.Record{Event: audit.EventAttributes, Object: h, Class: audit.Some(r.object.Class())}
		return s.partition.change(h, set.alone, s.member, entry)
	}
	for {
		o, err := set(r.object)
		if err != nil {
			return err
		}
		if done, err := s.member.replace(r, &resident{handle: h, object: o}); done || err != nil {
			return err
		}
		if r = s.member.find(h); r == nil {
			return cryptoki.CKR_OBJECT_HANDLE_INVALID
		}
	}
}

// MaxFind is the most handles that one Find returns.
const MaxFind = 4096

// Find returns the handles above after of the objects that match, in their
// order, at most limit of them, and whether there may be more. It keeps no state:
// objects that existed throughout are neither skipped nor repeated.
func (s *Session) Find(t cryptoki.Template, after cryptoki.ObjectHandle, limit int) (found []cryptoki.ObjectHandle, more bool, err error) {
	if limit < 1 || limit > MaxFind {
		limit = MaxFind
	}
	if found, more, asked := s.partition.findBuiltin(t, after, limit); asked {
		return found, more, nil
	}
	for _, a := range t {
		if s.partition.hidden(a.Type) {
			return nil, false, nil // no object that can be seen has it
		}
	}
	if stored, counts := splitCounted(t); len(counts) > 0 {
		return s.findByStanding(stored, counts, after, limit)
	}
	if h, rest, asked := takeUniqueID(t); asked {
		return s.findOne(h, rest, after)
	}
	take := func(r *resident) bool {
		if s.member.sees(r) && r.object.Matches(t) {
			if len(found) == limit {
				more = true
				return false
			}
			found = append(found, r.handle)
		}
		return true
	}
	if after&cryptoki.SessionObject == 0 {
		if err := s.partition.search(t, after, take); err != nil || more {
			return found, more, err
		}
	}
	for _, r := range s.member.list(after) {
		if !take(r) {
			break
		}
	}
	return found, more, nil
}
