package hsm_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/wire"
)

// old is an HSM before 7.7.0 with a partition that has objects, one that has a single one
// and one that is not initialised.
func old(t testing.TB) *box {
	t.Helper()
	b := newHSMLike(t, hsm.Development{Level: before77, Memory: 16 << 20, Licences: 10})
	so := b.officer()
	single := so.createUnversioned("single")
	so.createUnversioned("new")
	c := b.joinAs(administrator)
	c.must(c.initPartition(single, "single", soPIN))
	officer := c.openSlot(single)
	officer.must(officer.login(cryptoki.CKU_SO, soPIN))
	officer.must(officer.initRole(cryptoki.CKU_USER, coPIN))
	officer.must(officer.logout())
	officer.must(officer.login(cryptoki.CKU_USER, coPIN))
	officer.aesKey(true, "single")
	user := b.user()
	user.pair(true, "pair")
	half, _ := user.pair(true, "half")
	user.must(user.destroy(half))
	user.aesKey(true, "aes")
	user.mustCreate(dataObject(true, false, "data"))
	return b
}

// summary is all that an update may change of an HSM, but for counts of records.
func (b *box) summary() (s struct {
	Firmware   wire.FirmwareInfoReply
	HSM        wire.HSMInfoReply
	Policies   wire.HSMPoliciesReply
	Partitions []wire.PartitionInfoReply
	Objects    map[uint64][]wire.Value
}) {
	b.t.Helper()
	c := b.joinAs(administrator)
	s.Firmware, s.HSM = c.firmware(), b.info(c)
	c.must(c.call(wire.CallHSMPolicies, 0, &wire.HSMPoliciesRequest{}, &s.Policies))
	for slot := range s.HSM.Partitions {
		s.Partitions = append(s.Partitions, c.partitionInfo(slot))
	}
	s.Objects = b.user().seen()
	s.HSM.Applications, s.HSM.Sessions, s.HSM.AuditEntries = 0, 0, 0
	for i := range s.Partitions {
		s.Partitions[i].Sessions = 0
	}
	return s
}

// A server that ends between any two writes of an update leaves the HSM that was, or the
// HSM that was to be, and after the next start nothing of the other.
func TestInterruptedUpdate(t *testing.T) {
	stop := errors.New("stop")
	b := old(t)
	whole := b.clone()
	whole.mustUpdate("7.8.0")
	whole.restart()
	before, after := b.clone().summary(), whole.summary()
	records := b.records()
	if reflect.DeepEqual(before, after) || whole.records() != records {
		t.Fatalf("an update leaves %d records of %d", whole.records(), records)
	}
	outcomes := make(map[string]int)
	for updates := 0; ; updates++ {
		c := b.clone()
		so := c.officer()
		left := updates
		refuse := func() error {
			if left--; left < 0 {
				return stop
			}
			return nil
		}
		c.store.onUpdate.Store(&refuse)
		_, rv := so.updateFirmware("7.8.0")
		c.restart()
		now := c.summary()
		switch {
		case reflect.DeepEqual(now, before):
			outcomes["before"]++
		case reflect.DeepEqual(now, after):
			outcomes["after"]++
		default:
			t.Errorf("after %d updates of the store the HSM is\n%+v", updates, now)
		}
		if c.records() != records {
			t.Errorf("after %d updates of the store %d records are there, want %d", updates, c.records(), records)
		}
		if rv == cryptoki.CKR_OK {
			break
		}
		if updates > 30 {
			t.Fatalf("it takes more than %d updates of the store", updates)
		}
	}
	if outcomes["before"] < 5 || outcomes["after"] < 2 {
		t.Errorf("the cuts were not where they should be: %v", outcomes)
	}
}

// An update that fails leaves the HSM that was, running, and nothing of its own.
func TestUpdateOfADamagedObject(t *testing.T) {
	b := old(t)
	// The last object, so that there is something to take back.
	var key, whole []byte
	table := keystore.TableObject
	err := b.store.Store.View(func(r keystore.Reader) error {
		return r.Scan(table, nil, nil, func(k, record []byte) (bool, error) {
			key, whole = bytes.Clone(k), bytes.Clone(record)
			return true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	put := func(record []byte) {
		t.Helper()
		if err := b.store.Store.Update(func(w keystore.Writer) error { return w.Put(table, key, record) }); err != nil {
			t.Fatal(err)
		}
	}
	damaged := bytes.Clone(whole)
	damaged[20] ^= 1
	put(damaged)
	entries := b.objectRecords()
	so := b.officer()
	_, rv := so.updateFirmware("7.8.0")
	want(t, "an update over a damaged object", rv, cryptoki.CKR_DEVICE_ERROR)
	if got := so.firmware(); got.Level != "7.4.2" || got.Previous != "" || got.Updating != "" {
		t.Errorf("the firmware is %+v", got)
	}
	if got := b.objectRecords(); got != entries {
		t.Errorf("%d records of objects are there, want %d", got, entries)
	}
	put(whole)
	_, rv = so.updateFirmware("7.8.0")
	want(t, "the update once that is repaired", rv, cryptoki.CKR_OK)
}

// While the firmware is updated, the HSM says so and does nothing else.
func TestCallsDuringAnUpdate(t *testing.T) {
	b := old(t)
	so, other := b.officer(), b.officer()
	user := b.user()
	var seen []wire.FirmwareInfoReply
	during := func() error {
		seen = append(seen, other.firmware())
		if _, rv := other.tryOpenSlot(0, readWrite); rv != cryptoki.CKR_OPERATION_NOT_ALLOWED {
			t.Errorf("opening a session: %v", rv)
		}
		_, rv := other.updateFirmware("7.9.0")
		want(t, "another update", rv, cryptoki.CKR_OPERATION_NOT_ALLOWED)
		for call, q := range map[wire.Call]wire.Message{
			wire.CallFind: &wire.FindRequest{}, wire.CallLogin: &wire.LoginRequest{}, wire.CallCloseSession: &wire.CloseSessionRequest{},
		} {
			want(t, call.String(), user.do(call, q, call.NewReply()), cryptoki.CKR_OPERATION_NOT_ALLOWED)
		}
		if info := b.info(b.joinAs(local)); info.Firmware != "7.4.2" {
			t.Errorf("the HSM is %+v", info)
		}
		if len(seen) > 1 && len(seen) < 4 {
			// What is being written counts as erased, and must not be swept.
			if err := b.Tend(); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	b.store.onUpdate.Store(updatesOnly(b, during))
	_, rv := so.updateFirmware("7.8.0")
	b.store.onUpdate.Store(nil)
	so.must(rv)
	var done []uint64
	for _, i := range seen {
		if i.Level != "7.4.2" || i.Updating != "7.8.0" {
			t.Errorf("during the update the firmware is %+v", i)
		}
		done = append(done, i.Done)
	}
	if !slices.IsSorted(done) || seen[len(seen)-1].Done != 6 || seen[len(seen)-1].Total != 6 {
		t.Errorf("the progress is %+v", seen)
	}
	if now := b.app().firmware(); now.Updating != "" || now.Level != "7.8.0" {
		t.Errorf("after the update the firmware is %+v", now)
	}
	if got := b.user().find(attrs(cryptoki.CKA_LABEL, "aes")); len(got) != 1 {
		t.Errorf("the key is there %d times", len(got))
	}
}

// updatesOnly calls f in front of each write of a firmware update, but not of the logouts
// that end it.
func updatesOnly(b *box, f func() error) *func() error {
	c := b.app()
	guarded := func() error {
		if now := c.firmware(); now.Updating == "" || now.Level == now.Updating {
			return nil
		}
		return f()
	}
	return &guarded
}

// An update waits for the calls that are under way.
func TestUpdateWaitsForCalls(t *testing.T) {
	b := old(t)
	so, user, watcher := b.officer(), b.user(), b.app()
	entered, leave := make(chan struct{}), make(chan struct{})
	wait := func() error {
		b.store.onUpdate.Store(nil)
		close(entered)
		<-leave
		return nil
	}
	b.store.onUpdate.Store(&wait)
	created := make(chan cryptoki.RV)
	go func() { created <- only(user.create(newToken(), dataObject(true, true, "under way"))) }()
	<-entered
	updated := make(chan cryptoki.RV)
	go func() { updated <- only(so.updateFirmware("7.8.0")) }()
	for watcher.firmware().Updating == "" {
		runtime.Gosched()
	}
	for range 1000 {
		if watcher.firmware().Updating != "7.8.0" {
			t.Fatal("the update did not wait")
		}
		runtime.Gosched()
	}
	close(leave)
	want(t, "the call under way", <-created, cryptoki.CKR_OK)
	want(t, "the update", <-updated, cryptoki.CKR_OK)
	if got := b.user().find(attrs(cryptoki.CKA_LABEL, "under way")); len(got) != 1 {
		t.Errorf("the object is there %d times", len(got))
	}
}

// Refused updates and rollbacks change nothing, and end nobody's session.
func TestRefusedFirmware(t *testing.T) {
	b := old(t)
	so, user := b.officer(), b.user()
	none := b.joinAs(administrator).openSlot(wire.AdminSlot)
	po := b.joinAs(administrator).openSlot(0)
	po.must(po.login(cryptoki.CKU_SO, soPIN))
	for _, c := range []struct {
		name, to string
		s        session
		want     cryptoki.RV
	}{
		{"nobody logged in", "7.8.0", none, cryptoki.CKR_USER_NOT_LOGGED_IN},
		{"the Partition SO", "7.8.0", po, cryptoki.CKR_USER_NOT_LOGGED_IN},
		{"nobody logged in, no level", "newest", none, cryptoki.CKR_USER_NOT_LOGGED_IN},
		{"no level", "newest", so, cryptoki.CKR_ARGUMENTS_BAD},
		{"a level that does not exist", "7.5.0", so, cryptoki.CKR_ARGUMENTS_BAD},
		{"the level that it has", "7.4.2", so, cryptoki.CKR_OPERATION_NOT_ALLOWED},
		{"an older level", "7.0.1", so, cryptoki.CKR_OPERATION_NOT_ALLOWED},
	} {
		_, rv := c.s.updateFirmware(c.to)
		want(t, c.name, rv, c.want)
	}
	for name, c := range map[string]struct {
		s    session
		want cryptoki.RV
	}{"nobody logged in": {none, cryptoki.CKR_USER_NOT_LOGGED_IN}, "nothing to go back to": {so, cryptoki.CKR_OPERATION_NOT_ALLOWED}} {
		_, rv := c.s.rollbackFirmware()
		want(t, "a rollback, "+name, rv, c.want)
	}
	_, rv := b.joinAs(local).plan("7.8.0")
	want(t, "a plan on the other socket", rv, cryptoki.CKR_ACTION_PROHIBITED)
	for _, level := range []string{"5.4.0", "6.10.9"} {
		from, err := firmware.Parse(level)
		if err != nil {
			t.Fatal(err)
		}
		_, rv := newHSMLike(t, hsm.Development{Level: from}).officer().updateFirmware("7.8.0")
		want(t, "an update from "+level, rv, cryptoki.CKR_OPERATION_NOT_ALLOWED)
	}
	if user.find(attrs(cryptoki.CKA_LABEL, "aes")) == nil || so.firmware().Level != "7.4.2" {
		t.Error("a refused update has changed something")
	}
}

// A rollback takes everything back to the level before, but the keys.
func TestRollback(t *testing.T) {
	b := old(t)
	b.mustUpdate("7.7.0")
	so := b.officer()
	_, rv := so.setHSMPolicy(policy.ForcePINChange, 0, false)
	so.must(rv)
	user := b.user()
	if level, rv := so.rollbackFirmware(); rv != cryptoki.CKR_OK || level != "7.4.2" {
		t.Fatalf("rolled back to %s: %v", level, rv)
	}
	want(t, "a user's session", user.logout(), cryptoki.CKR_SESSION_HANDLE_INVALID)
	if n := b.records(); n != 0 {
		t.Errorf("%d records of partitions are left", n)
	}
	for _, when := range []string{"at once", "after a restart"} {
		c := b.joinAs(administrator)
		if got := c.firmware(); got != (wire.FirmwareInfoReply{Level: "7.4.2", MemoryBytes: 16 << 20}) {
			t.Errorf("%s the firmware is %+v", when, got)
		}
		if info := b.info(c); info.State != "zeroized" || info.Partitions != 0 || info.TotalBytes != 16_609_435 || info.Officer != "not initialised" {
			t.Errorf("%s the HSM is %+v", when, info)
		}
		if c.hsmPolicy(policy.ForcePINChange) != 1 {
			t.Errorf("%s the policies are not what they are in the factory", when)
		}
		b.restart()
	}
	c := b.joinAs(administrator)
	c.must(c.initHSM(soPIN))
	so = b.officer()
	_, rv = so.rollbackFirmware()
	want(t, "a second rollback", rv, cryptoki.CKR_OPERATION_NOT_ALLOWED)
	so.createUnversioned("again")
	b.mustUpdate("7.8.0")
	if got := b.app().firmware(); got.Level != "7.8.0" || got.Previous != "7.4.2" {
		t.Errorf("the firmware is %+v", got)
	}
}

// A server that ends between any two writes of a rollback leaves an HSM at one of the
// levels.
func TestInterruptedRollback(t *testing.T) {
	stop := errors.New("stop")
	b := old(t)
	b.mustUpdate("7.7.0")
	seen := make(map[string]bool)
	for updates := 0; updates < 10; updates++ {
		c := b.clone()
		so := c.officer()
		left := updates
		refuse := func() error {
			if left--; left < 0 {
				return stop
			}
			return nil
		}
		c.store.onUpdate.Store(&refuse)
		_, rv := so.rollbackFirmware()
		c.restart()
		info := c.info(c.app())
		now := fmt.Sprint(info.Firmware, " ", info.State, " ", info.Partitions)
		if seen[now] = true; now != "7.7.0 operational 3" && now != "7.4.2 zeroized 0" {
			t.Errorf("after %d updates of the store: %s", updates, now)
		}
		if info.Partitions == 0 && c.records() != 0 {
			t.Errorf("%d records are left", c.records())
		}
		if rv == cryptoki.CKR_OK {
			break
		}
	}
	if len(seen) != 2 {
		t.Errorf("the cuts were not where they should be: %v", seen)
	}
}
