package firmware

import (
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

func TestRestrictions(t *testing.T) {
	for _, test := range []struct {
		from, to  string
		mechanism cryptoki.MechanismType
		losses    []string
	}{
		{"7.4.2", "7.8.4", cryptoki.CKM_RSA_PKCS, []string{"no encrypt, decrypt, wrap, unwrap in FIPS configuration"}},
		{"7.4.2", "7.8.0", cryptoki.CKM_RSA_PKCS, nil},
		{"7.4.2", "7.7.0", cryptoki.CKM_DES3_CBC, []string{"no wrap in FIPS configuration"}},
		{"7.7.0", "7.8.4", cryptoki.CKM_DES3_CBC, []string{"no encrypt in FIPS configuration"}},
		{"7.7.0", "7.7.0", cryptoki.CKM_DES3_CBC, nil},
	} {
		var losses []string
		for _, r := range Restrictions(level(t, test.from), level(t, test.to)) {
			if r.Before.Type == test.mechanism {
				losses = r.Losses()
			}
		}
		if !slices.Equal(losses, test.losses) {
			t.Errorf("%v from %s to %s: %q", test.mechanism, test.from, test.to, losses)
		}
	}
}

func TestLosses(t *testing.T) {
	m := Mechanism{Functions: cryptoki.CKF_SIGN | cryptoki.CKF_VERIFY, Min: 8, FIPSMin: 16, LegacyMin: 12, Max: 64, Approved: true}
	for name, change := range map[string]func(m *Mechanism){
		"is gone":               func(m *Mechanism) { *m = Mechanism{} },
		"keys from 9 bits on":   func(m *Mechanism) { m.Min = 9 },
		"keys of up to 63 bits": func(m *Mechanism) { m.Max = 63 },
		"keys from 17 bits on in FIPS configuration":                               func(m *Mechanism) { m.FIPSMin = 17 },
		"keys from 13 bits on to verify, decrypt and unwrap in FIPS configuration": func(m *Mechanism) { m.LegacyMin = 13 },
		"no sign, verify in FIPS configuration":                                    func(m *Mechanism) { m.Approved = false },
	} {
		after := m
		change(&after)
		if got := (Restriction{m, after}).Losses(); !slices.Equal(got, []string{name}) {
			t.Errorf("%q instead of %q", got, name)
		}
	}
	if got := (Restriction{m, m}).Losses(); got != nil {
		t.Errorf("nothing changed, and lost is %q", got)
	}
}
