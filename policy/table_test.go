package policy

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
)

func TestTables(t *testing.T) {
	for name, rows := range map[string][]row{"hsm.csv": hsmRows(), "partition.csv": partitionRows()} {
		if !slices.IsSortedFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(a.ID, b.ID), a.levels.From.Compare(b.levels.From)) }) {
			t.Errorf("%s is not in order", name)
		}
		for _, r := range rows {
			if r.Name == "" || r.About == "" || strings.HasSuffix(r.About, ".") {
				t.Errorf("%s: policy %d says nothing of itself, or in a sentence", name, r.ID)
			}
			for _, v := range r.Default {
				if v < r.Min || v > r.Capability {
					t.Errorf("%s: policy %d has the default %d", name, r.ID, v)
				}
			}
			if r.Fixed() && (r.DestructiveOn || r.DestructiveOff) {
				t.Errorf("%s: capability %d cannot change, but erases", name, r.ID)
			}
		}
	}
	for _, level := range firmware.Levels() {
		for name, table := range map[string]*Table{"HSM": HSM(level), "partition": Partition(level)} {
			for i, e := range table.Entries() {
				if i > 0 && table.Entries()[i-1].ID == e.ID {
					t.Errorf("%v: %s policy %d is there twice", level, name, e.ID)
				}
				if got, has := table.Entry(e.ID); !has || got != e {
					t.Errorf("%v: %s policy %d is not found", level, name, e.ID)
				}
			}
			for id, v1 := range table.Defaults(1).values {
				if follows := moved(id) || id == PerKeyAuth || id == Version; v1 != table.Defaults(0).Value(id) != (table.versions() && follows) {
					t.Errorf("%v: %s policy %d has the default %d in version 1", level, name, id, v1)
				}
			}
			for version := range uint8(2) {
				if err := table.Check(table.Defaults(version), HSM(level).Defaults(0)); err != nil {
					t.Errorf("%v: %s defaults of version %d: %v", level, name, version, err)
				}
			}
		}
	}
}

// What comes with a level, and what is enforced.
func TestEntries(t *testing.T) {
	for _, test := range []struct {
		level string
		id    ID
		has   bool
	}{
		{"7.4.2", 40, false}, {"7.4.2", 41, false}, {"7.7.0", 40, true}, {"7.7.0", 41, true},
		{"7.7.0", 42, false}, {"7.7.1", 42, true}, {"7.7.0", 43, false}, {"7.7.1", 43, true},
		{"7.7.1", 44, false}, {"7.8.0", 44, true}, {"7.8.0", 45, false}, {"7.9.0", 45, true},
	} {
		level, err := firmware.Parse(test.level)
		if err != nil {
			t.Fatal(err)
		}
		if _, has := Partition(level).Entry(test.id); has != test.has {
			t.Errorf("%s has policy %d: %v", test.level, test.id, has)
		}
	}
	for name, test := range map[string]struct {
		table *Table
		want  []ID
	}{
		"HSM": {HSM(v790), []ID{HSMMasking, HSMCloning, HSMNonFIPS, ResetPIN, ForcePINChange, HSMUnmasking, MaxPartitions}},
		"partition": {Partition(v790), []ID{
			PrivateWrapping, PrivateUnwrapping, SecretWrapping, SecretUnwrapping, DigestKey, Multipurpose, ChangingAttributes,
			NonLocalSigning, RawRSA, MaxFailedLogins, MinPIN, MaxPIN, KeyManagement, RSAPKCS, CBCPad, KeyDates, PerKeyAuth, Version, NonFIPS, Prehash,
		}},
	} {
		var enforced []ID
		for _, e := range test.table.Entries() {
			if e.Effect == InEffect {
				enforced = append(enforced, e.ID)
			}
		}
		if !slices.Equal(enforced, test.want) {
			t.Errorf("%s: policies %v have an effect", name, enforced)
		}
	}
}

func TestUnder(t *testing.T) {
	table, hsm := Partition(v780), HSM(v780).Defaults(0)
	s := table.Under(0, hsm.With(HSMCloning, 0).With(HSMNonFIPS, 0))
	if s.On(PrivateCloning) || s.On(SecretCloning) || s.On(NonFIPS) {
		t.Error("a new partition is looser than the HSM")
	}
	if err := table.Check(s, hsm.With(HSMCloning, 0).With(HSMNonFIPS, 0)); err != nil {
		t.Error(err)
	}
	for _, cap := range []ID{HSMMasking, HSMUnmasking} {
		above := hsm.With(cap, 0)
		if err := table.Check(table.Under(1, above), above); cryptoki.Code(err) != cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES ||
			!strings.Contains(err.Error(), "needs HSM policy") {
			t.Errorf("version 1 without HSM policy %d: %v", cap, err)
		}
		if err := table.Check(table.Under(0, above), above); err != nil {
			t.Error(err)
		}
	}
}

func TestCarry(t *testing.T) {
	hsm := HSM(v780).Defaults(0)
	before := Partition(old).Defaults(0).With(MaxFailedLogins, 4).With(PrivateMasking, 1).With(MinPIN, 240)
	s := Partition(v780).Carry(before, hsm)
	if s.Value(MaxFailedLogins) != 4 || s.Value(MinPIN) != 240 {
		t.Errorf("the values of policies 20 and 25 are %d and %d", s.Value(MaxFailedLogins), s.Value(MinPIN))
	}
	if !s.Has(Version) || s.On(Version) || s.On(PerKeyAuth) || s.On(PrivateMasking) {
		t.Error("an update does not make version 0")
	}
	v1 := Partition(v780).Defaults(1)
	if got := Partition(v790).Carry(v1, hsm); !got.On(Version) || !got.On(PerKeyAuth) || !got.On(PrivateMasking) {
		t.Error("POL-5: an update has ended version 1")
	}
	for _, test := range []struct {
		name       string
		old, above Set
		want       bool
	}{
		{"outside FIPS configuration", v1, hsm, true},
		{"the partition is in it", v1.With(NonFIPS, 0), hsm, false},
		{"a later update", Partition(v790).Defaults(1), hsm, false},
		{"before 7.7.1, outside", before, hsm, true},
		{"before 7.7.1, the HSM is in it", before, hsm.With(HSMNonFIPS, 0), false},
	} {
		if got := Partition(v790).Carry(test.old, test.above).On(Prehash); got != test.want {
			t.Errorf("%s: policy 45 is on: %v", test.name, got)
		}
	}
}
