package firmware

import (
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

func level(t *testing.T, s string) Level {
	t.Helper()
	l, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLevels(t *testing.T) {
	levels := Levels()
	if !slices.IsSortedFunc(levels, Level.Compare) || len(slices.Compact(slices.Clone(levels))) != len(levels) {
		t.Errorf("the levels are not in order: %v", levels)
	}
	for _, s := range []string{"5.4.0", "6.10.9", "7.0.1", "7.0.2", "7.0.3", "7.1.0", "7.2.0", "7.3.0", "7.3.3", "7.4.0", "7.4.1", "7.4.2", "7.7.0", "7.7.1", "7.8.0"} {
		d, err := Describe(level(t, s))
		if err != nil {
			t.Error(err)
			continue
		}
		overhead, format, tiers := uint64(9648), uint8(1), []uint64{2 << 20, 16 << 20, 32 << 20}
		if d.Level.AtLeast(level(t, "7.7.0")) {
			overhead, format, tiers = 15560, 2, []uint64{4 << 20, 32 << 20, 64 << 20}
		}
		if d.Overhead != overhead || d.Format != format || !slices.Equal(d.Memory, tiers) {
			t.Errorf("%v", d)
		}
	}
	if _, err := Describe(Newest); err != nil {
		t.Error(err)
	}
	if _, err := Describe(level(t, "7.5.0")); cryptoki.Code(err) != cryptoki.CKR_ARGUMENTS_BAD {
		t.Errorf("7.5.0: %v", err)
	}
}

func TestMemoryAfter(t *testing.T) {
	for before, after := range map[uint64]uint64{2: 4, 16: 32, 32: 64} {
		if got, err := MemoryAfter(level(t, "7.4.2"), level(t, "7.7.0"), before<<20); got != after<<20 {
			t.Errorf("%d MB becomes %d, %v", before, got, err)
		}
	}
	// What is no tier doubles, and what has doubled comes back, to the largest there is.
	for _, memory := range []uint64{1 << 20, 4 << 20, 5<<20 + 1, 1 << 50} {
		got, err := MemoryAfter(level(t, "7.0.1"), level(t, "7.8.0"), memory)
		if got != 2*memory || err != nil {
			t.Errorf("%d bytes become %d, %v", memory, got, err)
		}
		if back, err := MemoryAfter(level(t, "7.8.0"), level(t, "7.0.1"), got); back != memory || err != nil {
			t.Errorf("%d bytes become %d, %v", got, back, err)
		}
	}
	if got, _ := MemoryAfter(level(t, "7.7.0"), level(t, "7.8.0"), 64<<20); got != 64<<20 {
		t.Errorf("64 MB becomes %d", got)
	}
}

func TestFeatures(t *testing.T) {
	for _, f := range Features() {
		if f.About == "" || f.Feature == "" {
			t.Errorf("%v says nothing of itself", f)
		}
		for _, end := range []Level{f.From, f.To} {
			if end == (Level{}) || end == last || end == (Level{7, 8, 2}) {
				continue // 7.8.2 ends the counter; no HSM of ours has that level
			}
			if _, err := Describe(end); err != nil {
				t.Errorf("%s: %v", f.Feature, err)
			}
		}
	}
	all := []Feature{PolicyTemplates, UtilizationMetrics, OldSecureChannel, PartitionVersions, ScalableKeyStorage,
		PerKeyAuthorization, SecureChannel, PEDCheck, TripleDESCounter, PartitionFIPS, Protocol1Only, CloningProtocol4,
		SeveralDomains, PINChangeEndsSessions, EmptyHMAC, PrehashPolicy}
	if len(all) != len(Features()) {
		t.Errorf("features.csv has %d features, the constants %d", len(Features()), len(all))
	}
	for _, f := range all {
		if !slices.ContainsFunc(Levels(), func(l Level) bool { return l.Has(f) }) {
			t.Errorf("no level has %q", f)
		}
	}
	for _, test := range []struct {
		level   string
		feature Feature
		has     bool
	}{
		{"7.0.3", PolicyTemplates, false}, {"7.1.0", PolicyTemplates, true},
		{"7.4.2", PartitionVersions, false}, {"7.7.0", PartitionVersions, true},
		{"7.4.2", OldSecureChannel, true}, {"7.7.0", OldSecureChannel, false},
		{"7.7.0", PartitionFIPS, false}, {"7.7.1", PartitionFIPS, true},
		{"7.8.0", TripleDESCounter, true}, {"7.8.4", TripleDESCounter, false},
		{"7.8.0", "no such", false},
	} {
		if level(t, test.level).Has(test.feature) != test.has {
			t.Errorf("%s has %q: %v", test.level, test.feature, !test.has)
		}
	}
}
