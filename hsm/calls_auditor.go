package hsm

import (
	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/wire"
)

// auditor checks that the session is the Auditor's, and is he as the audit log names him.
// Errors: CKR_USER_NOT_LOGGED_IN, CKR_PIN_EXPIRED.
func (r *request) auditor() (audit.Actor, error) {
	by := r.by()
	by.Role = audit.RoleAuditor
	return by, r.session.Authorized(partition.RoleAuditor)
}

func (r *request) auditSettings(_ *wire.AuditSettingsRequest, p *wire.AuditSettingsReply) error {
	if err := r.mayAudit(); err != nil {
		return err
	}
	s := r.hsm.audit.Settings()
	*p = wire.AuditSettingsReply{Classes: uint32(s.Classes), Limit: s.Limit}
	return nil
}

func (r *request) setAuditSettings(q *wire.SetAuditSettingsRequest, _ *wire.SetAuditSettingsReply) error {
	by, err := r.auditor()
	if err != nil {
		return err
	}
	r.hsm.acts.Lock()
	defer r.hsm.acts.Unlock()
	return r.hsm.audit.Set(r.hsm.store, audit.Settings{Classes: audit.Classes(q.Classes), Limit: q.Limit}, by)
}

func (r *request) auditExport(_ *wire.AuditExportRequest, p *wire.AuditExportReply) error {
	by, err := r.auditor()
	if err != nil {
		return err
	}
	g, err := r.hsm.audit.Export(r.hsm.store, by)
	if err != nil {
		return err
	}
	p.Segment = string(g.Line())
	return nil
}

func (r *request) auditClear(q *wire.AuditClearRequest, _ *wire.AuditClearReply) error {
	by, err := r.auditor()
	if err != nil {
		return err
	}
	g, err := audit.ParseSegment([]byte(q.Segment))
	if err != nil {
		return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "%w", err)
	}
	// A witness that has not come to the segment's end could not be compared any more.
	if err := r.hsm.witness.see(r.hsm); err != nil {
		return cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "the log is not cleared: %w", err)
	}
	if err := r.hsm.audit.Clear(r.hsm.store, g, by); err != nil {
		return err
	}
	return r.hsm.sweepAudit()
}

// sweepAudit removes what was cleared from the store, in batches.
func (h *HSM) sweepAudit() error {
	for {
		if done, err := h.audit.Sweep(h.store); done || err != nil {
			return err
		}
	}
}

// logExternal is CA_LogExternal.
func (r *request) logExternal(q *wire.LogExternalRequest, _ *wire.LogExternalReply) error {
	return r.session.LogExternal(string(q.Text))
}
