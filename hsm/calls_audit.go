package hsm

import (
	"errors"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

// by is the caller as the audit log names him. Roles belong to partitions: one who
// acts on the HSM as a whole has none.
func (r *request) by() audit.Actor {
	return audit.Actor{
		Source: audit.SourceLocal, Application: r.app.number,
		UID: r.caller.UID, PID: r.caller.PID, Program: r.app.program,
	}
}

// mayAudit refuses the audit log to whom the server does not belong: it tells what
// all others do.
func (r *request) mayAudit() error {
	if !r.caller.Owner {
		return cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "uid %d may not use the audit log", r.caller.UID)
	}
	return nil
}

func (r *request) auditRead(q *wire.AuditReadRequest, p *wire.AuditReadReply) error {
	if err := r.mayAudit(); err != nil {
		return err
	}
	page, err := r.hsm.audit.Read(r.hsm.store, q.From, int(min(q.Limit, audit.MaxPage)))
	if err != nil {
		return err
	}
	*p = wire.AuditReadReply{Header: string(page.Header.Line()), Newest: page.Newest}
	for _, e := range page.Entries {
		p.Entries = append(p.Entries, string(e.Line()))
	}
	return nil
}

// auditVerify answers CKR_OK for a log that does not hold too: the call did what it
// was asked to.
func (r *request) auditVerify(_ *wire.AuditVerifyRequest, p *wire.AuditVerifyReply) error {
	if err := r.mayAudit(); err != nil {
		return err
	}
	end, err := r.hsm.audit.Verify(r.hsm.store)
	var fault *audit.Fault
	if errors.As(err, &fault) {
		r.hsm.log.Error("the audit log does not hold", "fault", fault.Error())
		*p = wire.AuditVerifyReply{Kind: string(fault.Kind), First: fault.First, Last: fault.Last, Fault: fault.Cause}
		return nil
	}
	*p = wire.AuditVerifyReply{Sound: err == nil, Newest: end.Newest, Oldest: end.Oldest}
	return err
}

func (r *request) auditCheckpoint(_ *wire.AuditCheckpointRequest, p *wire.AuditCheckpointReply) error {
	if err := r.mayAudit(); err != nil {
		return err
	}
	c, err := r.hsm.audit.Checkpoint(r.hsm.store, r.by())
	if err != nil {
		return err
	}
	p.Checkpoint = string(c.Text())
	return nil
}
