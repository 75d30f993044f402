package hsm_test

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/keystore/memstore"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/wire"
)

func (s session) updateFirmware(to string) (objects uint64, rv cryptoki.RV) {
	var p wire.FirmwareUpdateReply
	rv = s.do(wire.CallFirmwareUpdate, &wire.FirmwareUpdateRequest{Level: to}, &p)
	return p.Objects, rv
}

// createUnversioned creates a partition at a level that has no versions.
func (s session) createUnversioned(label string) uint64 {
	s.t.Helper()
	var p wire.PartitionCreateReply
	s.must(s.do(wire.CallPartitionCreate, &wire.PartitionCreateRequest{Label: label, Version: 255}, &p))
	return p.Slot
}

func (s session) rollbackFirmware() (level string, rv cryptoki.RV) {
	var p wire.FirmwareRollbackReply
	rv = s.do(wire.CallFirmwareRollback, &wire.FirmwareRollbackRequest{}, &p)
	return p.Level, rv
}

func (c *client) firmware() wire.FirmwareInfoReply {
	c.t.Helper()
	var p wire.FirmwareInfoReply
	c.must(c.call(wire.CallFirmwareInfo, 0, &wire.FirmwareInfoRequest{}, &p))
	return p
}

func (c *client) plan(to string) (wire.FirmwarePlanReply, cryptoki.RV) {
	var p wire.FirmwarePlanReply
	rv := c.call(wire.CallFirmwarePlan, 0, &wire.FirmwarePlanRequest{Level: to}, &p)
	return p, rv
}

// mustUpdate takes the HSM to a level.
func (b *box) mustUpdate(to string) (objects uint64) {
	b.t.Helper()
	so := b.officer()
	objects, rv := so.updateFirmware(to)
	so.must(rv)
	return objects
}

// clone is the HSM's disk as it is now, with another HSM started from it.
func (b *box) clone() *box {
	b.t.Helper()
	c := *b
	c.disk = new(memstore.Disk)
	to := memstore.Open(c.disk)
	err := b.store.Store.View(func(r keystore.Reader) error {
		return to.Update(func(w keystore.Writer) error {
			for _, table := range keystore.Tables {
				err := r.Scan(table, nil, nil, func(key, value []byte) (bool, error) { return true, w.Put(table, key, value) })
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		b.t.Fatal(err)
	}
	c.start()
	return &c
}

// everyAttribute are all attributes that a level before 7.7.0 has a name for.
func everyAttribute() (list []cryptoki.AttributeType) {
	for t := cryptoki.AttributeType(0); t < 0x700; t++ {
		list = append(list, t)
	}
	return list
}

// seen is what an application sees of a partition: each object's attributes by its handle.
func (s session) seen() map[uint64][]wire.Value {
	s.t.Helper()
	all := make(map[uint64][]wire.Value)
	for _, h := range s.find(nil) {
		values, _ := s.get(h, everyAttribute()...)
		list := slices.Clone(values)
		for i := range list {
			list[i].Value = bytes.Clone(list[i].Value)
		}
		all[h] = list
	}
	return all
}

// made is an object of a drawn partition, with what is known of it.
type made struct {
	token    wire.ID
	template cryptoki.Template // of a repeatable creation, nil for a pair
	handles  []uint64
	label    string
	cipher   []byte // what an AES key makes of plain
}

var plain = []byte("what the key encrypts")

// fill draws what an owner keeps in his partition.
func fill(rt *rapid.T, s session) (list []made) {
	s.t.Helper()
	labels := rapid.SampledFrom([]string{"", "a", "both", strings.Repeat("long ", 20)})
	for i := range rapid.IntRange(0, 12).Draw(rt, "objects") {
		m := made{token: newToken(), label: fmt.Sprint(labels.Draw(rt, "label"), i)}
		if rapid.IntRange(0, 5).Draw(rt, "token") == 0 {
			m.token = wire.ID{}
		}
		private := rapid.Bool().Draw(rt, "private")
		switch rapid.SampledFrom([]string{"data", "aes", "pair", "imported"}).Draw(rt, "kind") {
		case "data":
			m.template = with(dataObject(true, private, m.label), cryptoki.CKA_VALUE, rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "value"))
		case "aes":
			m.handles = []uint64{s.aesKey(true, m.label)}
		case "pair":
			public, key := s.pair(true, m.label)
			m.handles = []uint64{public, key}
			if rapid.IntRange(0, 3).Draw(rt, "half") == 0 {
				s.must(s.destroy(public))
				m.handles = []uint64{key}
			}
		case "imported":
			m.template = attrs(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_AES, cryptoki.CKA_TOKEN, true,
				cryptoki.CKA_PRIVATE, private, cryptoki.CKA_LABEL, m.label, cryptoki.CKA_VALUE, make([]byte, 32), cryptoki.CKA_ENCRYPT, true,
				cryptoki.CKA_EXTRACTABLE, rapid.Bool().Draw(rt, "extractable"), cryptoki.CKA_ALLOWED_MECHANISMS, cryptoki.ULong(uint64(cryptoki.CKM_AES_CBC_PAD)))
		}
		if m.template != nil {
			h, rv := s.create(m.token, m.template)
			s.must(rv)
			m.handles = []uint64{h}
		}
		if rapid.IntRange(0, 5).Draw(rt, "destroyed") == 0 {
			for _, h := range m.handles {
				s.must(s.destroy(h))
			}
			continue
		}
		if p, rv := s.fused(mech.Encrypt, cbc, m.handles[0], plain, nil, anyRoom); rv == cryptoki.CKR_OK {
			m.cipher = bytes.Clone(p.Output)
		}
		list = append(list, m)
	}
	return list
}

// check looks at what fill made after an update.
func (m *made) check(s session) {
	s.t.Helper()
	if got := s.find(attrs(cryptoki.CKA_LABEL, m.label)); !slices.Equal(got, m.handles) {
		s.t.Errorf("by the label %q are found %d, want %d", m.label, got, m.handles)
	}
	for _, h := range m.handles {
		class := s.value(h, cryptoki.CKA_CLASS)
		if got := s.find(cryptoki.Template{{Type: cryptoki.CKA_CLASS, Value: class}}); !slices.Contains(got, h) {
			s.t.Errorf("by its class object %d is not found", h)
		}
		if cryptoki.ObjectClass(number(class)) == cryptoki.CKO_PRIVATE_KEY {
			_, rv := s.fused(mech.Sign, ecdsaSHA256, h, plain, nil, anyRoom)
			want(s.t, "signing", rv, cryptoki.CKR_OK)
		}
	}
	if m.cipher != nil {
		p, rv := s.fused(mech.Encrypt, cbc, m.handles[0], plain, nil, anyRoom)
		want(s.t, "encrypting", rv, cryptoki.CKR_OK)
		if !bytes.Equal(p.Output, m.cipher) {
			s.t.Errorf("%q is another key", m.label)
		}
	}
	if m.template != nil && m.token != (wire.ID{}) {
		if again, rv := s.create(m.token, m.template); rv != cryptoki.CKR_OK || again != m.handles[0] {
			s.t.Errorf("%q was made anew by the call's repeat: object %d, %v; it was %d", m.label, again, rv, m.handles[0])
		}
	}
}

func number(value []byte) uint64 {
	n, _ := cryptoki.ParseULong(value)
	return n
}

// Whatever an owner keeps, he finds and uses it after an update as before, under the same
// handles.
func TestUpdateKeepsObjects(t *testing.T) {
	from, to := []string{"7.0.1", "7.4.2"}, []string{"7.7.0", "7.8.0", "7.9.0"}
	rapid.Check(t, func(rt *rapid.T) {
		level, err := firmware.Parse(rapid.SampledFrom(from).Draw(rt, "from"))
		if err != nil {
			rt.Fatal(err)
		}
		b := newHSMLike(t, hsm.Development{Level: level})
		user := b.user()
		list := fill(rt, user)
		before, info := user.seen(), user.partitionInfo(0)
		if objects := b.mustUpdate(rapid.SampledFrom(to).Draw(rt, "to")); objects != info.Objects {
			rt.Errorf("%d objects of %d were rewritten", objects, info.Objects)
		}
		for _, when := range []string{"at once", "after a restart"} {
			user = b.user()
			if now := user.seen(); !reflect.DeepEqual(now, before) {
				rt.Errorf("%s the objects are\n%v\nand were\n%v", when, now, before)
			}
			for _, m := range list {
				m.check(user)
			}
			used := uint64(0)
			for h := range before {
				size, rv := user.size(h)
				user.must(rv)
				used += size
			}
			now := user.partitionInfo(0)
			if now.UsedBytes != used || now.Objects != info.Objects || now.UsedBytes < info.UsedBytes || now.UsedBytes > 2*info.UsedBytes {
				rt.Errorf("%s the partition is %+v, was %+v; its objects have %d bytes", when, now, info, used)
			}
			b.restart()
		}
		user = b.user()
		if last := slices.Max(append(slices.Collect(maps.Keys(before)), 0)); user.mustCreate(dataObject(true, true, "next")) <= last {
			rt.Error("a handle names an object again")
		}
		for _, h := range user.find(nil) {
			user.must(user.destroy(h))
		}
		if n := b.objectRecords(); n != 0 {
			rt.Errorf("when everything is destroyed, %d records of objects and their index are left", n)
		}
		if t.Failed() {
			rt.Fail()
		}
	})
}

// objectRecords counts objects and entries of the index.
func (b *box) objectRecords() (n int) {
	b.t.Helper()
	err := b.store.Store.View(func(r keystore.Reader) error {
		for _, table := range []keystore.Table{keystore.TableObject, keystore.TableIndex} {
			err := r.Scan(table, nil, nil, func(_, _ []byte) (bool, error) {
				n++
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

// More objects than a batch are all rewritten.
func TestUpdateInBatches(t *testing.T) {
	b := newHSMLike(t, hsm.Development{Level: before77})
	user := b.user()
	const objects = 1201
	for i := range objects {
		user.mustCreate(dataObject(true, i%2 == 0, fmt.Sprint("object ", i)))
	}
	entries := b.objectRecords()
	if got := b.mustUpdate("7.8.0"); got != objects {
		t.Errorf("%d objects of %d were rewritten", got, objects)
	}
	if got := b.objectRecords(); got != entries {
		t.Errorf("the store has %d records of objects, had %d", got, entries)
	}
	user = b.user()
	for _, i := range []int{0, 499, 500, 999, 1000, objects - 1} {
		if got := user.find(attrs(cryptoki.CKA_LABEL, fmt.Sprint("object ", i))); len(got) != 1 {
			t.Errorf("object %d is there %d times", i, len(got))
		}
	}
	if info := user.partitionInfo(0); info.Objects != objects {
		t.Errorf("the partition is %+v", info)
	}
}

// What an update changes besides the objects.
func TestUpdateChangesTheHSM(t *testing.T) {
	b := newHSMLike(t, hsm.Development{Level: before77, Memory: 16 << 20, Licences: 10})
	so := b.officer()
	small := so.createUnversioned("small")
	so.must(so.resize(small, 5000))
	plan, rv := so.plan("7.8.0")
	so.must(rv)
	if !plan.Converts || plan.MemoryBytes != 16<<20 || plan.NewMemory != 32<<20 || !slices.Equal(plan.NewSizes, []uint64{3_306_327, 2*(5000+9648) - 15560}) {
		t.Errorf("the plan is %+v", plan)
	}
	user := b.user()
	if _, rv := so.updateFirmware("7.8.0"); rv != cryptoki.CKR_OK {
		t.Fatal(rv)
	}
	want(t, "the HSM SO's session", so.logout(), cryptoki.CKR_SESSION_HANDLE_INVALID)
	want(t, "a user's session", user.logout(), cryptoki.CKR_SESSION_HANDLE_INVALID)
	for _, when := range []string{"at once", "after a restart"} {
		c := b.joinAs(administrator)
		if got := c.firmware(); got != (wire.FirmwareInfoReply{Level: "7.8.0", Previous: "7.4.2", MemoryBytes: 32 << 20}) {
			t.Errorf("%s the firmware is %+v", when, got)
		}
		info := b.info(c)
		if info.Firmware != "7.8.0" || info.TotalBytes != 33_218_870 || info.FreeBytes != info.TotalBytes-3_306_327-15560-2*(5000+9648) {
			t.Errorf("%s the HSM is %+v", when, info)
		}
		if got := c.partitionInfo(0); got.TotalBytes != 3_306_327 || got.OverheadBytes != 15560 || got.Version != 0 {
			t.Errorf("%s the partition is %+v", when, got)
		}
		var policies wire.PartitionPoliciesReply
		c.must(c.call(wire.CallPartitionPolicies, 0, &wire.PartitionPoliciesRequest{}, &policies))
		for i, slot := range plan.PolicySlots {
			if slot != 0 {
				continue
			}
			at := slices.Index(policies.Ids, plan.Policies[i])
			if at < 0 || policies.Values[at] != plan.PolicyValues[i] || policies.Names[at] != plan.PolicyNames[i] {
				t.Errorf("%s policy %d is not as the plan said", when, plan.Policies[i])
			}
		}
		for _, id := range []policy.ID{policy.PerKeyAuth, policy.Version, policy.NonFIPS} {
			if !slices.Contains(plan.Policies, uint64(id)) || !slices.Contains(policies.Ids, uint64(id)) {
				t.Errorf("%s there is no policy %d", when, id)
			}
		}
		b.officer()
		b.restart()
	}
	var log wire.AuditReadReply
	c := b.joinAs(administrator)
	c.must(c.call(wire.CallAuditRead, 0, &wire.AuditReadRequest{From: 1, Limit: 400}, &log))
	if !slices.ContainsFunc(log.Entries, func(e string) bool {
		return strings.Contains(e, `"hsm-firmware"`) && strings.Contains(e, "updated from 7.4.2 to 7.8.0")
	}) {
		t.Errorf("the audit log does not tell: %v", log.Entries)
	}
}

// An update within the levels that have versions changes no object and no size.
func TestUpdateKeepsVersions(t *testing.T) {
	b := newHSMLike(t, hsm.Development{Level: firmware.Level{Major: 7, Minor: 7}, Version: &version1})
	b.user().pair(true, "pair")
	c := b.joinAs(administrator)
	before := c.partitionInfo(0)
	plan, rv := c.plan("7.9.0")
	c.must(rv)
	if plan.Converts || plan.NewVersions[0] != 1 || plan.NewSizes[0] != before.TotalBytes {
		t.Errorf("the plan is %+v", plan)
	}
	if objects := b.mustUpdate("7.9.0"); objects != 0 {
		t.Errorf("%d objects were rewritten", objects)
	}
	b.restart()
	after := b.joinAs(administrator).partitionInfo(0)
	after.Sessions = before.Sessions
	if !reflect.DeepEqual(before, after) || after.Version != 1 {
		t.Errorf("the partition is %+v, was %+v", after, before)
	}
	b.user().pair(true, "another")
}

// A partition that is full to the last byte with the smallest keys is updated without
// loss.
func TestUpdateOfAFullPartition(t *testing.T) {
	b := newHSMLike(t, hsm.Development{Level: before77})
	so, user := b.officer(), b.user()
	// An object of 128 bytes is the smallest, and a key grows by the most.
	key := func(i int) cryptoki.Template {
		return attrs(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY, cryptoki.CKA_KEY_TYPE, cryptoki.CKK_AES, cryptoki.CKA_TOKEN, true,
			cryptoki.CKA_VALUE, make([]byte, 16), cryptoki.CKA_LABEL, fmt.Sprint(i), cryptoki.CKA_ENCRYPT, true)
	}
	const keys = 200
	so.must(so.resize(0, keys*128))
	for i := range keys {
		user.mustCreate(key(i))
	}
	if info := user.partitionInfo(0); info.FreeBytes != 0 || info.UsedBytes != keys*128 {
		t.Fatalf("the partition is %+v", info)
	}
	_, rv := user.create(newToken(), key(keys))
	want(t, "one more", rv, cryptoki.CKR_DEVICE_MEMORY)
	b.mustUpdate("7.8.0")
	user = b.user()
	if info := user.partitionInfo(0); info.Objects != keys || info.UsedBytes != keys*(128+96) || info.UsedBytes+info.FreeBytes != info.TotalBytes {
		t.Errorf("the partition is %+v", info)
	}
	for i := range keys {
		found := user.find(attrs(cryptoki.CKA_LABEL, fmt.Sprint(i)))
		if len(found) != 1 {
			t.Fatalf("key %d is there %d times", i, len(found))
		}
		_, rv := user.fused(mech.Encrypt, cbc, found[0], plain, nil, anyRoom)
		want(t, "encrypting", rv, cryptoki.CKR_OK)
	}
}

// published generates a key of a published kind, with the longest label and CKA_ID that the
// capacity counts on, and returns its objects.
func (s session) published(kind string) []uint64 {
	s.t.Helper()
	name := attrs(cryptoki.CKA_TOKEN, true, cryptoki.CKA_LABEL, strings.Repeat("l", 32), cryptoki.CKA_ID, strings.Repeat("i", 32))
	pair := func(m cryptoki.MechanismType, public ...any) []uint64 {
		pub, priv, rv := s.generatePair(newToken(), cryptoki.New(m), with(name, public...), name)
		s.must(rv)
		return []uint64{pub, priv}
	}
	switch kind {
	case "RSA-2048 key pair":
		return pair(cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN, cryptoki.CKA_MODULUS_BITS, 2048)
	case "RSA-4096 key pair":
		return pair(cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN, cryptoki.CKA_MODULUS_BITS, 4096)
	case "P-256 key pair":
		return pair(cryptoki.CKM_EC_KEY_PAIR_GEN, cryptoki.CKA_EC_PARAMS, p256)
	case "AES-256 key":
		h, rv := s.generate(newToken(), aesKeyGen, with(name, cryptoki.CKA_VALUE_LEN, 32))
		s.must(rv)
		return []uint64{h}
	}
	s.t.Fatalf("no such kind: %s", kind)
	return nil
}

// What the table says of a key's size is what keys take in the first format.
func TestPublishedKeySizes(t *testing.T) {
	user := newHSMLike(t, hsm.Development{Level: before77}).user()
	for _, k := range firmware.Keys() {
		total := uint64(0)
		for _, h := range user.published(k.Name) {
			size, rv := user.size(h)
			user.must(rv)
			total += size
		}
		if total > k.Size {
			t.Errorf("a %s takes %d bytes, the table says %d", k.Name, total, k.Size)
		}
	}
}

// A default partition takes as many keys as are published, before an update, and after it
// in an emptied one.
func TestPublishedCapacity(t *testing.T) {
	b := newHSMLike(t, hsm.Development{Level: before77, Memory: 1 << 20, Licences: 50})
	capacity := func() wire.CapacityReply {
		var p wire.CapacityReply
		c := b.app()
		c.must(c.call(wire.CallCapacity, 0, &wire.CapacityRequest{}, &p))
		return p
	}
	before := capacity()
	for _, when := range []string{"before", "after"} {
		got := capacity()
		if !slices.Equal(got.Counts, before.Counts) || !slices.Equal(got.Keys, before.Keys) || len(got.Keys) != len(firmware.Keys()) {
			t.Errorf("%s the update the capacity is %+v, it was %+v", when, got, before)
		}
		user := b.user()
		for i, kind := range got.Keys {
			if strings.HasPrefix(kind, "RSA") {
				continue // takes long, and is no other arithmetic
			}
			for range got.Counts[i] {
				user.published(kind)
			}
			if when == "before" && i == len(got.Keys)-1 {
				b.mustUpdate("7.8.0")
				user = b.user()
			}
			for _, h := range user.find(nil) {
				user.must(user.destroy(h))
			}
		}
	}
}

// testFirmware makes every call about the firmware once.
func (b *box) testFirmware(saw func(wire.Call)) {
	so := b.officer()
	so.saw = saw
	if _, rv := so.plan("7.9.0"); rv != cryptoki.CKR_OK {
		b.t.Error(rv)
	}
	var capacity wire.CapacityReply
	so.must(so.call(wire.CallCapacity, 0, &wire.CapacityRequest{}, &capacity))
	_, rv := so.updateFirmware("7.9.0")
	so.must(rv)
	again := b.officer()
	again.saw = saw
	level, rv := again.rollbackFirmware()
	again.must(rv)
	if info := again.firmware(); info.Level != level || level != "7.8.0" {
		b.t.Errorf("the firmware is %+v", info)
	}
}
