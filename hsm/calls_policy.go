package hsm

import (
	"errors"
	"fmt"
	"strings"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
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
		p.Effects = append(p.Effects, uint64(e.Effect))
		p.Abouts = append(p.Abouts, e.About)
		p.Rules = append(p.Rules, strings.Join(t.Rules(e.ID), "; "))
		verified := uint64(0)
		if e.Verified {
			verified = 1
		}
		p.Verified = append(p.Verified, verified)
	}
	return p
}

// refused keeps why policies were refused, for the reply: the code alone does not tell
// which of them, or what they lack.
func refused(fault *string, err error) error {
	var coded *cryptoki.Error
	if errors.As(err, &coded) {
		*fault = coded.Cause.Error()
	}
	return err
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
	for i, id := range ids {
		if id > 1<<32-1 {
			return nil, "", cryptoki.Errorf(cryptoki.CKR_POLICY_ID_INVALID, "there is no policy %d", id)
		}
		list = append(list, policy.Change{ID: policy.ID(id), Value: values[i]})
	}
	return list, changed(list), nil
}

// changed are changes as the audit log tells them.
func changed(list []policy.Change) string {
	parts := make([]string, len(list))
	for i, c := range list {
		parts[i] = fmt.Sprintf("%d=%d", c.ID, c.Value)
	}
	return strings.Join(parts, " ")
}

// errDestructive refuses a change that erases to whom did not say that he knows it.
func errDestructive(what string) error {
	return cryptoki.Errorf(cryptoki.CKR_CONFIG_CHANGE_ILLEGAL, "this change erases %s: nothing was changed, since it was not asked for as destructive", what)
}

// setHSMPolicies changes the HSM's policies. A destructive change erases the
// partitions, which stay in their slots as they were created.
func (r *request) setHSMPolicies(q *wire.SetHSMPoliciesRequest, p *wire.SetHSMPoliciesReply) (err error) {
	h := r.hsm
	if q.DryRun {
		now := h.state.Load()
		if r.session.Partition() != now.administration {
			return cryptoki.Errorf(cryptoki.CKR_USER_NOT_LOGGED_IN, "this is for the administration's slot")
		}
		v, err := now.judgeHSM(q.Ids, q.Values)
		if err != nil {
			return refused(&p.Fault, err)
		}
		*p = wire.SetHSMPoliciesReply(v.reply())
		return nil
	}
	defer h.sweepAfter(&err)
	if err := r.administer(); err != nil {
		return err
	}
	defer h.acts.Unlock()
	now := h.state.Load()
	v, err := now.judgeHSM(q.Ids, q.Values)
	if err == nil && v.erases && !q.Destructive {
		err = errDestructive("every partition")
	}
	if err != nil {
		return refused(&p.Fault, err)
	}
	err = h.act(audit.Record{Event: audit.EventHSMPolicy, Actor: r.as(), Detail: v.asked}, func(w keystore.Writer, rec *record) error {
		rec.policies = v.next
		rec.modules = rec.modules || v.next.On(policy.Modules)
		if !v.erases {
			return nil
		}
		for _, part := range now.partitions {
			identity := part.Identity()
			identity.Policies = capped(policy.Partition(rec.level), identity.Policies, v.next)
			identity.Version = uint8(identity.Policies.Value(policy.Version))
			if err := zeroizePartition(w, rec, part, identity); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		*p = wire.SetHSMPoliciesReply(v.reply())
	}
	return err
}

// allow tells whether the partitions fit under changed policies of the HSM, which a
// change that erases them makes them do. Error: CKR_CONFIG_FAILS_DEPENDENCIES.
func (s *state) allow(next policy.Set, erases bool) error {
	if most := next.Value(policy.MaxPartitions); next.Has(policy.MaxPartitions) && uint64(len(s.partitions)) > most {
		return cryptoki.Errorf(cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES, "there are %d partitions, more than policy %d would allow", len(s.partitions), policy.MaxPartitions)
	}
	if erases {
		return nil
	}
	table := policy.Partition(s.record.level)
	for _, part := range s.partitions {
		if err := table.Check(part.Identity().Policies, next); err != nil {
			return cryptoki.Errorf(cryptoki.Code(err), "partition %q: %w", part.Label(), errors.Unwrap(err))
		}
	}
	return nil
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
func (r *request) setPartitionPolicies(q *wire.SetPartitionPoliciesRequest, p *wire.SetPartitionPoliciesReply) (err error) {
	h, part := r.hsm, r.session.Partition()
	if q.DryRun {
		v, err := r.judgePartition(q.Ids, q.Values)
		if err != nil {
			return refused(&p.Fault, err)
		}
		*p = v.reply()
		return nil
	}
	if err := r.session.Authorized(partition.RolePartitionSO); err != nil {
		return err
	}
	defer h.sweepAfter(&err)
	h.acts.Lock()
	defer h.acts.Unlock()
	v, err := r.judgePartition(q.Ids, q.Values)
	if err == nil && v.erases && !q.Destructive {
		err = errDestructive("every object of the partition")
	}
	if err != nil {
		return refused(&p.Fault, err)
	}
	identity := part.Identity()
	identity.Policies, identity.Version = v.next, uint8(v.next.Value(policy.Version))
	by := r.by()
	by.Role = audit.RolePartitionSO
	entry := audit.Record{Event: audit.EventPartitionPolicy, Actor: by, Partition: uint32(part.ID()), Detail: v.asked}
	if !v.erases {
		err := h.act(entry, func(w keystore.Writer, rec *record) error {
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
		if err == nil {
			*p = v.reply()
		}
		return err
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
	*p = v.reply()
	return part.Cleared(area, identity)
}

// partitionTemplate writes what a partition's policies are, or will be when nobody names
// others at its initialization. Error: CKR_FUNCTION_NOT_SUPPORTED at levels without
// templates.
func (r *request) partitionTemplate(q *wire.PartitionTemplateRequest, p *wire.PartitionTemplateReply) error {
	part, err := r.usable(q.Slot)
	if err != nil {
		return err
	}
	level := r.hsm.state.Load().record.level
	if err := templates(level, q.Slot); err != nil {
		return err
	}
	p.Template = policy.Partition(level).Export(part.Identity().Policies, r.app.level)
	return nil
}

// templates tells whether a slot has to do with templates.
func templates(level firmware.Level, slot uint64) error {
	switch {
	case slot == wire.AdminSlot:
		return cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "the administration has no policies of its own")
	case !level.Has(firmware.PolicyTemplates):
		return cryptoki.Errorf(cryptoki.CKR_FUNCTION_NOT_SUPPORTED, "firmware %v has no policy templates", level)
	}
	return nil
}

// applyTemplate gives a partition that is about to be initialized the policies of a
// template, and its version with them. Errors: those of templates, policy.ParseTemplate
// and policy.Table.Apply; CKR_ACTION_PROHIBITED where the partition is initialized.
func (r *request) applyTemplate(slot uint64, part *partition.Partition, i *partition.Identity, text []byte) error {
	rec := r.hsm.state.Load().record
	if err := templates(rec.level, slot); err != nil {
		return err
	}
	if part.Initialized() {
		return cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "the partition is initialised and keeps its policies: a template is for the first initialisation")
	}
	template, err := policy.ParseTemplate(text)
	if err != nil {
		return err
	}
	i.Policies, err = policy.Partition(rec.level).Apply(template, policy.Target{
		Defaults: rec.defaults(i.Version), Client: r.app.level, Above: rec.policies,
	})
	i.Version = uint8(i.Policies.Value(policy.Version))
	return err
}

// defaults are the policies of a new partition of a version.
func (r *record) defaults(version uint8) policy.Set {
	policies := policy.Partition(r.level).Under(version, r.policies)
	if r.mode != ModeProduction {
		policies = shortPINs(policies)
	}
	return policies
}
