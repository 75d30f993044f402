package policy

import (
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
)

var (
	old  = firmware.Level{Major: 7, Minor: 4, Patch: 2}
	v780 = firmware.Level{Major: 7, Minor: 8}
	v790 = firmware.Level{Major: 7, Minor: 9}
)

func TestDefaults(t *testing.T) {
	h := HSM(v780).Defaults(0)
	if h.On(ResetPIN) || !h.On(ForcePINChange) {
		t.Error("HSM policies 15 and 21 are not 0 and 1")
	}
	for version := range uint8(2) {
		p := Partition(v780).Defaults(version)
		if p.Value(MaxFailedLogins) != 10 || p.Value(MinPIN) != 247 || p.Value(MaxPIN) != 255 || p.Value(Version) != uint64(version) {
			t.Errorf("version %d has %v", version, p)
		}
		if err := Partition(v780).Check(p, h); err != nil {
			t.Errorf("version %d: %v", version, err)
		}
	}
}

func TestChange(t *testing.T) {
	hsm := HSM(v780).Defaults(0)
	v0, v1 := Partition(v780).Defaults(0), Partition(v780).Defaults(1)
	for _, test := range []struct {
		name        string
		level       firmware.Level
		from, above Set
		changes     []Change
		rv          cryptoki.RV
		destructive bool
		want        []Change
	}{
		{name: "a lower limit", from: v0, changes: []Change{{20, 3}}, want: []Change{{20, 3}}},
		{name: "a higher limit than the capability", from: v0, changes: []Change{{20, 11}}, rv: cryptoki.CKR_CONFIG_ILLEGAL},
		{name: "no logins at all", from: v0, changes: []Change{{20, 0}}, rv: cryptoki.CKR_CONFIG_ILLEGAL},
		{name: "an unknown policy", from: v0, changes: []Change{{20, 3}, {99, 1}}, rv: cryptoki.CKR_POLICY_ID_INVALID},
		{name: "a policy twice", from: v0, changes: []Change{{20, 3}, {20, 4}}, rv: cryptoki.CKR_ARGUMENTS_BAD},
		{name: "POL-3: version 1", from: v0, changes: []Change{{41, 1}}, want: []Change{{3, 1}, {7, 1}, {31, 1}, {32, 1}, {40, 1}}},
		{name: "POL-4: version 0", from: v1, changes: []Change{{41, 0}}, destructive: true, want: []Change{{3, 0}, {7, 0}, {31, 0}, {32, 0}, {40, 0}}},
		{name: "POL-6: masking without the version", from: v0, changes: []Change{{3, 1}}, rv: cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES},
		{name: "POL-6: the version without masking", from: v0, changes: []Change{{41, 1}, {3, 0}}, rv: cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES},
		{name: "POL-6: all named", from: v0, changes: []Change{{3, 1}, {7, 1}, {31, 1}, {32, 1}, {41, 1}}, want: []Change{{40, 1}}},
		{name: "POL-7: 40 on version 0", from: v0, changes: []Change{{40, 1}}, rv: cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES},
		{name: "POL-7: 40 off on version 1", from: v1, changes: []Change{{40, 0}}, destructive: true, want: []Change{{40, 0}, {41, 1}}},
		{name: "POL-7: version 1 without 40", from: v0, changes: []Change{{40, 0}, {41, 1}}, want: []Change{{40, 0}, {41, 1}}},
		{name: "POL-8: 41 before 7.7.0", level: old, from: Partition(old).Defaults(0), changes: []Change{{41, 1}}, rv: cryptoki.CKR_POLICY_ID_INVALID},
		{name: "POL-8: 40 before 7.7.0", level: old, from: Partition(old).Defaults(0), changes: []Change{{40, 0}}, rv: cryptoki.CKR_POLICY_ID_INVALID},
		{name: "POL-9: export beside cloning", from: v0, changes: []Change{{1, 1}}, rv: cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES},
		{name: "POL-9: export instead of cloning", from: v0, changes: []Change{{1, 1}, {0, 0}}, destructive: true, want: []Change{{0, 0}, {1, 1}}},
		{name: "POL-9: no backup", from: v0, changes: []Change{{0, 0}}, want: []Change{{0, 0}, {1, 0}}},
		{name: "POL-9: HSM policy 7 over 4", from: v0.With(0, 0).With(4, 0), above: hsm.With(7, 0), changes: []Change{{4, 1}}, rv: cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES},
		{name: "POL-9: HSM policy 6 over 41", from: v0, above: hsm.With(6, 0), changes: []Change{{41, 1}}, rv: cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES},
		{name: "POL-9: HSM policy 12 over 43", from: v0.With(43, 0), above: hsm.With(12, 0), changes: []Change{{43, 1}}, rv: cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES},
		{name: "a minimum above the maximum", from: v0, changes: []Change{{25, 235}, {26, 19}}, rv: cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES},
		{name: "auto-activation alone", from: v0, changes: []Change{{23, 1}}, rv: cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES},
		{name: "a promise that this release does not keep", from: v0, changes: []Change{{37, 1}}, rv: cryptoki.CKR_FUNCTION_NOT_SUPPORTED},
		{name: "no promise", from: v0, changes: []Change{{37, 0}, {21, 0}}, want: []Change{{21, 0}}},
		{name: "auto-activation", from: v0, changes: []Change{{23, 1}, {22, 1}}, want: []Change{{22, 1}, {23, 1}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.level == (firmware.Level{}) {
				test.level = v780
			}
			if len(test.above.IDs()) == 0 {
				test.above = hsm
			}
			next, destructive, err := Partition(test.level).Change(test.from, test.above, test.changes)
			if rv := cryptoki.Code(err); rv != test.rv || destructive != test.destructive {
				t.Fatalf("%v, destructive %v", err, destructive)
			}
			for _, want := range test.want {
				if next.Value(want.ID) != want.Value {
					t.Errorf("policy %d is %d", want.ID, next.Value(want.ID))
				}
			}
			if err != nil && string(next.Encode()) != string(test.from.Encode()) {
				t.Error("a refused change has changed something")
			}
		})
	}
}

func TestChangeHSM(t *testing.T) {
	table := HSM(v780)
	defaults := table.Defaults(0)
	for _, test := range []struct {
		change      Change
		rv          cryptoki.RV
		destructive bool
	}{
		{Change{15, 1}, cryptoki.CKR_OK, true},
		{Change{15, 0}, cryptoki.CKR_OK, false},
		{Change{21, 0}, cryptoki.CKR_OK, false},
		{Change{12, 0}, cryptoki.CKR_OK, true},
		{Change{0, 1}, cryptoki.CKR_CONFIG_CHANGE_ILLEGAL, false},
		{Change{39, 1}, cryptoki.CKR_FUNCTION_NOT_SUPPORTED, false},
		{Change{41, 1}, cryptoki.CKR_POLICY_ID_INVALID, false},
	} {
		next, destructive, err := table.Change(defaults, Set{}, []Change{test.change})
		if rv := cryptoki.Code(err); rv != test.rv || destructive != test.destructive {
			t.Errorf("%v: %v, destructive %v", test.change, err, destructive)
		}
		if err == nil && next.Value(test.change.ID) != test.change.Value {
			t.Errorf("%v did not happen", test.change)
		}
	}
	if _, destructive, _ := table.Change(defaults.With(15, 1), Set{}, []Change{{15, 0}}); destructive {
		t.Error("turning policy 15 off erases")
	}
}

func TestRules(t *testing.T) {
	table := Partition(v780)
	for id, want := range map[ID]int{0: 2, 1: 1, 3: 2, 20: 0, 22: 1, 25: 1, 41: 5, 43: 1} {
		if got := table.Rules(id); len(got) != want {
			t.Errorf("policy %d has the rules %q", id, got)
		}
	}
	hsm := HSM(v780).Defaults(0)
	for _, test := range []struct {
		id    ID
		above Set
		want  uint64
	}{{0, hsm, 1}, {0, hsm.With(HSMCloning, 0), 0}, {20, hsm, 10}, {25, hsm, 247}, {45, hsm, 0}} {
		if got := table.Capability(test.id, test.above); got != test.want {
			t.Errorf("the capability of policy %d is %d", test.id, got)
		}
	}
}
