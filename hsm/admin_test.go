package hsm_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/wire"
)

// administrator is the server's owner on the administrator's socket.
var administrator = hsm.Caller{Link: hsm.LinkLocal, UID: 999, PID: 1, Owner: true, Administrator: true}

// joinAs connects a new application of a caller.
func (b *box) joinAs(caller hsm.Caller) *client {
	b.t.Helper()
	c := b.dial(caller)
	c.must(c.hello(newIdentity()))
	return c
}

func (c *client) tryOpenSlot(slot uint64, flags cryptoki.Flags) (session, cryptoki.RV) {
	var p wire.OpenSessionReply
	rv := c.call(wire.CallOpenSession, 0, &wire.OpenSessionRequest{Slot: slot, Flags: uint64(flags)}, &p)
	return session{c, p.Session}, rv
}

func (c *client) openSlot(slot uint64) session {
	c.t.Helper()
	s, rv := c.tryOpenSlot(slot, readWrite)
	c.must(rv)
	return s
}

// officer is a session of a new application on the administration's slot, with the HSM
// SO logged in.
func (b *box) officer() session {
	b.t.Helper()
	s := b.joinAs(administrator).openSlot(wire.AdminSlot)
	s.must(s.login(cryptoki.CKU_SO, soPIN))
	return s
}

func (c *client) slots() []uint64 {
	c.t.Helper()
	var p wire.SlotListReply
	c.must(c.call(wire.CallSlotList, 0, &wire.SlotListRequest{}, &p))
	return slices.Clone(p.Slots)
}

func (s session) createPartition(label string, size uint64) (uint64, cryptoki.RV) {
	var p wire.PartitionCreateReply
	rv := s.do(wire.CallPartitionCreate, &wire.PartitionCreateRequest{Label: label, Size: size}, &p)
	return p.Slot, rv
}

func (s session) mustCreatePartition(label string) uint64 {
	s.t.Helper()
	slot, rv := s.createPartition(label, 0)
	s.must(rv)
	return slot
}

func (s session) deletePartition(slot uint64) cryptoki.RV {
	return s.do(wire.CallPartitionDelete, &wire.PartitionDeleteRequest{Slot: slot}, &wire.PartitionDeleteReply{})
}

func (s session) resize(slot, size uint64) cryptoki.RV {
	return s.do(wire.CallPartitionResize, &wire.PartitionResizeRequest{Slot: slot, Size: size}, &wire.PartitionResizeReply{})
}

func (s session) assign(slot uint64, uid uint32, everybody bool) cryptoki.RV {
	return s.do(wire.CallClientAssign, &wire.ClientAssignRequest{Slot: slot, Uid: uid, Everybody: everybody}, &wire.ClientAssignReply{})
}

func (s session) revoke(slot uint64, uid uint32, everybody bool) cryptoki.RV {
	return s.do(wire.CallClientRevoke, &wire.ClientRevokeRequest{Slot: slot, Uid: uid, Everybody: everybody}, &wire.ClientRevokeReply{})
}

func (s session) initRole(user cryptoki.UserType, pin string) cryptoki.RV {
	return s.do(wire.CallInitRole, &wire.InitRoleRequest{User: uint64(user), PIN: wire.Secret(pin)}, &wire.InitRoleReply{})
}

func (s session) setHSMPolicy(id policy.ID, value uint64, destructive bool) (erased bool, rv cryptoki.RV) {
	var p wire.SetHSMPoliciesReply
	rv = s.do(wire.CallSetHSMPolicies, &wire.SetHSMPoliciesRequest{
		Ids: []uint64{uint64(id)}, Values: []uint64{value}, Destructive: destructive,
	}, &p)
	return p.Erased, rv
}

func (c *client) initPartition(slot uint64, label, pin string) cryptoki.RV {
	return c.call(wire.CallPartitionInit, 0, &wire.PartitionInitRequest{Slot: slot, Label: label, PIN: wire.Secret(pin)}, &wire.PartitionInitReply{})
}

func (c *client) initHSM(pin string) cryptoki.RV {
	return c.call(wire.CallHSMInit, 0, &wire.HSMInitRequest{Label: "again", PIN: wire.Secret(pin)}, &wire.HSMInitReply{})
}

func (c *client) zeroize() cryptoki.RV {
	return c.call(wire.CallHSMZeroize, 0, &wire.HSMZeroizeRequest{}, &wire.HSMZeroizeReply{})
}

func (c *client) factoryReset() cryptoki.RV {
	return c.call(wire.CallHSMFactoryReset, 0, &wire.HSMFactoryResetRequest{}, &wire.HSMFactoryResetReply{})
}

func (c *client) partitionInfo(slot uint64) wire.PartitionInfoReply {
	c.t.Helper()
	var p wire.PartitionInfoReply
	c.must(c.call(wire.CallPartitionInfo, 0, &wire.PartitionInfoRequest{Slot: slot}, &p))
	return p
}

func (c *client) hsmPolicy(id policy.ID) uint64 {
	c.t.Helper()
	var p wire.HSMPoliciesReply
	c.must(c.call(wire.CallHSMPolicies, 0, &wire.HSMPoliciesRequest{}, &p))
	return p.Values[slices.Index(p.Ids, uint64(id))]
}

// A slot that a caller may not see answers every call as one that is not there.
func TestSlotsOfOthersDoNotExist(t *testing.T) {
	b := newHSM(t)
	so := b.officer()
	slot := so.mustCreatePartition("second")
	user := b.joinAs(local)
	owner := b.joinAs(hsm.Caller{Link: hsm.LinkLocal, UID: 999, Owner: true})
	see := func(when string, c *client, want ...uint64) {
		t.Helper()
		if got := c.slots(); !slices.Equal(got, want) {
			t.Errorf("%s: the slots are %v, want %v", when, got, want)
		}
	}
	see("the administrator", so.client, 0, slot, wire.AdminSlot)
	see("the owner", owner, 0, slot)
	see("a user", user, 0)
	for name, hidden := range map[string]uint64{"another's": slot, "the administration's": wire.AdminSlot, "none": 77} {
		for call, q := range map[wire.Call]wire.Message{
			wire.CallSlotInfo: &wire.SlotInfoRequest{Slot: hidden}, wire.CallTokenInfo: &wire.TokenInfoRequest{Slot: hidden},
			wire.CallMechanismList: &wire.MechanismListRequest{Slot: hidden}, wire.CallMechanismInfo: &wire.MechanismInfoRequest{Slot: hidden},
			wire.CallOpenSession: &wire.OpenSessionRequest{Slot: hidden}, wire.CallCloseAllSessions: &wire.CloseAllSessionsRequest{Slot: hidden},
			wire.CallResume: &wire.ResumeRequest{Slot: hidden}, wire.CallPartitionInit: &wire.PartitionInitRequest{Slot: hidden},
			wire.CallRoleState: &wire.RoleStateRequest{Slot: hidden}, wire.CallPartitionInfo: &wire.PartitionInfoRequest{Slot: hidden},
			wire.CallPartitionPolicies: &wire.PartitionPoliciesRequest{Slot: hidden},
		} {
			want(t, fmt.Sprint(call, ", slot ", name), user.call(call, 0, q, call.NewReply()), cryptoki.CKR_SLOT_ID_INVALID)
		}
	}
	_, rv := owner.tryOpenSlot(wire.AdminSlot, readWrite)
	want(t, "the administration's slot on the other socket", rv, cryptoki.CKR_SLOT_ID_INVALID)

	so.must(so.assign(slot, local.UID, false))
	see("once assigned", user, 0, slot)
	so.must(so.revoke(0, 0, true))
	see("slot 0 taken from everybody", user, slot)
	b.restart()
	see("after a restart", b.joinAs(local), slot)
}

// Whoever loses a partition loses his sessions on it.
func TestRevokingEndsSessions(t *testing.T) {
	b := newHSM(t)
	so, user := b.officer(), b.user()
	owner := b.joinAs(hsm.Caller{Link: hsm.LinkLocal, UID: 999, Owner: true}).openSlot(0)
	so.must(so.revoke(0, 0, true))
	want(t, "the session of one who is not assigned", user.logout(), cryptoki.CKR_SESSION_HANDLE_INVALID)
	want(t, "the owner's", owner.login(cryptoki.CKU_USER, coPIN), cryptoki.CKR_OK)
}

// A partition from its creation to its deletion; the next one takes its slot.
func TestLifeOfAPartition(t *testing.T) {
	b := newHSM(t)
	so := b.officer()
	slot := so.mustCreatePartition("payments")
	so.mustCreatePartition("third")
	if slot != 1 {
		t.Errorf("the second partition is in slot %d", slot)
	}
	c := b.joinAs(administrator)
	_, rv := c.tryOpenSlot(slot, readWrite)
	want(t, "a session before init", rv, cryptoki.CKR_TOKEN_NOT_RECOGNIZED)
	before := c.partitionInfo(slot)
	c.must(c.initPartition(slot, "Payments", soPIN))
	s := c.openSlot(slot)
	want(t, "init beside a session", b.joinAs(administrator).initPartition(slot, "x", soPIN), cryptoki.CKR_SESSION_EXISTS)
	s.must(s.login(cryptoki.CKU_SO, soPIN))
	s.must(s.initRole(cryptoki.CKU_USER, coPIN))
	s.must(s.logout())
	s.must(s.login(cryptoki.CKU_USER, coPIN))
	first := s.mustCreate(dataObject(true, true, "object"))
	var list wire.ContentsReply
	s.must(s.do(wire.CallContents, &wire.ContentsRequest{}, &list))
	if len(list.Objects) != 1 || list.Objects[0] != first || list.Labels[0] != "object" || list.More {
		t.Errorf("the contents are %+v", list)
	}
	size, rv := s.size(first)
	s.must(rv)
	info := c.partitionInfo(slot)
	if info.UsedBytes != size || info.Objects != 1 || info.TotalBytes != info.UsedBytes+info.FreeBytes ||
		info.Serial != before.Serial || info.Label != "Payments" || info.State != "initialised" || before.State != "uninitialised" {
		t.Errorf("the partition is %+v, was %+v", info, before)
	}
	want(t, "a size below what is in use", so.resize(slot, size-1), cryptoki.CKR_DEVICE_MEMORY)
	so.must(so.resize(slot, size))
	_, rv = s.create(newToken(), dataObject(true, true, "more"))
	want(t, "a full partition", rv, cryptoki.CKR_DEVICE_MEMORY)
	b.restart()
	so, c = b.officer(), b.joinAs(administrator)
	if got := c.partitionInfo(slot).TotalBytes; got != size {
		t.Errorf("after a restart it has %d bytes, want %d", got, size)
	}
	so.must(so.resize(slot, 0))

	want(t, "init with a wrong PIN", c.initPartition(slot, "x", "wrong PIN"), cryptoki.CKR_PIN_INCORRECT)
	c.must(c.initPartition(slot, "empty", soPIN))
	s = c.openSlot(slot)
	want(t, "the role that init removed", s.login(cryptoki.CKU_USER, coPIN), cryptoki.CKR_USER_PIN_NOT_INITIALIZED)
	s.must(s.login(cryptoki.CKU_SO, soPIN))
	s.must(s.initRole(cryptoki.CKU_USER, coPIN))
	s.must(s.logout())
	s.must(s.login(cryptoki.CKU_USER, coPIN))
	if next := s.mustCreate(dataObject(true, true, "next")); next <= first {
		t.Errorf("handle %d names an object again", next)
	}
	so.must(so.deletePartition(slot))
	want(t, "a session of what was deleted", s.logout(), cryptoki.CKR_SESSION_HANDLE_INVALID)
	want(t, "deleting it again", so.deletePartition(slot), cryptoki.CKR_SLOT_ID_INVALID)
	if got := c.slots(); !slices.Equal(got, []uint64{0, 2, wire.AdminSlot}) {
		t.Errorf("the slots are %v", got)
	}
	if got := so.mustCreatePartition("next"); got != slot {
		t.Errorf("the next partition is in slot %d, want %d", got, slot)
	}
	if c.partitionInfo(slot).Serial == before.Serial {
		t.Error("the next partition has the deleted one's serial number")
	}
}

// The HSM never promises more room than it has, nor more partitions than licences.
func TestRoom(t *testing.T) {
	b := newHSM(t)
	so := b.officer()
	for n := 1; n < hsm.DefaultLicences; n++ {
		so.mustCreatePartition(fmt.Sprint("partition ", n))
	}
	_, rv := so.createPartition("one more", 1)
	want(t, "more partitions than licences", rv, cryptoki.CKR_LICENSE_CAPACITY_EXCEEDED)
	_, rv = so.createPartition("partition 1", 1)
	want(t, "a label twice", rv, cryptoki.CKR_ARGUMENTS_BAD)
	info := b.info(so.client)
	const share = 4<<30/33_554_432*33_218_870/10 - 15560
	if info.FreeBytes >= hsm.DefaultLicences || so.partitionInfo(3).TotalBytes != share {
		t.Errorf("%d bytes are free and a share is %d, want %d", info.FreeBytes, so.partitionInfo(3).TotalBytes, share)
	}
	want(t, "more than there is", so.resize(3, share+hsm.DefaultLicences), cryptoki.CKR_DEVICE_MEMORY)
	so.must(so.resize(3, 1000))
	so.must(so.resize(4, ^uint64(0)))
	if info := b.info(so.client); info.FreeBytes != 0 || info.UsedBytes != info.TotalBytes {
		t.Errorf("all was asked for, and the HSM is %+v", info)
	}
	want(t, "one byte more", so.resize(3, 1001), cryptoki.CKR_DEVICE_MEMORY)
}

// Whoever is not the HSM SO administers nothing.
func TestAdministrationIsTheHSMSOs(t *testing.T) {
	b := newHSM(t)
	c := b.joinAs(administrator)
	admin := c.openSlot(wire.AdminSlot)
	officer := c.openSlot(0) // the Partition SO of slot 0
	officer.must(officer.login(cryptoki.CKU_SO, soPIN))
	for who, s := range map[string]session{"nobody": admin, "the Partition SO": officer} {
		for call, q := range map[wire.Call]wire.Message{
			wire.CallPartitionCreate: &wire.PartitionCreateRequest{Label: "x"}, wire.CallPartitionDelete: &wire.PartitionDeleteRequest{},
			wire.CallPartitionResize: &wire.PartitionResizeRequest{}, wire.CallClientAssign: &wire.ClientAssignRequest{},
			wire.CallClientRevoke: &wire.ClientRevokeRequest{}, wire.CallClientList: &wire.ClientListRequest{},
			wire.CallSetHSMPolicies: &wire.SetHSMPoliciesRequest{Ids: []uint64{21}, Values: []uint64{1}},
		} {
			want(t, fmt.Sprint(call, " by ", who), s.do(call, q, call.NewReply()), cryptoki.CKR_USER_NOT_LOGGED_IN)
		}
	}
	owner := b.joinAs(hsm.Caller{Link: hsm.LinkLocal, UID: 999, Owner: true})
	stranger := administrator
	stranger.Owner = false
	for what, rv := range map[string]cryptoki.RV{
		"init on the other socket": owner.initHSM(soPIN), "zeroize on the other socket": owner.zeroize(),
		"factory reset on the other socket": owner.factoryReset(), "zeroize by an administrator who is not the owner": b.joinAs(stranger).zeroize(),
		"factory reset by an administrator who is not the owner": b.joinAs(stranger).factoryReset(),
	} {
		want(t, what, rv, cryptoki.CKR_ACTION_PROHIBITED)
	}
	if info := b.info(c); info.State != "operational" || info.Partitions != 1 {
		t.Errorf("the HSM is %+v", info)
	}
}

// The Partition SO's last wrong PIN leaves the partition as it was created.
func TestPartitionSOsLastPIN(t *testing.T) {
	b := newHSM(t)
	user := b.user()
	user.mustCreate(dataObject(true, true, "object"))
	before := user.partitionInfo(0)
	s := b.app().open(readWrite)
	for n := 1; n < maxTries; n++ {
		want(t, "a wrong PIN", s.login(cryptoki.CKU_SO, "wrong PIN"), cryptoki.CKR_PIN_INCORRECT)
	}
	want(t, "the last wrong PIN", s.login(cryptoki.CKU_SO, "wrong PIN"), cryptoki.CKR_PIN_LOCKED)
	want(t, "a session of the partition", user.logout(), cryptoki.CKR_SESSION_HANDLE_INVALID)
	for _, when := range []string{"at once", "after a restart"} {
		c := b.app()
		_, rv := c.tryOpen(readWrite)
		want(t, "a session "+when, rv, cryptoki.CKR_TOKEN_NOT_RECOGNIZED)
		info := c.partitionInfo(0)
		if info.State != "uninitialised" || info.Objects != 0 || info.UsedBytes != 0 || info.Serial != before.Serial || info.TotalBytes != before.TotalBytes {
			t.Errorf("%s the partition is %+v", when, info)
		}
		b.restart()
	}
	c := b.app()
	c.must(c.initPartition(0, "again", "another PIN"))
	s = c.open(readWrite)
	want(t, "the old PIN", s.login(cryptoki.CKU_SO, soPIN), cryptoki.CKR_PIN_INCORRECT)
	s.must(s.login(cryptoki.CKU_SO, "another PIN"))
}

// The HSM SO's last wrong PIN destroys all partitions and him. Auditor and policies stay.
func TestHSMSOsLastPIN(t *testing.T) {
	b := newHSM(t)
	so := b.officer()
	_, rv := so.setHSMPolicy(policy.ForcePINChange, 1, false)
	so.must(rv)
	so.must(so.logout())
	so.must(so.initRole(cryptoki.CKU_AUDIT, "auditor's"))
	user := b.user()
	s := b.joinAs(administrator).openSlot(wire.AdminSlot)
	for range 2 {
		want(t, "a wrong PIN", s.login(cryptoki.CKU_SO, "wrong PIN"), cryptoki.CKR_PIN_INCORRECT)
		b.restart()
		s = b.joinAs(administrator).openSlot(wire.AdminSlot)
		user = b.user()
	}
	if info := b.info(s.client); info.OfficerLeft != 1 {
		t.Errorf("%d tries are left", info.OfficerLeft)
	}
	want(t, "the last wrong PIN", s.login(cryptoki.CKU_SO, "wrong PIN"), cryptoki.CKR_PIN_LOCKED)
	want(t, "a user's session", user.logout(), cryptoki.CKR_SESSION_HANDLE_INVALID)
	for _, when := range []string{"at once", "after a restart"} {
		c := b.joinAs(administrator)
		info := b.info(c)
		if info.State != "zeroized" || info.Partitions != 0 || info.Officer != "not initialised" || info.Auditor != "initialised" || info.UsedBytes != 0 {
			t.Errorf("%s the HSM is %+v", when, info)
		}
		if c.hsmPolicy(policy.ForcePINChange) != 1 {
			t.Errorf("%s the policies are not what they were", when)
		}
		s := c.openSlot(wire.AdminSlot)
		want(t, "the HSM SO", s.login(cryptoki.CKU_SO, soPIN), cryptoki.CKR_USER_PIN_NOT_INITIALIZED)
		s.must(s.login(cryptoki.CKU_AUDIT, "auditor's"))
		b.restart()
	}
	c := b.joinAs(administrator)
	c.must(c.initHSM("new officer"))
	s = c.openSlot(wire.AdminSlot)
	want(t, "the old PIN", s.login(cryptoki.CKU_SO, soPIN), cryptoki.CKR_PIN_INCORRECT)
	s.must(s.login(cryptoki.CKU_SO, "new officer"))
}

// The states of docs/partitions.md, and what each keeps.
func TestStates(t *testing.T) {
	b := newHSM(t)
	so := b.officer()
	const changed = policy.ForcePINChange // off in a development HSM, on in a new one
	_, rv := so.setHSMPolicy(changed, 0, false)
	so.must(rv)
	so.must(so.logout())
	so.must(so.initRole(cryptoki.CKU_AUDIT, "auditor's"))
	c := b.joinAs(administrator)
	want(t, "init by somebody else", c.initHSM("wrong PIN"), cryptoki.CKR_PIN_INCORRECT)
	if info := b.info(c); info.Partitions != 1 {
		t.Fatal("a wrong PIN destroyed the partitions")
	}
	check := func(step string, rv cryptoki.RV, state, officer, auditor string, value uint64) {
		t.Helper()
		want(t, step, rv, cryptoki.CKR_OK)
		b.restart()
		c = b.joinAs(administrator)
		info := b.info(c)
		if info.State != state || info.Officer != officer || info.Auditor != auditor || info.Partitions != 0 || c.hsmPolicy(changed) != value {
			t.Errorf("%s: policy %d is %d and the HSM %+v", step, changed, c.hsmPolicy(changed), info)
		}
	}
	const is, not = "initialised", "not initialised"
	check("init by the HSM SO", c.initHSM(soPIN), "operational", is, is, 0)
	b.officer()
	check("zeroize", c.zeroize(), "zeroized", not, is, 0)
	check("zeroize again", c.zeroize(), "zeroized", not, is, 0)
	check("init after that", c.initHSM("new officer"), "operational", is, is, 0)
	check("factory reset", c.factoryReset(), "factory", not, not, 1)
	check("zeroize after that", c.zeroize(), "factory", not, not, 1)
	check("init from the factory", c.initHSM(soPIN), "operational", is, not, 1)
	slot := b.officer().mustCreatePartition("new")
	c.must(c.initPartition(slot, "new", soPIN))
	var log wire.AuditVerifyReply
	c.must(c.call(wire.CallAuditVerify, 0, &wire.AuditVerifyRequest{}, &log))
	if !log.Sound {
		t.Errorf("the audit log: %+v", log)
	}
}

// Who has an initial PIN changes it before he does anything else.
func TestInitialPIN(t *testing.T) {
	b := newHSM(t)
	so := b.officer()
	_, rv := so.setHSMPolicy(policy.ForcePINChange, 1, false)
	so.must(rv)
	slot := so.mustCreatePartition("second")
	c := b.joinAs(administrator)
	c.must(c.initPartition(slot, "second", soPIN))
	s := c.openSlot(slot)
	s.must(s.login(cryptoki.CKU_SO, soPIN))
	s.must(s.initRole(cryptoki.CKU_USER, "initial"))
	s.must(s.logout())
	s.must(s.login(cryptoki.CKU_USER, "initial"))
	for name, rv := range map[string]cryptoki.RV{
		"find":     only(s.page(nil, 0, 0)),
		"create":   only(s.create(newToken(), dataObject(false, false, "x"))),
		"contents": s.do(wire.CallContents, &wire.ContentsRequest{}, &wire.ContentsReply{}),
		"random":   s.do(wire.CallGenerateRandom, &wire.GenerateRandomRequest{Length: 1}, &wire.GenerateRandomReply{}),
		"a role":   s.initRole(cryptoki.CKU_CRYPTO_USER, "crypto user"),
	} {
		want(t, name, rv, cryptoki.CKR_PIN_EXPIRED)
	}
	s.state()
	s.must(s.setPIN("initial", coPIN))
	s.mustCreate(dataObject(true, true, "x"))
	s.must(s.initRole(cryptoki.CKU_CRYPTO_USER, "crypto user"))
}

// Whoever administers does not wait for the password hashes of an initialization, which takes
// over what was administered meanwhile.
func TestAdministeringWhileInitializing(t *testing.T) {
	b := newHSM(t)
	so := b.officer()
	before := so.partitionInfo(0).TotalBytes
	updates := 0
	meanwhile := func() error {
		// The first update gives out a number, the second counts the try.
		if updates++; updates == 2 {
			b.store.onUpdate.Store(nil)
			so.must(so.resize(0, before/2))
		}
		return nil
	}
	b.store.onUpdate.Store(&meanwhile)
	c := b.app()
	c.must(c.initPartition(0, "again", soPIN))
	if info := c.partitionInfo(0); info.Label != "again" || info.TotalBytes != before/2 {
		t.Errorf("%q has %d bytes, it was resized to %d", info.Label, info.TotalBytes, before/2)
	}
}

// Whoever has no PIN cannot use up the numbers of partitions, which are never given out again.
func TestRefusedInitializationTakesNoNumber(t *testing.T) {
	number := func(attempts int) uint32 {
		b := newHSM(t)
		c := b.app()
		for range attempts {
			want(t, "a short PIN", c.initPartition(0, "again", "1"), cryptoki.CKR_PIN_LEN_RANGE)
		}
		c.must(c.initPartition(0, "again", soPIN))
		auditor := b.dial(owner)
		auditor.must(auditor.hello(newIdentity()))
		entries := auditor.auditEntries()
		return entries[len(entries)-1].Record.Partition
	}
	if one, many := number(0), number(10); one != many {
		t.Errorf("the partition has number %d after ten attempts, %d after none", many, one)
	}
}

// A change that erases has to be asked for as one.
func TestDestructivePolicy(t *testing.T) {
	b := newHSM(t)
	so := b.officer()
	user := b.user()
	user.mustCreate(dataObject(true, true, "object"))
	_, rv := so.setHSMPolicy(policy.ResetPIN, 1, false)
	want(t, "not asked for as destructive", rv, cryptoki.CKR_CONFIG_CHANGE_ILLEGAL)
	if so.hsmPolicy(policy.ResetPIN) != 0 || user.partitionInfo(0).Objects != 1 {
		t.Error("the refused change was made")
	}
	erased, rv := so.setHSMPolicy(policy.ResetPIN, 1, true)
	so.must(rv)
	info := so.partitionInfo(0)
	if !erased || so.hsmPolicy(policy.ResetPIN) != 1 || info.Objects != 0 || info.State != "uninitialised" {
		t.Errorf("erased is %v, the partition %+v", erased, info)
	}
	want(t, "a session of what was erased", user.logout(), cryptoki.CKR_SESSION_HANDLE_INVALID)

	// With the policy on, the Partition SO resets the Crypto Officer.
	c := b.app()
	c.must(c.initPartition(0, "again", soPIN))
	s := c.open(readWrite)
	s.must(s.login(cryptoki.CKU_SO, soPIN))
	s.must(s.initRole(cryptoki.CKU_USER, coPIN))
	s.must(s.do(wire.CallResetRole, &wire.ResetRoleRequest{User: uint64(cryptoki.CKU_USER), PIN: wire.Secret("reset")}, &wire.ResetRoleReply{}))
	var p wire.SetPartitionPoliciesReply
	s.must(s.do(wire.CallSetPartitionPolicies, &wire.SetPartitionPoliciesRequest{Ids: []uint64{uint64(policy.MaxFailedLogins)}, Values: []uint64{3}}, &p))
	s.must(s.logout())
	want(t, "the PIN from before the reset", s.login(cryptoki.CKU_USER, coPIN), cryptoki.CKR_PIN_INCORRECT)
	want(t, "the second of three", s.login(cryptoki.CKU_USER, coPIN), cryptoki.CKR_PIN_INCORRECT)
	want(t, "the third of three", s.login(cryptoki.CKU_USER, coPIN), cryptoki.CKR_PIN_LOCKED)
}

// records counts what the store has of partitions, the administration's aside.
func (b *box) records() (n int) {
	b.t.Helper()
	err := b.store.Store.View(func(r keystore.Reader) error {
		for _, table := range []keystore.Table{keystore.TableObject, keystore.TableIndex, keystore.TablePartition} {
			err := r.Scan(table, nil, nil, func(key, _ []byte) (bool, error) {
				if !bytes.HasPrefix(key, []byte{0, 0, 0, byte(partition.AdministrationID)}) {
					n++
				}
				return true, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// What an erased partition left is swept away before the act is answered; where the server
// ends in between, the next one goes on, whatever the update.
func TestSweeping(t *testing.T) {
	stop := errors.New("stop")
	for updates := 1; ; updates++ {
		b := newHSM(t)
		user := b.user()
		for n := range 100 {
			user.mustCreate(dataObject(true, true, fmt.Sprint("object ", n)))
		}
		so := b.officer()
		left := updates
		refuse := func() error {
			if left--; left < 0 {
				return stop
			}
			return nil
		}
		b.store.onUpdate.Store(&refuse)
		rv := so.deletePartition(0)
		if n := b.records(); n == 0 && updates == 1 || n != 0 && rv == cryptoki.CKR_OK {
			t.Errorf("stopped after %d updates, %d records are left", updates, n)
		}
		b.restart()
		if n := b.records(); n != 0 {
			t.Errorf("stopped after %d updates and started again: %d records are left", updates, n)
		}
		if rv == cryptoki.CKR_OK {
			return
		}
	}
}

// Whoever administers does not wait for the PIN of an initialization, which then finds what
// has been done meanwhile.
func TestInitIsOvertaken(t *testing.T) {
	b := newHSM(t)
	first, second := b.joinAs(administrator), b.joinAs(administrator)
	updates := 0
	between := func() error {
		// Its first update counts the try, the second forgives it.
		if updates++; updates == 2 {
			b.store.onUpdate.Store(nil)
			second.must(second.zeroize())
			second.must(second.initHSM("another officer"))
		}
		return nil
	}
	b.store.onUpdate.Store(&between)
	want(t, "the initialization that was overtaken", first.initHSM(soPIN), cryptoki.CKR_USER_NOT_LOGGED_IN)
	s := second.openSlot(wire.AdminSlot)
	s.must(s.login(cryptoki.CKU_SO, "another officer"))
	s.mustCreatePartition("after it")
}

// A server that ends between any two updates of an act leaves an HSM that starts, and
// has either done the act or not.
func TestInterruptedActs(t *testing.T) {
	stop := errors.New("stop")
	for name, act := range map[string]func(b *box, so session) cryptoki.RV{
		"create": func(_ *box, so session) cryptoki.RV { return only(so.createPartition("second", 0)) },
		"delete": func(_ *box, so session) cryptoki.RV { return so.deletePartition(0) },
		"resize": func(_ *box, so session) cryptoki.RV { return so.resize(0, 5000) },
		"assign": func(_ *box, so session) cryptoki.RV { return so.assign(0, 1, false) },
		"init":   func(_ *box, so session) cryptoki.RV { return so.initPartition(0, "again", soPIN) },
		"policy": func(_ *box, so session) cryptoki.RV { return only(so.setHSMPolicy(policy.ResetPIN, 1, true)) },
		"zeroize": func(_ *box, so session) cryptoki.RV {
			return so.zeroize()
		},
		"factory reset": func(_ *box, so session) cryptoki.RV { return so.factoryReset() },
		"soft init":     func(_ *box, so session) cryptoki.RV { return so.initHSM(soPIN) },
	} {
		t.Run(name, func(t *testing.T) {
			for updates := 0; ; updates++ {
				b := newHSM(t)
				so := b.officer()
				left := updates
				refuse := func() error {
					if left--; left < 0 {
						return stop
					}
					return nil
				}
				b.store.onUpdate.Store(&refuse)
				rv := act(b, so)
				b.restart()
				if err := b.Tend(); err != nil {
					t.Fatal(err)
				}
				c := b.joinAs(administrator)
				info := b.info(c)
				if info.State == "operational" {
					b.officer()
				}
				slots := c.slots()
				if len(slots) != int(info.Partitions)+1 || info.UsedBytes+info.FreeBytes != info.TotalBytes {
					t.Errorf("after %d updates the slots are %v and the HSM is %+v", updates, slots, info)
				}
				for _, slot := range slots[:len(slots)-1] {
					c.partitionInfo(slot)
				}
				if rv == cryptoki.CKR_OK {
					if updates == 0 {
						t.Fatal("nothing was written")
					}
					break
				}
				if updates > 10 {
					t.Fatalf("it takes more than %d updates: %v", updates, rv)
				}
			}
		})
	}
}

// The audit log has every act.
func TestActsAreRecorded(t *testing.T) {
	b := newHSM(t)
	so := b.officer()
	slot := so.mustCreatePartition("second")
	so.must(so.assign(slot, 7, false))
	so.must(so.revoke(slot, 7, false))
	so.must(so.resize(slot, 1000))
	_, rv := so.setHSMPolicy(policy.ForcePINChange, 1, false)
	so.must(rv)
	c := b.joinAs(administrator)
	c.must(c.initPartition(slot, "second", soPIN))
	so.must(so.deletePartition(slot))
	c.must(c.zeroize())
	var log wire.AuditReadReply
	c.must(c.call(wire.CallAuditRead, 0, &wire.AuditReadRequest{From: 1, Limit: 400}, &log))
	for _, event := range []string{
		"partition-create", "client", "partition-policy", "hsm-policy", "partition-init", "partition-delete", "hsm-reset",
	} {
		if !slices.ContainsFunc(log.Entries, func(e string) bool { return bytes.Contains([]byte(e), []byte(`"`+event+`"`)) }) {
			t.Errorf("the log has no %s", event)
		}
	}
}

// testAdministration makes every call of an administrator once.
func (b *box) testAdministration(saw func(wire.Call)) {
	so := b.officer()
	so.saw = saw
	slot := so.mustCreatePartition("second")
	so.must(so.assign(slot, 7, false))
	so.must(so.assign(slot, 0, true))
	var clients wire.ClientListReply
	so.must(so.do(wire.CallClientList, &wire.ClientListRequest{}, &clients))
	if !slices.Equal(clients.Slots, []uint64{0, slot, slot}) || !slices.Equal(clients.Uids, []uint64{0, 0, 7}) || !slices.Equal(clients.Everybody, []uint64{1, 1, 0}) {
		b.t.Errorf("the clients are %+v", clients)
	}
	so.must(so.revoke(slot, 7, false))
	so.must(so.resize(slot, 10_000))
	so.must(so.initPartition(slot, "second", soPIN))
	officer := so.openSlot(slot)
	officer.must(officer.login(cryptoki.CKU_SO, soPIN))
	officer.must(officer.initRole(cryptoki.CKU_USER, coPIN))
	want(b.t, "a reset without HSM policy 15", officer.do(wire.CallResetRole,
		&wire.ResetRoleRequest{User: uint64(cryptoki.CKU_USER), PIN: wire.Secret(coPIN)}, &wire.ResetRoleReply{}), cryptoki.CKR_ACTION_PROHIBITED)
	var state wire.RoleStateReply
	so.must(so.call(wire.CallRoleState, 0, &wire.RoleStateRequest{Slot: slot, User: uint64(cryptoki.CKU_USER)}, &state))
	if state != (wire.RoleStateReply{Flags: 1, AttemptsLeft: maxTries, Primary: 1}) {
		b.t.Errorf("the Crypto Officer is %+v", state)
	}
	officer.must(officer.do(wire.CallContents, &wire.ContentsRequest{}, &wire.ContentsReply{}))
	var policies wire.PartitionPoliciesReply
	so.must(so.call(wire.CallPartitionPolicies, 0, &wire.PartitionPoliciesRequest{Slot: slot}, &policies))
	if !slices.Contains(policies.Ids, uint64(policy.MaxFailedLogins)) || len(policies.Names) != len(policies.Ids) {
		b.t.Errorf("the policies are %+v", policies)
	}
	so.template(slot)
	so.must(so.call(wire.CallFirmwareVersion, 0, &wire.FirmwareVersionRequest{Slot: slot}, &wire.FirmwareVersionReply{}))
	officer.must(officer.do(wire.CallSetPartitionPolicies, &wire.SetPartitionPoliciesRequest{
		Ids: []uint64{uint64(policy.MaxFailedLogins)}, Values: []uint64{5},
	}, &wire.SetPartitionPoliciesReply{}))
	so.partitionInfo(slot)
	so.hsmPolicy(policy.ResetPIN)
	_, rv := so.setHSMPolicy(policy.ForcePINChange, 1, false)
	so.must(rv)
	var tests wire.HSMSelfTestReply
	so.must(so.call(wire.CallHSMSelfTest, 0, &wire.HSMSelfTestRequest{}, &tests))
	if len(tests.Names) < 4 || slices.ContainsFunc(tests.Faults, func(f string) bool { return f != "" }) {
		b.t.Errorf("the self-tests are %+v", tests)
	}
	so.must(so.deletePartition(slot))
	so.must(so.initHSM(soPIN))
	so.must(so.zeroize())
	so.must(so.factoryReset())
}
