package hsm_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/wire"
)

// old connects a new application of the administrator whose client is of a level.
func (b *box) old(level uint32) *client {
	b.t.Helper()
	c := b.dial(administrator)
	c.must(c.helloAt(newIdentity(), level))
	return c
}

func (c *client) policies(slot uint64) map[policy.ID]uint64 {
	c.t.Helper()
	var p wire.PartitionPoliciesReply
	c.must(c.call(wire.CallPartitionPolicies, 0, &wire.PartitionPoliciesRequest{Slot: slot}, &p))
	values := make(map[policy.ID]uint64)
	for i, id := range p.Ids {
		values[policy.ID(id)] = p.Values[i]
	}
	return values
}

// template is what the policies of a partition are, as a file.
func (c *client) template(slot uint64) string {
	c.t.Helper()
	var p wire.PartitionTemplateReply
	c.must(c.call(wire.CallPartitionTemplate, 0, &wire.PartitionTemplateRequest{Slot: slot}, &p))
	return string(p.Template)
}

// initWith initializes a partition with a template, and tells why that was refused.
func (c *client) initWith(slot uint64, template string) (fault string, rv cryptoki.RV) {
	var p wire.PartitionInitReply
	rv = c.call(wire.CallPartitionInit, 0, &wire.PartitionInitRequest{
		Slot: slot, Label: "from a file", PIN: wire.Secret(soPIN), Policies: []byte(template),
	}, &p)
	return p.Fault, rv
}

func (s session) setPolicies(destructive bool, changes ...policy.Change) (wire.SetPartitionPoliciesReply, cryptoki.RV) {
	q := wire.SetPartitionPoliciesRequest{Destructive: destructive}
	for _, c := range changes {
		q.Ids, q.Values = append(q.Ids, uint64(c.ID)), append(q.Values, c.Value)
	}
	var p wire.SetPartitionPoliciesReply
	rv := s.do(wire.CallSetPartitionPolicies, &q, &p)
	return p, rv
}

// to is a change to a value.
func to(id policy.ID, value uint64) policy.Change { return policy.Change{ID: id, Value: value} }

const templateHead = "tidelock policies 1\nkind partition\nlevel 7.8.0\n"

// PPT-1 to PPT-4: a template makes the policies of a partition that is not initialized,
// or nothing at all.
func TestInitWithTemplate(t *testing.T) {
	for _, test := range []struct {
		name, text string
		version    uint8
		client     uint32
		rv         cryptoki.RV
		fault      string // that names what is wrong
		want       map[policy.ID]uint64
	}{
		{name: "PPT-1: named and not named", text: "20 3\n0 0\n1 1", want: map[policy.ID]uint64{20: 3, 0: 0, 1: 1, 2: 1, 41: 0}},
		{name: "PPT-1: PINs stay as short as a test HSM has them", text: "20 3", want: map[policy.ID]uint64{25: 251}},
		{name: "PPT-2: a conflict with a default", text: "1 1", rv: cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES, fault: "policies 0 and 1"},
		{name: "PPT-2: masking alone", text: "3 1", rv: cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES, fault: "policy 3 always has the value of policy 41"},
		{name: "PPT-3: version 1", text: "41 1", want: map[policy.ID]uint64{41: 1, 40: 1, 3: 1, 7: 1, 31: 1, 32: 1}},
		{name: "PPT-3: version 0 again", version: 1, text: "41 0", want: map[policy.ID]uint64{41: 0, 40: 0, 3: 0}},
		{name: "PPT-4: an old client with both", client: oldClient, text: "40 0\n41 0", want: map[policy.ID]uint64{41: 0}},
		{name: "PPT-4: an old client with neither", client: oldClient, text: "20 3", want: map[policy.ID]uint64{20: 3, 41: 0}},
		{name: "PPT-4: an old client with version 1", client: oldClient, text: "41 1", rv: cryptoki.CKR_ACCESS_ID_INVALID, fault: "client 10.2.0"},
		{name: "PPT-4: silent on the version", version: 1, text: "20 3", want: map[policy.ID]uint64{20: 3, 41: 1, 40: 1}},
		{name: "PPT-4: an old client on version 1", version: 1, client: oldClient, text: "20 3", rv: cryptoki.CKR_ACCESS_ID_INVALID},
		{name: "no such policy", text: "99 1", rv: cryptoki.CKR_POLICY_ID_INVALID, fault: "no policy 99"},
		{name: "out of range", text: "20 11", rv: cryptoki.CKR_CONFIG_ILLEGAL, fault: "takes 1 to 10"},
		{name: "no promise", text: "37 1", rv: cryptoki.CKR_FUNCTION_NOT_SUPPORTED, fault: "policy 37"},
		{name: "not a template", text: "20", rv: cryptoki.CKR_DATA_INVALID, fault: "line 4"},
		{name: "too long", text: strings.Repeat("#", policy.MaxTemplate), rv: cryptoki.CKR_DATA_LEN_RANGE, fault: "65536 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newHSM(t)
			so := b.officer()
			var made wire.PartitionCreateReply
			so.must(so.do(wire.CallPartitionCreate, &wire.PartitionCreateRequest{Label: "new", Version: test.version}, &made))
			before := so.policies(made.Slot)
			c := b.old(max(test.client, newClient))
			if test.client != 0 {
				c = b.old(test.client)
			}
			fault, rv := c.initWith(made.Slot, templateHead+test.text)
			want(t, "initializing", rv, test.rv)
			if !strings.Contains(fault, test.fault) || (test.fault == "") != (fault == "") {
				t.Errorf("the reason is %q", fault)
			}
			b.restart()
			so = b.officer()
			info, now := so.partitionInfo(made.Slot), so.policies(made.Slot)
			if test.rv != cryptoki.CKR_OK {
				if info.State != "uninitialised" || info.Label != "new" || info.Version != test.version {
					t.Errorf("a refused template leaves %+v", info)
				}
				test.want = before
			} else if info.State != "initialised" || uint64(info.Version) != now[policy.Version] {
				t.Errorf("the partition is %+v, policy 41 is %d", info, now[policy.Version])
			}
			for id, value := range test.want {
				if now[id] != value {
					t.Errorf("policy %d is %d", id, now[id])
				}
			}
		})
	}
}

// A template is for the first initialization, and for levels that have templates.
func TestTemplateRefused(t *testing.T) {
	b := newHSM(t)
	c := b.joinAs(administrator)
	fault, rv := c.initWith(0, templateHead)
	want(t, "an initialized partition", rv, cryptoki.CKR_ACTION_PROHIBITED)
	if !strings.Contains(fault, "first initialisation") {
		t.Errorf("the reason is %q", fault)
	}
	if _, rv := c.initWith(wire.AdminSlot, templateHead); rv != cryptoki.CKR_ACTION_PROHIBITED {
		t.Errorf("the administration: %v", rv)
	}
	want(t, "the administration's", c.call(wire.CallPartitionTemplate, 0,
		&wire.PartitionTemplateRequest{Slot: wire.AdminSlot}, &wire.PartitionTemplateReply{}), cryptoki.CKR_ACTION_PROHIBITED)

	b = newHSMLike(t, hsm.Development{Level: firmware.Level{Major: 7, Patch: 3}})
	so := b.officer()
	var made wire.PartitionCreateReply
	so.must(so.do(wire.CallPartitionCreate, &wire.PartitionCreateRequest{Label: "new", Version: 255}, &made))
	_, rv = so.initWith(made.Slot, templateHead)
	want(t, "to a level without templates", rv, cryptoki.CKR_FUNCTION_NOT_SUPPORTED)
	want(t, "of a level without templates", so.call(wire.CallPartitionTemplate, 0,
		&wire.PartitionTemplateRequest{Slot: made.Slot}, &wire.PartitionTemplateReply{}), cryptoki.CKR_FUNCTION_NOT_SUPPORTED)
}

// PPT-1: what is exported makes the same policies elsewhere; PPT-4: an old client's has
// neither policy 40 nor 41.
func TestExportedTemplate(t *testing.T) {
	b := newHSMLike(t, hsm.Development{Version: &version1})
	po := b.joinAs(administrator).openSlot(0)
	po.must(po.login(cryptoki.CKU_SO, soPIN))
	_, rv := po.setPolicies(false, to(20, 4), to(2, 0))
	po.must(rv)
	so := b.officer()
	slot := so.mustCreatePartition("copy")
	so.must(so.do(wire.CallPartitionCreate, &wire.PartitionCreateRequest{Label: "version 1", Version: 1}, &wire.PartitionCreateReply{}))
	fault, rv := so.initWith(slot, so.template(0))
	if so.must(rv); fault != "" {
		t.Error(fault)
	}
	if from, to := so.policies(0), so.policies(slot); from[20] != 4 || from[41] != 1 || len(from) != len(to) {
		t.Errorf("%v was exported", from)
	} else {
		for id := range from {
			if from[id] != to[id] {
				t.Errorf("policy %d went from %d to %d", id, from[id], to[id])
			}
		}
	}
	var log wire.AuditReadReply
	so.must(so.call(wire.CallAuditRead, 0, &wire.AuditReadRequest{From: 1, Limit: 400}, &log))
	for event, detail := range map[string]string{
		"partition-init": "2=0 3=1 7=1 20=4 31=1 32=1 40=1 41=1", "partition-create": `"3=1 7=1 31=1 32=1 40=1 41=1"`,
	} {
		if !slices.ContainsFunc(log.Entries, func(e string) bool {
			return strings.Contains(e, `"`+event+`"`) && strings.Contains(e, detail)
		}) {
			t.Errorf("the audit log does not tell which policies came with the %s", event)
		}
	}
	second := so.mustCreatePartition("version 0")
	for line := range strings.Lines(b.old(oldClient).template(second)) {
		if strings.HasPrefix(line, "40 ") || strings.HasPrefix(line, "41 ") {
			t.Errorf("an old client exports %q", line)
		}
	}
}

// POL-3, POL-4, POL-6 to POL-9: the code, the reason and what is left of the partition.
func TestSetPartitionPolicies(t *testing.T) {
	type changes = []policy.Change
	for _, test := range []struct {
		name        string
		level       firmware.Level
		version     uint8
		client      uint32
		changes     changes
		destructive bool
		rv          cryptoki.RV
		fault       string
		erased      bool
		want        map[policy.ID]uint64
	}{
		{name: "POL-3: 41 on keeps objects", changes: changes{to(41, 1)}, want: map[policy.ID]uint64{41: 1, 40: 1, 3: 1, 32: 1}},
		{name: "POL-4: 41 off unasked", version: 1, changes: changes{to(41, 0)}, rv: cryptoki.CKR_CONFIG_CHANGE_ILLEGAL, fault: "erases every object", want: map[policy.ID]uint64{41: 1}},
		{name: "POL-4: 41 off", version: 1, changes: changes{to(41, 0)}, destructive: true, erased: true, want: map[policy.ID]uint64{41: 0, 40: 0, 3: 0}},
		{name: "POL-6: 3 alone", changes: changes{to(3, 1)}, rv: cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES, fault: "policy 3 always has", want: map[policy.ID]uint64{3: 0}},
		{name: "POL-6: 31 away from 41", version: 1, changes: changes{to(31, 0)}, rv: cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES, fault: "policy 31 always has"},
		{name: "POL-7: 40 on version 0", changes: changes{to(40, 1)}, destructive: true, rv: cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES, fault: "policy 40 can be on"},
		{name: "POL-7: 40 off on version 1", version: 1, changes: changes{to(40, 0)}, destructive: true, erased: true, want: map[policy.ID]uint64{40: 0, 41: 1}},
		{name: "POL-8: 41 before 7.7.0", level: before77, changes: changes{to(41, 1)}, rv: cryptoki.CKR_POLICY_ID_INVALID, fault: "no policy 41"},
		{name: "POL-8: 40 before 7.7.0", level: before77, changes: changes{to(40, 0)}, rv: cryptoki.CKR_POLICY_ID_INVALID, fault: "no policy 40"},
		{name: "POL-9: 1 beside 0", changes: changes{to(1, 1)}, destructive: true, rv: cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES, fault: "policies 0 and 1"},
		{name: "POL-9: 1 instead of 0", changes: changes{to(1, 1), to(0, 0)}, destructive: true, erased: true, want: map[policy.ID]uint64{0: 0, 1: 1}},
		{name: "an old client and version 1", client: oldClient, changes: changes{to(41, 1)}, rv: cryptoki.CKR_ACCESS_ID_INVALID, fault: "client 10.2.0", want: map[policy.ID]uint64{41: 0}},
		{name: "no effect, and may be set", changes: changes{to(21, 0)}, want: map[policy.ID]uint64{21: 0}},
		{name: "no promise", changes: changes{to(37, 1)}, rv: cryptoki.CKR_FUNCTION_NOT_SUPPORTED, fault: "policy 37", want: map[policy.ID]uint64{37: 0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			like := hsm.Development{Level: test.level}
			if test.level == (firmware.Level{}) {
				like.Version = &test.version
			}
			b := newHSMLike(t, like)
			user := b.user()
			user.mustCreate(dataObject(true, true, "object"))
			user.must(user.close())
			c := b.joinAs(administrator)
			if test.client != 0 {
				c = b.old(test.client)
			}
			po := c.openSlot(0)
			po.must(po.login(cryptoki.CKU_SO, soPIN))
			p, rv := po.setPolicies(test.destructive, test.changes...)
			want(t, "changing policies", rv, test.rv)
			if !strings.Contains(p.Fault, test.fault) || (test.fault == "") != (p.Fault == "") || p.Erased != test.erased {
				t.Errorf("%+v", p)
			}
			b.restart()
			user = b.user()
			objects := len(user.find(nil))
			if (objects == 0) != test.erased {
				t.Errorf("%d objects are left", objects)
			}
			now := user.policies(0)
			for id, value := range test.want {
				if now[id] != value {
					t.Errorf("policy %d is %d", id, now[id])
				}
			}
			if info := user.partitionInfo(0); info.Label != "test" || info.State != "initialised" || uint64(info.Version) != now[policy.Version] {
				t.Errorf("the partition is %+v", info)
			}
		})
	}
}

// POL-9: each change of a partition's policy erases when the table says so, and not
// otherwise.
func TestErasesWhatTheTableSays(t *testing.T) {
	table := policy.Partition(firmware.Newest)
	for _, version := range []uint8{0, 1} {
		for _, e := range table.Entries() {
			if e.Fixed() || e.Effect == policy.Refused {
				continue
			}
			b := newHSMLike(t, hsm.Development{Version: &version})
			co := b.user()
			co.mustCreate(dataObject(true, true, "object"))
			po := b.joinAs(administrator).openSlot(0)
			po.must(po.login(cryptoki.CKU_SO, soPIN))
			// There and back; development's PINs are shorter than policy 25 lets them be.
			from := po.policies(0)[e.ID]
			for _, value := range []uint64{e.Min + e.Capability - min(from, e.Capability), min(from, e.Capability)} {
				now := po.policies(0)[e.ID]
				p, rv := po.setPolicies(true, to(e.ID, value))
				if rv == cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES {
					continue
				}
				po.must(rv)
				erases := value > now && e.DestructiveOn || value < now && e.DestructiveOff
				if left := po.partitionInfo(0).Objects == 1; p.Erased != erases || left == erases {
					t.Errorf("version %d, policy %d from %d to %d: erased %v, the object is left: %v", version, e.ID, now, value, p.Erased, left)
				}
				if erases {
					again := b.user()
					again.mustCreate(dataObject(true, true, "object"))
					again.must(again.close())
				}
			}
		}
	}
}

// POL-9: the HSM's policies cap those of partitions, and erase what no longer fits.
func TestHSMPoliciesCap(t *testing.T) {
	for _, test := range []struct {
		above       policy.ID
		below       []policy.ID
		version     uint8
		destructive bool
	}{
		{policy.HSMCloning, []policy.ID{policy.PrivateCloning, policy.SecretCloning}, 0, true},
		{policy.HSMMasking, []policy.ID{policy.PrivateMasking, policy.SecretMasking, policy.Version}, 1, true},
		{policy.HSMNonFIPS, []policy.ID{policy.NonFIPS}, 0, true},
	} {
		b := newHSMLike(t, hsm.Development{Version: &test.version})
		so := b.officer()
		_, rv := so.setHSMPolicy(test.above, 0, false)
		want(t, "unasked", rv, cryptoki.CKR_CONFIG_CHANGE_ILLEGAL)
		erased, rv := so.setHSMPolicy(test.above, 0, true)
		so.must(rv)
		now := so.policies(0)
		if info := so.partitionInfo(0); !erased || info.State != "uninitialised" || uint64(info.Version) != now[policy.Version] {
			t.Errorf("HSM policy %d leaves %+v", test.above, info)
		}
		for _, id := range test.below {
			if now[id] != 0 {
				t.Errorf("HSM policy %d leaves policy %d on", test.above, id)
			}
			if _, rv := so.initWith(0, templateHead+"1 0\n"+idOn(id)); rv != cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES {
				t.Errorf("policy %d under HSM policy %d: %v", id, test.above, rv)
			}
		}
	}
	b := newHSMLike(t, hsm.Development{Version: &version1})
	so := b.officer()
	_, rv := so.setHSMPolicy(policy.HSMUnmasking, 0, false)
	want(t, "policy 30 above a partition of version 1", rv, cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES)
}

// An operation that was begun under other policies does not go on under these.
func TestPoliciesEndOperations(t *testing.T) {
	rsaPair := cryptoki.New(cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN)
	for _, c := range []struct {
		what      string
		mechanism cryptoki.MechanismType
		change    policy.Change
		want      cryptoki.RV
	}{
		{"a mechanism that is not offered any more", cryptoki.CKM_RSA_X_509, to(policy.RawRSA, 0), cryptoki.CKR_MECHANISM_INVALID},
		{"FIPS configuration", cryptoki.CKM_SHA1_RSA_PKCS, to(policy.NonFIPS, 0), cryptoki.CKR_MECHANISM_INVALID},
		{"a policy that has nothing to do with it", cryptoki.CKM_SHA256_RSA_PKCS, to(policy.RawRSA, 0), cryptoki.CKR_OK},
	} {
		t.Run(c.what, func(t *testing.T) {
			b := newHSM(t)
			s := b.user()
			_, key, rv := s.generatePair(newToken(), rsaPair, attrs(cryptoki.CKA_MODULUS_BITS, 2048), attrs(cryptoki.CKA_SIGN, true))
			s.must(rv)
			s.mustInit(mech.Sign, cryptoki.New(c.mechanism), key)
			b.setPartition(c.change)
			_, rv = s.operate(mech.Sign, make([]byte, 256), nil, anyRoom)
			want(t, "the operation of before", rv, c.want)
		})
	}
}

func idOn(id policy.ID) string { return fmt.Sprintf("%d 1", id) }

// HSM policy 33 is the largest number of partitions.
func TestMaxPartitions(t *testing.T) {
	b := newHSM(t)
	so := b.officer()
	so.mustCreatePartition("second")
	_, rv := so.setHSMPolicy(policy.MaxPartitions, 1, false)
	want(t, "fewer than there are", rv, cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES)
	_, rv = so.setHSMPolicy(policy.MaxPartitions, 3, false)
	so.must(rv)
	so.mustCreatePartition("third")
	_, rv = so.createPartition("fourth", 0)
	want(t, "one too many", rv, cryptoki.CKR_LICENSE_CAPACITY_EXCEEDED)
}

// What is told of a policy beside its value.
func TestPoliciesTold(t *testing.T) {
	c := newHSM(t).app()
	var p wire.PartitionPoliciesReply
	c.must(c.call(wire.CallPartitionPolicies, 0, &wire.PartitionPoliciesRequest{Slot: 0}, &p))
	i := slices.Index(p.Ids, uint64(policy.Version))
	if p.Destructive[i] != "off" || p.Effects[i] != 1 || p.Verified[i] != 1 || p.Abouts[i] == "" || !strings.Contains(p.Rules[i], "; ") {
		t.Errorf("policy 41 is %q, %d, %d, %q, %q", p.Destructive[i], p.Effects[i], p.Verified[i], p.Abouts[i], p.Rules[i])
	}
	if i := slices.Index(p.Ids, 37); p.Effects[i] != 2 {
		t.Errorf("policy 37 has the effect %d", p.Effects[i])
	}
}
