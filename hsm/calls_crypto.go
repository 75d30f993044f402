package hsm

import (
	"crypto/rand"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/wire"
)

// permitMultiPart is bit 0 of a permit's flags.
const permitMultiPart = 1

func (r *request) operationInit(q *wire.OperationInitRequest, p *wire.OperationInitReply) error {
	permit, err := r.session.Init(mech.Function(q.Function), &q.Mechanism, cryptoki.ObjectHandle(q.Key))
	r.used(UseFunction(q.Function), q.Mechanism.Type, err)
	if err != nil {
		return err
	}
	*p = wire.OperationInitReply{Permit: permit.Valid, Rule: uint8(permit.Rule.Kind), RuleLength: permit.Rule.Length}
	if permit.MultiPart {
		p.Flags |= permitMultiPart
	}
	return nil
}

// outcome puts an operation's output into a reply. An output that did not fit is
// CKR_BUFFER_TOO_SMALL with its length, unless only the length was asked for.
func outcome(o partition.Output, err error, capacity uint64, output *[]byte, length *uint64) error {
	if err != nil {
		return err
	}
	*output, *length = o.Data, o.Length
	if !o.Fits && capacity != partition.AskLength {
		return cryptoki.CKR_BUFFER_TOO_SMALL
	}
	return nil
}

func (r *request) operate(q *wire.OperateRequest, p *wire.OperateReply) error {
	o, err := r.session.Operate(mech.Function(q.Function), q.Data, q.Signature, q.Capacity)
	return outcome(o, err, q.Capacity, &p.Output, &p.Length)
}

func (r *request) operateFused(q *wire.OperateFusedRequest, p *wire.OperateFusedReply) error {
	o, err := r.session.OperateFused(mech.Function(q.Function), &q.Mechanism, cryptoki.ObjectHandle(q.Key), q.Data, q.Signature, q.Capacity)
	err = outcome(o, err, q.Capacity, &p.Output, &p.Length)
	if q.Capacity != partition.AskLength {
		r.used(UseFunction(q.Function), q.Mechanism.Type, err)
	}
	return err
}

func (r *request) update(q *wire.UpdateRequest, p *wire.UpdateReply) error {
	o, err := r.session.Update(mech.Function(q.Function), q.Data, q.Capacity)
	return outcome(o, err, q.Capacity, &p.Output, &p.Length)
}

func (r *request) updateBoth(q *wire.UpdateBothRequest, p *wire.UpdateBothReply) error {
	o, err := r.session.UpdateBoth(mech.Function(q.Function), mech.Function(q.Other), q.Data, q.Capacity)
	return outcome(o, err, q.Capacity, &p.Output, &p.Length)
}

func (r *request) final(q *wire.FinalRequest, p *wire.FinalReply) error {
	o, err := r.session.Final(mech.Function(q.Function), q.Signature, q.Capacity)
	return outcome(o, err, q.Capacity, &p.Output, &p.Length)
}

func (r *request) drain(q *wire.DrainRequest, p *wire.DrainReply) error {
	o, err := r.session.Drain(mech.Function(q.Function))
	return outcome(o, err, 0, &p.Output, &p.Length)
}

func (r *request) operationCancel(q *wire.OperationCancelRequest, _ *wire.OperationCancelReply) error {
	for f := mech.Encrypt; f <= mech.MessageDecrypt; f++ {
		if q.Functions&(1<<f) != 0 {
			r.session.Cancel(f)
		}
	}
	return nil
}

// maxRandom is the most random bytes of one reply.
const maxRandom = partition.MaxOutput

func (r *request) generateRandom(q *wire.GenerateRandomRequest, p *wire.GenerateRandomReply) error {
	if q.Length > maxRandom {
		return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "%d random bytes in one call, at most %d", q.Length, maxRandom)
	}
	p.Random = make([]byte, q.Length)
	rand.Read(p.Random)
	return nil
}

// seedRandom refuses: the generator seeds itself (SP 800-90A), and a seed from
// outside could only weaken it.
func (r *request) seedRandom(*wire.SeedRandomRequest, *wire.SeedRandomReply) error {
	return cryptoki.CKR_RANDOM_SEED_NOT_SUPPORTED
}
