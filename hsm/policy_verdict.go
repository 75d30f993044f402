package hsm

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/wire"
)

// verdict is what a change of policies comes to, as it is judged before anything is
// changed: a dry run ends with it.
type verdict struct {
	asked   string // the changes that were asked for, as the audit log tells them
	next    policy.Set
	changed []policy.Change // what differs then, policies included that follow others
	erases  bool
	lost    []loss // what is erased
}

// loss is what a partition loses.
type loss struct {
	slot  uint64
	usage partition.Usage
	roles []partition.Role
}

// reply is the verdict as either of the calls answers it.
func (v *verdict) reply() (p wire.SetPartitionPoliciesReply) {
	p.Erased = v.erases
	for _, c := range v.changed {
		p.Changed, p.Becomes = append(p.Changed, uint64(c.ID)), append(p.Becomes, c.Value)
	}
	for _, l := range v.lost {
		p.Slots = append(p.Slots, l.slot)
		p.Objects = append(p.Objects, l.usage.Objects)
		p.UsedBytes = append(p.UsedBytes, l.usage.Used)
		for _, role := range l.roles {
			p.RoleSlots, p.RoleUsers = append(p.RoleSlots, l.slot), append(p.RoleUsers, uint64(role.User()))
		}
	}
	return p
}

// judge is the verdict for a table's policies, but for what is lost. Errors: those of
// changes and policy.Table.Change.
func judge(t *policy.Table, current, above policy.Set, ids, values []uint64) (v verdict, err error) {
	list, asked, err := changes(ids, values)
	if err != nil {
		return v, err
	}
	v.asked = asked
	if v.next, v.erases, err = t.Change(current, above, list); err != nil {
		return v, err
	}
	v.changed = current.To(v.next)
	return v, nil
}

// judgeHSM judges a change of the HSM's policies. Errors: those of judge and allow.
func (s *state) judgeHSM(ids, values []uint64) (verdict, error) {
	v, err := judge(policy.HSM(s.record.level), s.record.policies, policy.Set{}, ids, values)
	if err != nil {
		return v, err
	}
	if err := s.allow(v.next, v.erases); err != nil || !v.erases {
		return v, err
	}
	for _, slot := range s.record.slots {
		part := s.partitions[slot.number]
		if err := v.lose(uint64(slot.number), part, part.Roles()); err != nil {
			return v, err
		}
	}
	return v, nil
}

// judgePartition judges a change of the policies of the session's partition. Errors: those
// of judge; CKR_ACCESS_ID_INVALID where the caller's client would lose the partition that it
// is in.
func (r *request) judgePartition(ids, values []uint64) (verdict, error) {
	now, part := r.hsm.state.Load(), r.session.Partition()
	if part == now.administration {
		return verdict{}, cryptoki.Errorf(cryptoki.CKR_USER_NOT_LOGGED_IN, "this is for a partition's slot")
	}
	v, err := judge(policy.Partition(now.record.level), part.Identity().Policies, now.record.policies, ids, values)
	if err != nil {
		return v, err
	}
	version := uint8(v.next.Value(policy.Version))
	if err := firmware.ClientAccess(r.app.level, version); err != nil || !v.erases {
		return v, err
	}
	var gone []partition.Role
	if version < part.Version() {
		gone = append(gone, partition.RoleLimitedCryptoOfficer)
	}
	return v, v.lose(uint64(r.session.Slot), part, gone)
}

// lose notes what a partition loses: its objects, and those of the roles that it has.
func (v *verdict) lose(slot uint64, part *partition.Partition, roles []partition.Role) error {
	l := loss{slot: slot}
	var err error
	if l.usage, err = part.Usage(); err != nil {
		return err
	}
	for _, role := range roles {
		s, err := part.RoleState(role.User())
		if err != nil {
			return err
		}
		if s.Initialized {
			l.roles = append(l.roles, role)
		}
	}
	v.lost = append(v.lost, l)
	return nil
}
