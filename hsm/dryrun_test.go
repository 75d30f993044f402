package hsm_test

import (
	"maps"
	"reflect"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/wire"
)

// tryPolicies is a dry run of setPolicies.
func (s session) tryPolicies(changes ...policy.Change) (wire.SetPartitionPoliciesReply, cryptoki.RV) {
	q := wire.SetPartitionPoliciesRequest{DryRun: true}
	for _, c := range changes {
		q.Ids, q.Values = append(q.Ids, uint64(c.ID)), append(q.Values, c.Value)
	}
	var p wire.SetPartitionPoliciesReply
	rv := s.do(wire.CallSetPartitionPolicies, &q, &p)
	return p, rv
}

// A dry run of a partition's policies is answered as the change is, changes nothing, and is
// anybody's who sees the partition.
func TestDryRunOfPartitionPolicies(t *testing.T) {
	for _, test := range []struct {
		name    string
		version uint8
		changes []policy.Change
		rv      cryptoki.RV
		changed []uint64
		roles   []uint64
		erases  bool
	}{
		{name: "without a loss", changes: []policy.Change{to(20, 5)}, changed: []uint64{20}},
		{name: "to version 1", changes: []policy.Change{to(41, 1)}, changed: []uint64{3, 7, 31, 32, 40, 41}},
		{name: "to version 0", version: 1, changes: []policy.Change{to(41, 0)}, changed: []uint64{3, 7, 31, 32, 40, 41}, erases: true, roles: []uint64{uint64(cryptoki.CKU_LIMITED_CRYPTO_OFFICER)}},
		{name: "erasing", version: 1, changes: []policy.Change{to(0, 0), to(1, 1)}, changed: []uint64{0, 1}, erases: true},
		{name: "to what is there", changes: []policy.Change{to(20, maxTries)}},
		{name: "values that do not go together", changes: []policy.Change{to(1, 1)}, rv: cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES},
		{name: "out of range", changes: []policy.Change{to(20, 11)}, rv: cryptoki.CKR_CONFIG_ILLEGAL},
		{name: "no promise", changes: []policy.Change{to(37, 1)}, rv: cryptoki.CKR_FUNCTION_NOT_SUPPORTED},
		{name: "nothing", rv: cryptoki.CKR_ARGUMENTS_BAD},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newHSMLike(t, hsm.Development{Version: &test.version})
			co := b.user()
			co.mustCreate(dataObject(true, true, "object"))
			if test.version == 1 {
				co.must(co.initRole(cryptoki.CKU_LIMITED_CRYPTO_OFFICER, "limited officer"))
			}
			anybody := b.app().open(readOnly)
			before, info := anybody.policies(0), anybody.partitionInfo(0)
			would, rv := anybody.tryPolicies(test.changes...)
			want(t, "the dry run", rv, test.rv)
			if now := anybody.policies(0); !maps.Equal(now, before) || !reflect.DeepEqual(anybody.partitionInfo(0), info) {
				t.Errorf("a dry run changes %v to %v", before, now)
			}
			if rv != cryptoki.CKR_OK {
				if would.Fault == "" && rv != cryptoki.CKR_ARGUMENTS_BAD || would.Changed != nil || would.Slots != nil {
					t.Errorf("a refusal tells %+v", would)
				}
				return
			}
			if !reflect.DeepEqual(would.Changed, test.changed) || !reflect.DeepEqual(would.RoleUsers, test.roles) || would.Erased != test.erases {
				t.Errorf("the dry run tells %+v", would)
			}
			if test.erases && (would.Objects[0] != info.Objects || would.UsedBytes[0] != info.UsedBytes || would.Slots[0] != 0) {
				t.Errorf("of what is erased the dry run tells %+v", would)
			}
			po := b.joinAs(administrator).openSlot(0)
			po.must(po.login(cryptoki.CKU_SO, soPIN))
			done, rv := po.setPolicies(true, test.changes...)
			po.must(rv)
			if !reflect.DeepEqual(done, would) {
				t.Errorf("the change tells %+v, the dry run told %+v", done, would)
			}
		})
	}
}

// A dry run of the HSM's policies counts what every partition loses. It is for whoever
// reaches the administration's slot.
func TestDryRunOfHSMPolicies(t *testing.T) {
	b := newHSM(t)
	co := b.user()
	co.mustCreate(dataObject(true, true, "object"))
	so := b.officer()
	second := so.mustCreatePartition("second")
	q := &wire.SetHSMPoliciesRequest{Ids: []uint64{uint64(policy.ResetPIN)}, Values: []uint64{1}, DryRun: true}
	var p wire.SetHSMPoliciesReply
	want(t, "from a partition's slot", co.do(wire.CallSetHSMPolicies, q, &p), cryptoki.CKR_USER_NOT_LOGGED_IN)
	anybody := b.joinAs(administrator).openSlot(wire.AdminSlot)
	anybody.must(anybody.do(wire.CallSetHSMPolicies, q, &p))
	if !p.Erased || !reflect.DeepEqual(p.Slots, []uint64{0, second}) || !reflect.DeepEqual(p.Objects, []uint64{1, 0}) ||
		!reflect.DeepEqual(p.RoleUsers, []uint64{uint64(cryptoki.CKU_SO), uint64(cryptoki.CKU_USER)}) {
		t.Errorf("the dry run tells %+v", p)
	}
	if so.hsmPolicy(policy.ResetPIN) != 0 || co.partitionInfo(0).Objects != 1 {
		t.Error("the dry run was more than that")
	}
	q = &wire.SetHSMPoliciesRequest{Ids: []uint64{uint64(policy.MaxPartitions)}, Values: []uint64{1}, DryRun: true}
	want(t, "fewer partitions than there are", anybody.do(wire.CallSetHSMPolicies, q, &p), cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES)
	want(t, "of the administration", anybody.do(wire.CallSetPartitionPolicies,
		&wire.SetPartitionPoliciesRequest{Ids: []uint64{20}, Values: []uint64{5}, DryRun: true}, &wire.SetPartitionPoliciesReply{}), cryptoki.CKR_USER_NOT_LOGGED_IN)
}

// A dry run of an initialization judges the template, and needs no PIN.
func TestDryRunOfInit(t *testing.T) {
	b := newHSM(t)
	so := b.officer()
	slot := so.mustCreatePartition("new")
	for text, rv := range map[string]cryptoki.RV{"20 3": cryptoki.CKR_OK, "1 1": cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES} {
		var p wire.PartitionInitReply
		want(t, text, so.call(wire.CallPartitionInit, 0, &wire.PartitionInitRequest{
			Slot: slot, Label: "new", Policies: []byte(templateHead + text), DryRun: true,
		}, &p), rv)
		if (p.Fault == "") != (rv == cryptoki.CKR_OK) {
			t.Errorf("the reason is %q", p.Fault)
		}
	}
	if info := so.partitionInfo(slot); info.State != "uninitialised" {
		t.Errorf("the partition is %s", info.State)
	}
}
