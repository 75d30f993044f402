package policy

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
)

// drawChanges draws some changes, mostly of policies that are there, mostly to values
// in their range.
func drawChanges(t *rapid.T, table *Table) []Change {
	ids := []ID{0, 1, 3, 7, 22, 23, 25, 26, 31, 32, 40, 41, 43, 99}
	for _, e := range table.Entries() {
		ids = append(ids, e.ID)
	}
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Change {
		id := rapid.SampledFrom(ids).Draw(t, "id")
		most := uint64(1)
		if e, has := table.Entry(id); has {
			most = e.Capability
		}
		return Change{id, rapid.Uint64Range(0, most+1).Draw(t, "value")}
	}), 0, 5).Draw(t, "changes")
}

func drawHSM(t *rapid.T, level firmware.Level) Set {
	s := HSM(level).Defaults(0)
	for _, id := range []ID{HSMMasking, HSMCloning, HSMNonFIPS, HSMUnmasking} {
		s = s.With(id, rapid.Uint64Range(0, 1).Draw(t, "hsm"))
	}
	return s
}

// sound states what no partition may be, in other words than the rules.
func sound(t *rapid.T, s, hsm Set) {
	if s.Value(0) == 1 && s.Value(1) == 1 {
		t.Error("keys may be both cloned and exported")
	}
	if s.Has(41) {
		for _, id := range []ID{3, 7, 31, 32} {
			if s.Value(id) != s.Value(41) {
				t.Errorf("policies %d and 41 differ", id)
			}
		}
	}
	if s.Value(40) == 1 && s.Value(41) == 0 {
		t.Error("per-key authorization in version 0")
	}
	if hsm.Value(7) == 0 && s.Value(0)+s.Value(4) > 0 || hsm.Value(6) == 0 && s.Value(3)+s.Value(7) > 0 ||
		hsm.Value(30) == 0 && s.Value(31)+s.Value(32) > 0 || hsm.Value(12) == 0 && s.Value(43) > 0 {
		t.Error("looser than the HSM")
	}
	if s.Value(23) == 1 && s.Value(22) == 0 {
		t.Error("auto-activation without activation")
	}
	if least := 255 - s.Value(25); least > s.Value(26) || least < 7 {
		t.Errorf("PINs of %d to %d", least, s.Value(26))
	}
	if n := s.Value(20); n < 1 || n > 10 {
		t.Errorf("%d tries", n)
	}
}

// No sequence of changes reaches an unsound set; a refused change changes nothing;
// the order of changes in a call does not matter; what turns version 1 off erases.
func TestReachable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		level := rapid.SampledFrom(firmware.Levels()).Draw(t, "level")
		table, hsm := Partition(level), drawHSM(t, level)
		s := table.Under(0, hsm)
		sound(t, s, hsm)
		for range rapid.IntRange(1, 8).Draw(t, "calls") {
			changes := drawChanges(t, table)
			before := s.Encode()
			next, destructive, err := table.Change(s, hsm, changes)
			if err != nil && (destructive || !bytes.Equal(next.Encode(), before)) {
				t.Errorf("%v has changed something", err)
			}
			if !bytes.Equal(s.Encode(), before) {
				t.Fatal("Change has changed its argument")
			}
			sound(t, next, hsm)
			if s.On(Version) && !next.On(Version) && !destructive {
				t.Error("version 1 ended without erasing")
			}
			shuffled := rapid.Permutation(changes).Draw(t, "order")
			again, erases, failure := table.Change(s, hsm, shuffled)
			if (failure == nil) != (err == nil) || erases != destructive || !bytes.Equal(again.Encode(), next.Encode()) {
				t.Errorf("%v and %v differ: %v, %v", changes, shuffled, err, failure)
			}
			s = next
		}
		for _, newer := range firmware.Levels() {
			if newer.AtLeast(level) && firmware.CanUpdate(level, newer) == nil {
				sound(t, Partition(newer).Carry(s, hsm), hsm)
			}
		}
	})
}

// What a call says erases is exactly what the table says of the policies it names.
func TestDestructive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := HSM(v780)
		s := table.Defaults(0)
		changes := drawChanges(t, table)
		next, destructive, err := table.Change(s, Set{}, changes)
		if err != nil {
			code := cryptoki.Code(err)
			if !slices.Contains([]cryptoki.RV{cryptoki.CKR_POLICY_ID_INVALID, cryptoki.CKR_CONFIG_ILLEGAL, cryptoki.CKR_CONFIG_CHANGE_ILLEGAL, cryptoki.CKR_ARGUMENTS_BAD, cryptoki.CKR_FUNCTION_NOT_SUPPORTED}, code) {
				t.Errorf("%v", err)
			}
			return
		}
		want := false
		for _, e := range table.Entries() {
			from, to := s.Value(e.ID), next.Value(e.ID)
			want = want || from < to && e.DestructiveOn || from > to && e.DestructiveOff
		}
		if destructive != want {
			t.Errorf("%v: destructive %v", changes, destructive)
		}
	})
}
