package hsm

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/wire"
)

func (r *request) initRole(q *wire.InitRoleRequest, _ *wire.InitRoleReply) error {
	pin := secret.Take(q.PIN)
	defer pin.Wipe()
	return r.session.InitRole(cryptoki.UserType(q.User), pin)
}

func (r *request) resetRole(q *wire.ResetRoleRequest, _ *wire.ResetRoleReply) error {
	pin := secret.Take(q.PIN)
	defer pin.Wipe()
	return r.session.ResetRole(cryptoki.UserType(q.User), pin)
}

func (r *request) roleState(q *wire.RoleStateRequest, p *wire.RoleStateReply) error {
	part, err := r.usable(q.Slot)
	if err != nil {
		return err
	}
	s, err := part.RoleState(cryptoki.UserType(q.User))
	if err != nil {
		return err
	}
	*p = wire.RoleStateReply{Flags: s.Flags(), AttemptsLeft: uint8(min(s.AttemptsLeft, 255))}
	if s.Initialized {
		p.Primary = authenticationPassword
	}
	return nil
}

// authenticationPassword is CA_AUTHENTICATION_TYPE's number of a PIN.
const authenticationPassword = 1
