package hsm_test

import (
	"slices"
	"sync"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/wire"
)

func TestHello(t *testing.T) {
	b := newHSM(t)
	who := newIdentity()
	first := b.join(who)
	second := b.join(who)
	if first.application != second.application {
		t.Errorf("one application has the numbers %d and %d", first.application, second.application)
	}
	if other := b.app(); other.application == first.application {
		t.Errorf("two applications have the number %d", other.application)
	}
	want(t, "a second Hello", first.hello(who), cryptoki.CKR_CRYPTOKI_ALREADY_INITIALIZED)
	want(t, "another secret", b.dial(local).hello(identity{who.id, newToken()}), cryptoki.CKR_ACTION_PROHIBITED)
	stranger := local
	stranger.UID++
	want(t, "another user", b.dial(stranger).hello(who), cryptoki.CKR_ACTION_PROHIBITED)
	want(t, "no id", b.dial(local).hello(identity{secret: who.secret}), cryptoki.CKR_ARGUMENTS_BAD)
	want(t, "no secret", b.dial(local).hello(identity{id: newToken()}), cryptoki.CKR_ARGUMENTS_BAD)
	for _, versions := range [][2]uint16{{2, 3}, {0, 0}} {
		rv := b.dial(local).call(wire.CallHello, 0, &wire.HelloRequest{
			ProtocolMin: versions[0], ProtocolMax: versions[1], Application: newToken(), Secret: newToken(),
		}, &wire.HelloReply{})
		want(t, "protocols without this one", rv, cryptoki.CKR_FUNCTION_NOT_SUPPORTED)
	}
	want(t, "a call before Hello", b.dial(local).call(wire.CallSlotList, 0, &wire.SlotListRequest{}, &wire.SlotListReply{}), cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED)
	impostor := b.app()
	impostor.application = first.application
	want(t, "another application's number", impostor.call(wire.CallSlotList, 0, &wire.SlotListRequest{}, &wire.SlotListReply{}), cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED)
}

// Sessions, login and session objects are the application's, over all its links, and
// nobody else's.
func TestApplicationsAreApart(t *testing.T) {
	b := newHSM(t)
	who := newIdentity()
	one, two := b.join(who), b.join(who)
	s := one.open(readWrite)
	s.must(s.login(cryptoki.CKU_USER, coPIN))
	object := s.mustCreate(dataObject(false, true, ""))
	over := session{two, s.handle}
	if _, rv := over.size(object); rv != cryptoki.CKR_OK {
		t.Errorf("over another link of the application: %v", rv)
	}
	thief := session{b.app(), s.handle}
	want(t, "another application's session", thief.do0(), cryptoki.CKR_SESSION_HANDLE_INVALID)
	want(t, "closing it", thief.close(), cryptoki.CKR_SESSION_HANDLE_INVALID)

	one.link.Close()
	if _, rv := over.size(object); rv != cryptoki.CKR_OK {
		t.Errorf("after one of two links closed: %v", rv)
	}
	two.link.Close()
	// The same identity is a new application then.
	again := b.join(who)
	if again.application == one.application {
		t.Errorf("the number %d was given twice", one.application)
	}
	want(t, "a session of the application that ended", session{again, s.handle}.do0(), cryptoki.CKR_SESSION_HANDLE_INVALID)
	if got := again.open(readWrite).state(); got != cryptoki.CKS_RW_PUBLIC_SESSION {
		t.Errorf("the login outlived its application: state %v", got)
	}
	if info := b.info(again); info.Applications != 2 || info.Sessions != 1 {
		t.Errorf("%d applications with %d sessions are left, want 2 with 1", info.Applications, info.Sessions)
	}
}

func TestGoodbye(t *testing.T) {
	b := newHSM(t)
	who := newIdentity()
	one, two := b.join(who), b.join(who)
	s := one.open(readWrite)
	over := session{two, s.handle}
	one.must(one.call(wire.CallGoodbye, 0, &wire.GoodbyeRequest{}, &wire.GoodbyeReply{}))
	want(t, "a session over another link", over.do0(), cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED)
	_, rv := two.tryOpen(readWrite)
	want(t, "a new session over another link", rv, cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED)
	for _, c := range []*client{one, two} {
		want(t, "a call after Goodbye", c.call(wire.CallSlotList, 0, &wire.SlotListRequest{}, &wire.SlotListReply{}), cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED)
	}
	fresh := b.join(who)
	if fresh.application == one.application {
		t.Errorf("the number %d was given twice", one.application)
	}
	one.link.Close()
	two.link.Close()
	if info := b.info(fresh); info.Applications != 1 || info.Sessions != 0 {
		t.Errorf("%d applications with %d sessions are left, want 1 with 0", info.Applications, info.Sessions)
	}
}

func (b *box) info(c *client) wire.HSMInfoReply {
	b.t.Helper()
	var p wire.HSMInfoReply
	c.must(c.call(wire.CallHSMInfo, 0, &wire.HSMInfoRequest{}, &p))
	return p
}

func TestStopIsForTheOwner(t *testing.T) {
	b := newHSM(t)
	stopped := func() bool {
		select {
		case <-b.Stopped():
			return true
		default:
			return false
		}
	}
	c := b.app()
	want(t, "another user", c.call(wire.CallStop, 0, &wire.StopRequest{}, &wire.StopReply{}), cryptoki.CKR_ACTION_PROHIBITED)
	if stopped() {
		t.Fatal("another user stopped the server")
	}
	caller := local
	caller.Owner = true
	owner := b.dial(caller)
	owner.must(owner.hello(newIdentity()))
	for range 2 {
		owner.must(owner.call(wire.CallStop, 0, &wire.StopRequest{}, &wire.StopReply{}))
	}
	if !stopped() {
		t.Error("the owner did not stop the server")
	}
}

// Every call of the table is built, and answers something sensible.
func TestEveryCall(t *testing.T) {
	b := newHSM(t)
	var seen []wire.Call
	caller := local
	caller.Owner = true
	c := b.dial(caller)
	c.saw = func(call wire.Call) { seen = append(seen, call) }
	c.must(c.hello(newIdentity()))

	var slots wire.SlotListReply
	c.must(c.call(wire.CallSlotList, 0, &wire.SlotListRequest{TokenPresent: true}, &slots))
	if !slices.Equal(slots.Slots, []uint64{0}) {
		t.Errorf("the slots are %v", slots.Slots)
	}
	var slot wire.SlotInfoReply
	c.must(c.call(wire.CallSlotInfo, 0, &wire.SlotInfoRequest{}, &slot))
	if cryptoki.Flags(slot.Flags) != cryptoki.CKF_TOKEN_PRESENT || slot.FirmwareMajor != 7 || slot.FirmwareMinor != 8 {
		t.Errorf("the slot is %+v", slot)
	}
	s := c.open(readWrite)
	s.must(s.login(cryptoki.CKU_USER, coPIN))
	var token wire.TokenInfoReply
	c.must(c.call(wire.CallTokenInfo, 0, &wire.TokenInfoRequest{}, &token))
	wantFlags := cryptoki.CKF_RNG | cryptoki.CKF_LOGIN_REQUIRED | cryptoki.CKF_TOKEN_INITIALIZED | cryptoki.CKF_USER_PIN_INITIALIZED |
		cryptoki.CKF_DUAL_CRYPTO_OPERATIONS | cryptoki.CKF_RESTORE_KEY_NOT_NEEDED
	if token.Label != "test" || len(token.Serial) != 13 || cryptoki.Flags(token.Flags) != wantFlags ||
		token.Sessions != 1 || token.RWSessions != 1 || token.MaxSessions != 0 || token.MinPIN != 4 || token.MaxPIN != 255 || len(token.UTCTime) != 16 {
		t.Errorf("the token is %+v", token)
	}
	var mechanisms wire.MechanismListReply
	c.must(c.call(wire.CallMechanismList, 0, &wire.MechanismListRequest{}, &mechanisms))
	if !slices.IsSorted(mechanisms.Mechanisms) || !slices.Contains(mechanisms.Mechanisms, uint64(cryptoki.CKM_ECDSA_SHA256)) {
		t.Errorf("the mechanisms are %v", mechanisms.Mechanisms)
	}
	for _, m := range mechanisms.Mechanisms {
		var info wire.MechanismInfoReply
		c.must(c.call(wire.CallMechanismInfo, 0, &wire.MechanismInfoRequest{Mechanism: m}, &info))
		if info.Flags == 0 || info.MinKeySize > info.MaxKeySize {
			t.Errorf("%v: %+v", cryptoki.MechanismType(m), info)
		}
	}
	rv := c.call(wire.CallMechanismInfo, 0, &wire.MechanismInfoRequest{Mechanism: 0x1234567}, &wire.MechanismInfoReply{})
	want(t, "an unknown mechanism", rv, cryptoki.CKR_MECHANISM_INVALID)
	var info wire.SessionInfoReply
	s.must(s.do(wire.CallSessionInfo, &wire.SessionInfoRequest{}, &info))
	if info.Slot != 0 || cryptoki.SessionState(info.State) != cryptoki.CKS_RW_USER_FUNCTIONS || cryptoki.Flags(info.Flags) != readWrite {
		t.Errorf("the session is %+v", info)
	}
	var version wire.FirmwareVersionReply
	c.must(c.call(wire.CallFirmwareVersion, 0, &wire.FirmwareVersionRequest{}, &version))
	if version.Major != slot.FirmwareMajor || version.Minor != slot.FirmwareMinor {
		t.Errorf("the firmware is %+v, the slot's %d.%d", version, slot.FirmwareMajor, slot.FirmwareMinor)
	}
	_, rv = s.validation(cryptoki.CKS_LAST_VALIDATION_OK)
	s.must(rv)

	object := s.mustCreate(dataObject(true, true, "object"))
	copied, rv := s.copyObject(newToken(), object, attrs(cryptoki.CKA_LABEL, "copy"))
	s.must(rv)
	s.must(s.set(copied, attrs(cryptoki.CKA_LABEL, "changed")))
	if got := s.value(copied, cryptoki.CKA_LABEL); string(got) != "changed" {
		t.Errorf("the label is %q", got)
	}
	if size, rv := s.size(object); rv != cryptoki.CKR_OK || size == 0 {
		t.Errorf("the size is %d: %v", size, rv)
	}
	if got := s.find(attrs(cryptoki.CKA_CLASS, cryptoki.CKO_DATA)); !slices.Equal(got, []uint64{object, copied}) {
		t.Errorf("found %v, want %v", got, []uint64{object, copied})
	}
	s.must(s.destroy(object))

	s.pair(false, "pair")
	key := s.aesKey(false, "key")
	s.mustInit(mech.Encrypt, cbc, key)
	_, rv = s.update(mech.Encrypt, []byte("part"), anyRoom)
	s.must(rv)
	_, rv = s.final(mech.Encrypt, nil, anyRoom)
	s.must(rv)
	s.mustInit(mech.Digest, sha256, 0)
	_, rv = s.operate(mech.Digest, []byte("data"), nil, anyRoom)
	s.must(rv)
	_, rv = s.fused(mech.Digest, sha256, 0, make([]byte, partition.MaxOutput), nil, anyRoom)
	s.must(rv)
	_, rv = s.drain(mech.Digest)
	want(t, "draining nothing", rv, cryptoki.CKR_OPERATION_NOT_INITIALIZED)
	s.must(s.cancel(mech.Digest))
	s.mustInit(mech.Encrypt, cbc, key)
	s.mustInit(mech.Digest, sha256, 0)
	s.must(only(s.updateBoth(mech.Encrypt, mech.Digest, []byte("part"), anyRoom)))
	s.must(s.cancel(mech.Encrypt))
	s.must(only(s.restore(s.saved())))
	s.must(only(s.messageBegin(mech.Encrypt, key, make([]byte, 12), uint64(cryptoki.CKG_GENERATE))))
	s.must(only(s.messageNext(mech.Encrypt, []byte("part"), true, nil)))
	s.must(s.cancel(mech.Digest))

	s.testKeyCalls()

	var random [2]wire.GenerateRandomReply
	for i := range random {
		s.must(s.do(wire.CallGenerateRandom, &wire.GenerateRandomRequest{Length: 32}, &random[i]))
		random[i].Random = slices.Clone(random[i].Random)
	}
	if len(random[0].Random) != 32 || slices.Equal(random[0].Random, random[1].Random) {
		t.Errorf("random bytes %x, then %x", random[0].Random, random[1].Random)
	}
	s.must(s.do(wire.CallGenerateRandom, &wire.GenerateRandomRequest{Length: partition.MaxOutput}, &random[0]))
	rv = s.do(wire.CallGenerateRandom, &wire.GenerateRandomRequest{Length: partition.MaxOutput + 1}, &random[0])
	want(t, "too many random bytes", rv, cryptoki.CKR_ARGUMENTS_BAD)
	rv = s.do(wire.CallSeedRandom, &wire.SeedRandomRequest{Seed: []byte("seed")}, &wire.SeedRandomReply{})
	want(t, "a seed", rv, cryptoki.CKR_RANDOM_SEED_NOT_SUPPORTED)

	machine := b.info(c)
	if machine.Label != "test" || machine.Mode != hsm.ModeTest.String() || machine.RootKey != "key file" || machine.State != "operational" ||
		machine.Firmware != "7.8.0" || machine.Partitions != 1 || machine.Applications != 1 || machine.Sessions != 1 {
		t.Errorf("the HSM is %+v", machine)
	}
	var partitions wire.PartitionListReply
	c.must(c.call(wire.CallPartitionList, 0, &wire.PartitionListRequest{}, &partitions))
	if !slices.Equal(partitions.Slots, []uint64{0}) || !slices.Equal(partitions.Labels, []string{"test"}) || !slices.Equal(partitions.Serials, []string{token.Serial}) {
		t.Errorf("the partitions are %+v", partitions)
	}

	s.must(s.setPIN(coPIN, "new PIN"))
	s.must(s.logout())
	s.must(s.close())
	c.open(readOnly)
	c.must(c.call(wire.CallCloseAllSessions, 0, &wire.CloseAllSessionsRequest{}, &wire.CloseAllSessionsReply{}))
	if info := b.info(c); info.Sessions != 0 {
		t.Errorf("%d sessions after all were closed", info.Sessions)
	}
	c.resume(nil, readWrite)
	c.testAudit()
	b.testAdministration(c.saw)
	newHSM(t).testFirmware(c.saw)
	version1HSM(t).testAuthorization(c.saw)
	newHSM(t).testAuditor(c.saw)
	c.must(c.call(wire.CallStatistics, 0, &wire.StatisticsRequest{}, &wire.StatisticsReply{}))
	c.must(c.call(wire.CallStop, 0, &wire.StopRequest{}, &wire.StopReply{}))
	c.must(c.call(wire.CallGoodbye, 0, &wire.GoodbyeRequest{}, &wire.GoodbyeReply{}))

	for _, call := range wire.Calls() {
		if slices.Contains(seen, call) {
			continue
		}
		// Only a call that is not built may be left out here.
		rv := c.call(call, 0, call.NewRequest(), call.NewReply())
		want(t, call.String()+", which this test does not cover", rv, cryptoki.CKR_FUNCTION_NOT_SUPPORTED)
	}
}

// However opening and closing fall together, a session that was closed is gone.
func TestOpenAgainstCloseAll(t *testing.T) {
	b := newHSM(t)
	who := newIdentity()
	opener, closer := b.join(who), b.join(who)
	closeAll := func(c *client) cryptoki.RV {
		return c.call(wire.CallCloseAllSessions, 0, &wire.CloseAllSessionsRequest{}, &wire.CloseAllSessionsReply{})
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				closeAll(closer)
			}
		}
	})
	for range 20_000 {
		opener.open(readWrite)
	}
	close(done)
	wg.Wait()
	opener.must(closeAll(opener))
	if info := b.info(opener); info.Sessions != 0 {
		t.Errorf("%d sessions are left after all were closed", info.Sessions)
	}
}
