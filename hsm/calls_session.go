package hsm

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/wire"
)

func (r *request) openSession(q *wire.OpenSessionRequest, p *wire.OpenSessionReply) error {
	slot := cryptoki.SlotID(q.Slot)
	part, err := r.hsm.partition(q.Slot)
	if err != nil {
		return err
	}
	if cryptoki.Flags(q.Flags)&cryptoki.CKF_SERIAL_SESSION == 0 {
		return cryptoki.CKR_SESSION_PARALLEL_NOT_SUPPORTED
	}
	member, err := r.app.member(slot, part)
	if err != nil {
		return err
	}
	handle := r.hsm.nextSession()
	s, err := part.Open(member, handle, slot, cryptoki.Flags(q.Flags)&cryptoki.CKF_RW_SESSION != 0, func() { r.hsm.forget(handle) })
	if err != nil {
		return err
	}
	r.hsm.remember(s, r.app)
	p.Session = uint64(handle)
	return nil
}

func (r *request) closeSession(*wire.CloseSessionRequest, *wire.CloseSessionReply) error {
	r.session.Close()
	return nil
}

func (r *request) closeAllSessions(q *wire.CloseAllSessionsRequest, _ *wire.CloseAllSessionsReply) error {
	part, err := r.hsm.partition(q.Slot)
	if err != nil {
		return err
	}
	member, err := r.app.member(cryptoki.SlotID(q.Slot), part)
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

func (r *request) login(q *wire.LoginRequest, _ *wire.LoginReply) error {
	pin := secret.Take(q.PIN)
	defer pin.Wipe()
	return r.session.Login(cryptoki.UserType(q.User), pin)
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
