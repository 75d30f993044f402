package firmware_test

import (
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/mech"
)

// The newest level has every mechanism of the build, for all that the build does.
func TestBuild(t *testing.T) {
	const functions = cryptoki.CKF_ENCRYPT | cryptoki.CKF_DECRYPT | cryptoki.CKF_DIGEST | cryptoki.CKF_SIGN | cryptoki.CKF_VERIFY | cryptoki.CKF_SIGN_RECOVER | cryptoki.CKF_VERIFY_RECOVER |
		cryptoki.CKF_GENERATE | cryptoki.CKF_GENERATE_KEY_PAIR | cryptoki.CKF_WRAP | cryptoki.CKF_UNWRAP | cryptoki.CKF_DERIVE
	for _, built := range mech.All() {
		m, has := firmware.Newest.Mechanism(built.Type)
		if !has {
			t.Errorf("%v is not in the table", built.Type)
			continue
		}
		if extra := built.Flags & functions &^ m.Functions; extra != 0 {
			t.Errorf("%v does more than its level: %#x", built.Type, extra)
		}
		if !slices.Equal(slices.Sorted(slices.Values(built.KeyTypes)), slices.Sorted(slices.Values(m.KeyTypes))) {
			t.Errorf("%v works on %v, in the table on %v", built.Type, built.KeyTypes, m.KeyTypes)
		}
		unit := uint64(1)
		if built.MaxKey < 256 && m.Max >= 256 || built.Flags&(cryptoki.CKF_SIGN|cryptoki.CKF_DERIVE) != 0 && built.KeyTypes[0] == cryptoki.CKK_GENERIC_SECRET {
			unit = 8 // the standard counts these keys in bytes
		}
		// The level may have narrower bounds: an HSM offers what both have.
		if least, most := max(unit*built.MinKey, m.Min), min(unit*built.MaxKey, m.Max); least > most {
			t.Errorf("%v takes keys of %d to %d bytes or bits, its level %d to %d bits", built.Type, built.MinKey, built.MaxKey, m.Min, m.Max)
		}
	}
}
