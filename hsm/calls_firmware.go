package hsm

import (
	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/wire"
)

func (r *request) firmwareInfo(_ *wire.FirmwareInfoRequest, p *wire.FirmwareInfoReply) error {
	rec := r.hsm.state.Load().record
	*p = wire.FirmwareInfoReply{Level: rec.level.String(), Modules: rec.modules, MemoryBytes: rec.memory}
	if target, err := rec.firmware().RollbackTarget(); err == nil {
		p.Previous = target.String()
	}
	if u := r.hsm.updating.Load(); u != nil {
		p.Updating, p.Done, p.Total = u.to.String(), u.done.Load(), u.total.Load()
	}
	return nil
}

// parseLevel reads a level from a request. Error: CKR_ARGUMENTS_BAD.
func parseLevel(text string) (firmware.Level, error) {
	level, err := firmware.Parse(text)
	if err != nil {
		return firmware.Level{}, cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "%w", err)
	}
	return level, nil
}

// firmwareUpdate is the HSM SO's. Every session has ended when it returns, his own too.
func (r *request) firmwareUpdate(q *wire.FirmwareUpdateRequest, p *wire.FirmwareUpdateReply) error {
	// Whoever may not, or asks for what cannot be, stops nobody's work.
	if err := r.session.Authorized(partition.RoleHSMSO); err != nil {
		return err
	}
	to, err := parseLevel(q.Level)
	if err != nil {
		return err
	}
	h := r.hsm
	if err := firmware.CanUpdate(h.level(), to); err != nil {
		return err
	}
	resume, err := h.alone(to)
	if err != nil {
		return err
	}
	progress := h.updating.Load()
	err = func() error {
		defer resume()
		if err := r.session.Authorized(partition.RoleHSMSO); err != nil {
			return err // he has logged out meanwhile
		}
		return h.update(to, r.as())
	}()
	if err != nil {
		return err
	}
	p.Objects = progress.done.Load()
	// The areas that the next update writes into count as erased until it is over.
	h.serving.RLock()
	defer h.serving.RUnlock()
	return h.sweep()
}

// firmwareRollback is the HSM SO's, who is destroyed with everything else.
func (r *request) firmwareRollback(_ *wire.FirmwareRollbackRequest, p *wire.FirmwareRollbackReply) (err error) {
	defer r.hsm.sweepAfter(&err)
	if err := r.administer(); err != nil {
		return err
	}
	h := r.hsm
	defer h.acts.Unlock()
	now := h.state.Load()
	target, err := now.record.firmware().RollbackTarget()
	if err != nil {
		return err
	}
	entry := audit.Record{Event: audit.EventHSMFirmware, Actor: r.as(), Detail: "rolled back to " + target.String() + ", zeroized"}
	err = h.act(entry, func(w keystore.Writer, rec *record) error { return rec.rollback(w, now.administration) })
	if err != nil {
		return err
	}
	p.Level = target.String()
	return nil
}

// firmwarePlan tells an administrator what an update would do.
func (r *request) firmwarePlan(q *wire.FirmwarePlanRequest, p *wire.FirmwarePlanReply) error {
	if !r.caller.Administrator {
		return cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "this is for the administrator's socket")
	}
	to, err := parseLevel(q.Level)
	if err != nil {
		return err
	}
	plan, err := r.hsm.state.Load().plan(to)
	if err != nil {
		return err
	}
	p.Converts, p.MemoryBytes, p.NewMemory = plan.converts(), plan.before.memory, plan.after.memory
	addPolicies(p, wire.AdminSlot, policy.HSM(to), plan.before.policies, plan.after.policies)
	for _, one := range plan.partitions {
		i := one.Identity()
		p.Slots = append(p.Slots, uint64(one.slot))
		p.Labels = append(p.Labels, i.Label)
		p.Versions = append(p.Versions, uint64(i.Version))
		p.NewVersions = append(p.NewVersions, uint64(one.after.Version))
		p.Sizes = append(p.Sizes, i.Size)
		p.NewSizes = append(p.NewSizes, one.after.Size)
		p.Objects = append(p.Objects, one.objects)
		addPolicies(p, uint64(one.slot), policy.Partition(to), i.Policies, one.after.Policies)
	}
	return nil
}

// addPolicies adds the policies of a slot that an update brings.
func addPolicies(p *wire.FirmwarePlanReply, slot uint64, t *policy.Table, before, after policy.Set) {
	for _, e := range t.Entries() {
		if before.Has(e.ID) {
			continue
		}
		p.PolicySlots = append(p.PolicySlots, slot)
		p.Policies = append(p.Policies, uint64(e.ID))
		p.PolicyNames = append(p.PolicyNames, e.Name)
		p.PolicyValues = append(p.PolicyValues, after.Value(e.ID))
	}
}

func (r *request) capacity(_ *wire.CapacityRequest, p *wire.CapacityReply) error {
	rec := r.hsm.state.Load().record
	p.Bytes = rec.share()
	for _, k := range firmware.Keys() {
		p.Keys = append(p.Keys, k.Name)
		p.Counts = append(p.Counts, rec.published()/k.Size)
	}
	return nil
}
