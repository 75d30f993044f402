package hsm

import (
	"bytes"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/wire"
)

func (r *request) openSession(q *wire.OpenSessionRequest, p *wire.OpenSessionReply) error {
	slot := cryptoki.SlotID(q.Slot)
	part, err := r.usable(q.Slot)
	if err != nil {
		return err
	}
	if cryptoki.Flags(q.Flags)&cryptoki.CKF_SERIAL_SESSION == 0 {
		return cryptoki.CKR_SESSION_PARALLEL_NOT_SUPPORTED
	}
	member, err := r.app.member(slot, part, r.caller)
	if err != nil {
		return err
	}
	handle := r.hsm.newSession()
	s, err := part.Open(member, handle, slot, readWrite(q.Flags), func() { r.hsm.forget(handle) })
	if err != nil {
		return err
	}
	r.hsm.remember(s, r.app)
	p.Session = uint64(handle)
	return r.stillSees(q.Slot)
}

// stillSees ends what the application has just opened in a slot that was taken away from
// it meanwhile: a revocation ends only what it finds.
func (r *request) stillSees(slot uint64) error {
	_, err := r.partition(slot)
	if err != nil {
		r.app.expel(cryptoki.SlotID(slot))
	}
	return err
}

func readWrite(flags uint64) bool { return cryptoki.Flags(flags)&cryptoki.CKF_RW_SESSION != 0 }

// maxResume bounds the sessions of one Resume; the frame would bound them higher.
const maxResume = partition.MaxSessions

// resume brings an application back that was connected to an earlier server: its
// sessions under their old handles and, with a good ticket, its login.
func (r *request) resume(q *wire.ResumeRequest, p *wire.ResumeReply) error {
	ticket := secret.Take(q.Ticket)
	defer ticket.Wipe()
	slot := cryptoki.SlotID(q.Slot)
	part, err := r.usable(q.Slot)
	if err != nil {
		return err
	}
	if len(q.Sessions) != len(q.Flags) || len(q.Sessions) > maxResume {
		return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "%d sessions with %d flags", len(q.Sessions), len(q.Flags))
	}
	member, err := r.app.member(slot, part, r.caller)
	if err != nil {
		return err
	}
	for i, n := range q.Sessions {
		handle := cryptoki.SessionHandle(n)
		if !r.hsm.earlier(handle) {
			continue
		}
		if owner := r.hsm.owner(handle); owner != nil && owner != r.app {
			continue
		}
		s, err := part.Reopen(member, handle, slot, readWrite(q.Flags[i]), func() { r.hsm.forget(handle) })
		if err != nil {
			return err
		}
		r.hsm.remember(s, r.app)
		p.Opened = append(p.Opened, n)
	}
	if p.LoggedIn, err = member.Resume(ticket); err != nil {
		return err
	}
	return r.stillSees(q.Slot)
}

func (r *request) closeSession(*wire.CloseSessionRequest, *wire.CloseSessionReply) error {
	r.session.Close()
	return nil
}

func (r *request) closeAllSessions(q *wire.CloseAllSessionsRequest, _ *wire.CloseAllSessionsReply) error {
	part, err := r.partition(q.Slot)
	if err != nil {
		return err
	}
	member, err := r.app.member(cryptoki.SlotID(q.Slot), part, r.caller)
	if err != nil {
		return err
	}
	member.CloseAll()
	return nil
}

func (r *request) sessionInfo(_ *wire.SessionInfoRequest, p *wire.SessionInfoReply) error {
	state, flags := r.session.Info()
	*p = wire.SessionInfoReply{Slot: uint64(r.session.Slot), State: uint64(state), Flags: uint64(flags)}
	return nil
}

func (r *request) login(q *wire.LoginRequest, p *wire.LoginReply) error {
	pin := secret.Take(q.PIN)
	defer pin.Wipe()
	ticket, err := r.session.Login(cryptoki.UserType(q.User), pin)
	if err != nil {
		return err
	}
	defer ticket.Wipe()
	// Whoever sends the reply wipes this copy.
	p.Ticket = bytes.Clone(ticket.Expose())
	return nil
}

func (r *request) logout(*wire.LogoutRequest, *wire.LogoutReply) error {
	return r.session.Logout()
}

func (r *request) setPIN(q *wire.SetPINRequest, _ *wire.SetPINReply) error {
	old, pin := secret.Take(q.Old), secret.Take(q.New)
	defer old.Wipe()
	defer pin.Wipe()
	return r.session.SetPIN(old, pin)
}
