package hsm

import (
	"tidelock.dev/tidelock/audit"
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
