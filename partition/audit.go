package partition

import (
	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/object"
)

// by is the member as the audit log names him, in the role that he acts in.
func (m *Member) by(role Role) audit.Actor {
	return audit.Actor{
		Source: audit.SourceLocal, Role: roleRules[role].audit,
		Application: m.actor.Application, UID: m.actor.UID, PID: m.actor.PID, Program: m.actor.Program,
	}
}

// record writes an entry about the partition in the transaction of the act itself.
func (m *Member) record(w keystore.Writer, role Role, r audit.Record) error {
	r.Actor, r.Partition = m.by(role), uint32(m.partition.id)
	return m.partition.config.Audit.Append(w, r)
}

// require is record for an act that is recorded whatever its class, if must is true.
func (m *Member) require(w keystore.Writer, role Role, r audit.Record, must bool) error {
	if !must {
		return m.record(w, role, r)
	}
	r.Actor, r.Partition = m.by(role), uint32(m.partition.id)
	return m.partition.config.Audit.Require(w, r)
}

// LogExternal is CA_LogExternal: an application's text goes into the audit log, if the
// Auditor wants such texts. What does not print is replaced.
// Errors: CKR_DATA_LEN_RANGE, CKR_USER_NOT_LOGGED_IN.
func (s *Session) LogExternal(text string) error {
	if n := len(text); n == 0 || n > audit.MaxDetail {
		return cryptoki.Errorf(cryptoki.CKR_DATA_LEN_RANGE, "a text for the audit log has 1 to %d bytes, not %d", audit.MaxDetail, n)
	}
	if s.member.Role() == RoleNone {
		return cryptoki.CKR_USER_NOT_LOGGED_IN
	}
	return s.log(audit.Record{Event: audit.EventExternal, Detail: text}, false, nil)
}

// creation is the entry of an act that made objects, for the store to complete with
// their handles.
type creation struct {
	member    *Member
	event     audit.Event
	mechanism audit.Optional[cryptoki.MechanismType]
	// source is what the objects were made of; gone is the code when it is not there any
	// more.
	source cryptoki.ObjectHandle
	gone   cryptoki.RV
	// usedIVs is how much of its budget a key that is copied has used.
	usedIVs uint64
	// copied is the original of a copy.
	copied *object.Object
	// must says that the source has authorization data, so that its use is recorded.
	must bool
}

// check finds out, inside the update that keeps the objects, whether their source has gone
// since the call looked at it: what erases or destroys a key is for all that comes of it.
func (e creation) check(r keystore.Reader) error {
	if e.source == 0 {
		return nil
	}
	if err := e.member.holds(r, e.source, e.gone); err != nil || e.copied == nil {
		return err
	}
	v, guarded := e.copied.Verifier()
	if !guarded {
		return nil
	}
	switch in, err := e.member.inFamily(r, e.source, v.Family); {
	case err != nil:
		return err
	case !in:
		return cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "the key's authorization data was changed meanwhile")
	}
	return nil
}

func (e creation) record(w keystore.Writer, handles []cryptoki.ObjectHandle, objects []*object.Object) error {
	r := audit.Record{Event: e.event, Mechanism: e.mechanism, Related: e.source}
	// Of a pair the private key, which is made last, is the object.
	for i, h := range handles {
		if r.Object != 0 {
			r.Related = r.Object
		}
		r.Object, r.Class = h, audit.Some(objects[i].Class())
	}
	return e.member.require(w, e.member.Role(), r, e.must)
}
