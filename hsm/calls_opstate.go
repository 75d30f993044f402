package hsm

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

func (r *request) getOperationState(q *wire.GetOperationStateRequest, p *wire.GetOperationStateReply) error {
	o, err := r.session.OperationState(q.Capacity)
	return outcome(o, err, q.Capacity, &p.State, &p.Length)
}

func (r *request) setOperationState(q *wire.SetOperationStateRequest, p *wire.SetOperationStateReply) error {
	permit, parts, err := r.session.SetOperationState(q.State, cryptoki.ObjectHandle(q.Encryption), cryptoki.ObjectHandle(q.Authentication))
	if err != nil {
		return err
	}
	*p = wire.SetOperationStateReply{Rule: uint8(permit.Rule.Kind), RuleLength: permit.Rule.Length, Parts: parts}
	if permit.MultiPart {
		p.Flags |= permitMultiPart
	}
	return nil
}
