package hsm

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/wire"
)

func (r *request) hsmInfo(_ *wire.HSMInfoRequest, p *wire.HSMInfoReply) error {
	h := r.hsm
	now := h.state.Load()
	officer, err := now.administration.RoleState(cryptoki.CKU_SO)
	if err != nil {
		return err
	}
	auditor, err := now.administration.RoleState(cryptoki.CKU_AUDIT)
	if err != nil {
		return err
	}
	log, err := h.auditUsage()
	if err != nil {
		return err
	}
	*p = wire.HSMInfoReply{
		Label: now.record.label, Serial: now.record.serial, Model: model, Firmware: now.record.level.String(),
		Mode: now.record.mode.String(), RootKey: h.rootKind, State: now.record.state.String(),
		Partitions: uint64(len(now.record.slots)), Applications: uint64(h.applications.count()), Sessions: h.sessionCount(),
		UptimeSeconds: uint64(h.now().Sub(h.started).Seconds()),
		Approved:      approved(),
		Rollback:      h.witness.String(),
		Memory:        h.memory(),
		Officer:       describe(officer), OfficerLeft: officer.AttemptsLeft, Auditor: describe(auditor),
		Allowed:    uint64(now.record.licences),
		TotalBytes: now.record.usable(), UsedBytes: now.record.usable() - now.free(), FreeBytes: now.free(),
		Rsa:          mech.RSAProvider(),
		AuditEntries: log.Entries(), AuditLimit: log.Limit,
	}
	return nil
}

// describe is a role's state for people.
func describe(s partition.RoleState) string {
	switch {
	case !s.Initialized:
		return "not initialised"
	case s.Locked:
		return "locked"
	case s.MustChange:
		return "must change the PIN"
	}
	return "initialised"
}

func (r *request) partitionList(_ *wire.PartitionListRequest, p *wire.PartitionListReply) error {
	now := r.hsm.state.Load()
	for _, s := range now.record.slots {
		if !s.sees(r.caller) {
			continue
		}
		part := now.partitions[s.number]
		p.Slots = append(p.Slots, uint64(s.number))
		p.Labels = append(p.Labels, part.Label())
		p.Serials = append(p.Serials, part.Serial())
	}
	return nil
}

// stop ends the server after this reply. Whoever may send it a signal may also
// send it this.
func (r *request) stop(*wire.StopRequest, *wire.StopReply) error {
	if !r.caller.Owner {
		return cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "uid %d may not stop the server", r.caller.UID)
	}
	r.hsm.stop()
	return nil
}
