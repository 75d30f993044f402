package hsm_test

import (
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/wire"
)

func TestFirmwareVersion(t *testing.T) {
	b := newHSM(t)
	c := b.joinAs(local)
	var p wire.FirmwareVersionReply
	c.must(c.call(wire.CallFirmwareVersion, 0, &wire.FirmwareVersionRequest{Slot: 0}, &p))
	if got := (firmware.Level{Major: p.Major, Minor: p.Minor, Patch: p.Patch}); got != firmware.Newest {
		t.Errorf("the version is %v, a new HSM has %v", got, firmware.Newest)
	}
	for name, hidden := range map[string]uint64{"the administration's": wire.AdminSlot, "none": 77} {
		want(t, name, c.call(wire.CallFirmwareVersion, 0, &wire.FirmwareVersionRequest{Slot: hidden}, &p), cryptoki.CKR_SLOT_ID_INVALID)
	}
}
