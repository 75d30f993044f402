package hsm

import (
	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/wire"
)

// whenFull tells which calls are answered while the audit log is full: to log in and out,
// to open and close sessions, what it takes to get there, and what the Auditor drains the
// log with. Of InitRole that is to make an Auditor where there is none; the log refuses the
// others.
func whenFull(call wire.Call) bool {
	switch call {
	case wire.CallHello, wire.CallGoodbye, wire.CallSlotList, wire.CallSlotInfo, wire.CallTokenInfo, wire.CallSessionInfo,
		wire.CallOpenSession, wire.CallCloseSession, wire.CallCloseAllSessions, wire.CallLogin, wire.CallLogout, wire.CallResume,
		wire.CallHSMInfo, wire.CallPartitionList, wire.CallRoleState, wire.CallInitRole, wire.CallStop,
		wire.CallAuditRead, wire.CallAuditVerify, wire.CallAuditCheckpoint,
		wire.CallAuditSettings, wire.CallSetAuditSettings, wire.CallAuditExport, wire.CallAuditClear:
		return true
	}
	return false
}

// roomToTell refuses a call that needs a log with room in it. Error: CKR_LOG_FULL.
func (h *HSM) roomToTell(call wire.Call) error {
	if whenFull(call) {
		return nil
	}
	full, err := h.audit.Full(h.store)
	if err == nil && full {
		err = audit.ErrFull
	}
	return err
}

// auditUsage reads how much there is in the audit log.
func (h *HSM) auditUsage() (u audit.Usage, err error) {
	err = h.store.View(func(r keystore.Reader) error {
		u, err = h.audit.Usage(r)
		return err
	})
	return u, err
}

// watchAudit warns of an audit log that will be full: then it is too late for a warning.
func (h *HSM) watchAudit() error {
	u, err := h.auditUsage()
	if err == nil && u.Entries() >= u.Limit/4*3 {
		h.log.Warn("the audit log fills up, and a full one stops the work: the Auditor exports and clears it with `tidelock audit rotate`",
			"entries", u.Entries(), "limit", u.Limit)
	}
	return err
}
