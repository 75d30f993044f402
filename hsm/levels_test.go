package hsm_test

import (
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/wire"
)

// Two levels and a version, for tests.
var (
	before77   = firmware.Level{Major: 7, Minor: 4, Patch: 2}
	oldest     = firmware.Level{Major: 5, Minor: 4}
	version1   = uint8(1)
	oldClient  = uint32(100200)
	newClient  = uint32(100300)
	sixteenMiB = uint64(16 << 20)
)

// TestClientLevels is who may do what with a slot, by the level of his client.
func TestClientLevels(t *testing.T) {
	for _, c := range []struct {
		name   string
		make   hsm.Development
		client uint32
		want   cryptoki.RV
	}{
		{"old client, before 7.7", hsm.Development{Level: before77}, oldClient, cryptoki.CKR_OK},
		{"old client, version 0", hsm.Development{}, oldClient, cryptoki.CKR_OK},
		{"old client, version 1", hsm.Development{Version: &version1}, oldClient, cryptoki.CKR_ACCESS_ID_INVALID},
		{"new client, before 7.7", hsm.Development{Level: before77}, newClient, cryptoki.CKR_OK},
		{"new client, version 1", hsm.Development{Version: &version1}, newClient, cryptoki.CKR_OK},
		{"newest client, version 1", hsm.Development{Version: &version1}, 0, cryptoki.CKR_OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newHSMLike(t, c.make)
			client := b.dial(local)
			client.must(client.helloAt(newIdentity(), c.client))
			var slots wire.SlotListReply
			client.must(client.call(wire.CallSlotList, 0, &wire.SlotListRequest{}, &slots))
			if !slices.Equal(slots.Slots, []uint64{0}) {
				t.Errorf("slots %v", slots.Slots)
			}
			client.must(client.call(wire.CallSlotInfo, 0, &wire.SlotInfoRequest{}, &wire.SlotInfoReply{}))
			client.must(client.call(wire.CallTokenInfo, 0, &wire.TokenInfoRequest{}, &wire.TokenInfoReply{}))
			open := wire.OpenSessionRequest{Flags: uint64(cryptoki.CKF_SERIAL_SESSION)}
			want(t, "open", client.call(wire.CallOpenSession, 0, &open, &wire.OpenSessionReply{}), c.want)
			want(t, "role", client.call(wire.CallRoleState, 0, &wire.RoleStateRequest{User: uint64(cryptoki.CKU_USER)}, &wire.RoleStateReply{}), c.want)
			want(t, "firmware", client.call(wire.CallFirmwareVersion, 0, &wire.FirmwareVersionRequest{}, &wire.FirmwareVersionReply{}), c.want)
			want(t, "info", client.call(wire.CallPartitionInfo, 0, &wire.PartitionInfoRequest{}, &wire.PartitionInfoReply{}), c.want)
			init := cryptoki.CKR_SESSION_EXISTS
			if c.want != cryptoki.CKR_OK {
				init = c.want
			}
			want(t, "initialize", client.call(wire.CallPartitionInit, 0, &wire.PartitionInitRequest{Label: "x", PIN: wire.Secret("12345678")}, &wire.PartitionInitReply{}), init)
		})
	}
}

// A client that cannot use the version that its partition has become may still leave it.
func TestOldClientLeavesVersion1(t *testing.T) {
	b := newHSM(t)
	client := b.dial(local)
	client.must(client.helloAt(newIdentity(), oldClient))
	first, s := client.open(readWrite), client.open(readWrite)
	s.must(s.login(cryptoki.CKU_USER, coPIN))
	so := b.app().open(readWrite)
	so.must(so.login(cryptoki.CKU_SO, soPIN))
	_, rv := so.setPolicies(false, to(policy.Version, 1))
	so.must(rv)
	so.must(so.close())
	_, rv = s.create(newToken(), dataObject(false, false, "x"))
	want(t, "use", rv, cryptoki.CKR_ACCESS_ID_INVALID)
	want(t, "info", s.do(wire.CallSessionInfo, &wire.SessionInfoRequest{}, &wire.SessionInfoReply{}), cryptoki.CKR_ACCESS_ID_INVALID)
	want(t, "login", s.login(cryptoki.CKU_USER, coPIN), cryptoki.CKR_ACCESS_ID_INVALID)
	want(t, "logout", s.logout(), cryptoki.CKR_OK)
	want(t, "close", first.close(), cryptoki.CKR_OK)
	want(t, "close all", client.call(wire.CallCloseAllSessions, 0, &wire.CloseAllSessionsRequest{}, &wire.CloseAllSessionsReply{}), cryptoki.CKR_OK)
	c := b.app()
	want(t, "initialize", c.initPartition(0, "again", soPIN), cryptoki.CKR_OK)
}

func TestClientLevelThatIsNone(t *testing.T) {
	c := newHSM(t).dial(local)
	want(t, "hello", c.helloAt(newIdentity(), ^uint32(0)), cryptoki.CKR_ARGUMENTS_BAD)
}

// TestShapes makes HSMs of several levels and looks at what follows from them.
func TestShapes(t *testing.T) {
	for _, c := range []struct {
		name     string
		make     hsm.Development
		total    uint64
		overhead uint64
	}{
		{"16 MiB before 7.7", hsm.Development{Level: before77, Memory: sixteenMiB, Licences: 10}, 16609435/10 - 9648, 9648},
		{"32 MiB from 7.7 on", hsm.Development{Memory: 32 << 20, Licences: 10}, 3306327, 15560},
		{"the oldest", hsm.Development{Level: oldest, Memory: sixteenMiB, Licences: 20}, 16609435/20 - 9648, 9648},
	} {
		t.Run(c.name, func(t *testing.T) {
			app := newHSMLike(t, c.make).app()
			var p wire.PartitionInfoReply
			app.must(app.call(wire.CallPartitionInfo, 0, &wire.PartitionInfoRequest{}, &p))
			if p.TotalBytes != c.total || p.OverheadBytes != c.overhead {
				t.Errorf("total %d, overhead %d; want %d and %d", p.TotalBytes, p.OverheadBytes, c.total, c.overhead)
			}
		})
	}
}

func TestVersionsOfNewPartitions(t *testing.T) {
	for _, c := range []struct {
		name    string
		level   firmware.Level
		version uint8
		want    cryptoki.RV
	}{
		{"none named before 7.7", before77, 255, cryptoki.CKR_OK},
		{"0 before 7.7", before77, 0, cryptoki.CKR_ARGUMENTS_BAD},
		{"1 before 7.7", before77, 1, cryptoki.CKR_ARGUMENTS_BAD},
		{"none named", firmware.Newest, 255, cryptoki.CKR_OK},
		{"0", firmware.Newest, 0, cryptoki.CKR_OK},
		{"1", firmware.Newest, 1, cryptoki.CKR_OK},
		{"2", firmware.Newest, 2, cryptoki.CKR_ARGUMENTS_BAD},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newHSMLike(t, hsm.Development{Level: c.level})
			so := b.officer()
			var p wire.PartitionCreateReply
			rv := so.do(wire.CallPartitionCreate, &wire.PartitionCreateRequest{Label: "new", Version: c.version}, &p)
			want(t, "create", rv, c.want)
			if rv != cryptoki.CKR_OK {
				return
			}
			var info wire.PartitionInfoReply
			so.must(so.call(wire.CallPartitionInfo, 0, &wire.PartitionInfoRequest{Slot: p.Slot}, &info))
			if wanted := c.version % 255; info.Version != wanted {
				t.Errorf("version %d, want %d", info.Version, wanted)
			}
		})
	}
}
