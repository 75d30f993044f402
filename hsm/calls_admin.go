package hsm

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

func (r *request) hsmInfo(_ *wire.HSMInfoRequest, p *wire.HSMInfoReply) error {
	h := r.hsm
	*p = wire.HSMInfoReply{
		Label: h.record.label, Serial: h.record.serial, Model: model, Firmware: h.level.String(),
		Mode: h.record.mode.String(), RootKey: h.rootKind, State: "operational",
		Partitions: uint64(len(h.partitions)), Applications: uint64(h.applications.count()), Sessions: h.sessionCount(),
		UptimeSeconds: uint64(h.now().Sub(h.started).Seconds()),
		Approved:      approved(),
		Rollback:      h.witness.String(),
		Memory:        h.memory(),
	}
	return nil
}

func (r *request) partitionList(_ *wire.PartitionListRequest, p *wire.PartitionListReply) error {
	for slot, part := range r.hsm.partitions {
		p.Slots = append(p.Slots, uint64(slot))
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
