package hsm

import (
	"fmt"
	"strings"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/wire"
)

func (r *request) hsmPolicies(_ *wire.HSMPoliciesRequest, p *wire.HSMPoliciesReply) error {
	rec := r.hsm.state.Load().record
	l := listPolicies(policy.HSM(rec.level), rec.policies)
	*p = wire.HSMPoliciesReply(l)
	return nil
}

func (r *request) partitionPolicies(q *wire.PartitionPoliciesRequest, p *wire.PartitionPoliciesReply) error {
	part, err := r.usable(q.Slot)
	if err != nil {
		return err
	}
	if q.Slot == wire.AdminSlot {
		return nil // the administration has none of its own
	}
	*p = listPolicies(policy.Partition(r.hsm.state.Load().record.level), part.Identity().Policies)
	return nil
}

// listPolicies are the policies of a level with their values.
func listPolicies(t *policy.Table, values policy.Set) (p wire.PartitionPoliciesReply) {
	for _, e := range t.Entries() {
		if !values.Has(e.ID) {
			continue
		}
		p.Ids = append(p.Ids, uint64(e.ID))
		p.Values = append(p.Values, values.Value(e.ID))
		p.Capabilities = append(p.Capabilities, e.Capability)
		p.Names = append(p.Names, e.Name)
		p.Destructive = append(p.Destructive, direction(e))
		effect := uint64(0)
		if e.Effect {
			effect = 1
		}
		p.Effects = append(p.Effects, effect)
	}
	return p
}

// direction names the changes of a policy that erase.
func direction(e policy.Entry) string {
	switch {
	case e.DestructiveOn && e.DestructiveOff:
		return "both"
	case e.DestructiveOn:
		return "on"
	case e.DestructiveOff:
		return "off"
	}
	return ""
}

// changes are the changes that a request asks for, and their text for the audit log.
func changes(ids, values []uint64) (list []policy.Change, text string, err error) {
	if len(ids) == 0 || len(ids) != len(values) {
		return nil, "", cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "%d policies with %d values", len(ids), len(values))
	}
	var parts []string
	for i, id := range ids {
		if id > 1<<32-1 {
			return nil, "", cryptoki.Errorf(cryptoki.CKR_POLICY_ID_INVALID, "there is no policy %d", id)
		}
		list = append(list, policy.Change{ID: policy.ID(id), Value: values[i]})
		parts = append(parts, fmt.Sprintf("%d=%d", id, values[i]))
	}
	return list, strings.Join(parts, " "), nil
}

// errDestructive refuses a change that erases to whom did not say that he knows it.
func errDestructive(what string) error {
	return cryptoki.Errorf(cryptoki.CKR_CONFIG_CHANGE_ILLEGAL, "this change erases %s: nothing was changed, since it was not asked for as destructive", what)
}

// setHSMPolicies changes the HSM's policies. A destructive change erases the
// partitions, which stay in their slots as they were created.
func (r *request) setHSMPolicies(q *wire.SetHSMPoliciesRequest, p *wire.SetHSMPoliciesReply) error {
	if err := r.administer(); err != nil {
		return err
	}
	h := r.hsm
	defer h.acts.Unlock()
	list, text, err := changes(q.Ids, q.Values)
	if err != nil {
		return err
	}
	now := h.state.Load()
	table := policy.HSM(now.record.level)
	next, destructive, err := table.Change(now.record.policies, policy.Set{}, list)
	if err != nil {
		return err
	}
	if err := enforced(table, list); err != nil {
		return err
	}
	if destructive && !q.Destructive {
		return errDestructive("every partition")
	}
	if !destructive {
		for _, part := range now.partitions {
			if err := policy.Partition(now.record.level).Check(part.Identity().Policies, next); err != nil {
				return err
			}
		}
	}
	p.Erased = destructive
	return h.act(audit.Record{Event: audit.EventHSMPolicy, Actor: r.as(), Detail: text}, func(w keystore.Writer, rec *record) error {
		rec.policies = next
		if !destructive {
			return nil
		}
		for _, part := range now.partitions {
			identity := part.Identity()
			identity.Policies = capped(policy.Partition(rec.level), identity.Policies, next)
			if err := zeroizePartition(w, rec, part, identity); err != nil {
				return err
			}
		}
		return nil
	})
}

// capped are a partition's policies under changed ones of the HSM: they stay where they
// may, else they go back to what a new partition has.
func capped(t *policy.Table, values, above policy.Set) policy.Set {
	if t.Check(values, above) == nil {
		return values
	}
	next := t.Under(0, above)
	for _, id := range []policy.ID{policy.MinPIN, policy.MaxPIN, policy.MaxFailedLogins} {
		next = next.With(id, values.Value(id))
	}
	return next
}

// setPartitionPolicies is the Partition SO's. A destructive change takes all objects
// away; label, domain and roles stay, but for those that the partition's version does not
// have. With policy 41 the partition becomes the other version.
func (r *request) setPartitionPolicies(q *wire.SetPartitionPoliciesRequest, p *wire.SetPartitionPoliciesReply) error {
	if err := r.session.Authorized(partition.RolePartitionSO); err != nil {
		return err
	}
	h := r.hsm
	h.acts.Lock()
	defer h.acts.Unlock()
	list, text, err := changes(q.Ids, q.Values)
	if err != nil {
		return err
	}
	now, part := h.state.Load(), r.session.Partition()
	identity := part.Identity()
	table := policy.Partition(now.record.level)
	next, destructive, err := table.Change(identity.Policies, now.record.policies, list)
	if err != nil {
		return err
	}
	if err := enforced(table, list); err != nil {
		return err
	}
	if destructive && !q.Destructive {
		return errDestructive("every object of the partition")
	}
	identity.Policies, identity.Version = next, uint8(next.Value(policy.Version))
	p.Erased = destructive
	by := r.by()
	by.Role = audit.RolePartitionSO
	entry := audit.Record{Event: audit.EventPartitionPolicy, Actor: by, Partition: uint32(part.ID()), Detail: text}
	if !destructive {
		return h.act(entry, func(w keystore.Writer, rec *record) error {
			if rec.of(part.ID()) == nil {
				return errGone
			}
			if err := part.SetIdentity(w, identity); err != nil {
				return err
			}
			// Whatever zeroizes the partition next must carry the policies on.
			part.Adopt(identity)
			return nil
		})
	}
	var area partition.ID
	err = h.act(entry, func(w keystore.Writer, rec *record) error {
		if rec.of(part.ID()) == nil {
			return errGone
		}
		area = partition.Area(rec.take())
		old, err := part.Clear(w, area, identity)
		rec.erased = append(rec.erased, old)
		return err
	})
	if err != nil {
		return err
	}
	part.Cleared(area, identity)
	return h.sweep()
}

// enforced refuses to change a policy that nothing enforces: whoever turned one on would
// rely on it.
func enforced(t *policy.Table, list []policy.Change) error {
	for _, c := range list {
		if e, _ := t.Entry(c.ID); !e.Effect {
			return cryptoki.Errorf(cryptoki.CKR_FUNCTION_NOT_SUPPORTED, "policy %d, %s, is listed and has no effect in this release", e.ID, e.Name)
		}
	}
	return nil
}
