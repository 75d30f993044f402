package partition_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
)

var update = flag.Bool("update", false, "write the table of docs/mechanisms.md anew")

// docs/mechanisms.md says what a partition of the newest level offers.
func TestMechanismDocs(t *testing.T) {
	const path, begin, end = "../docs/mechanisms.md", "<!-- table -->\n", "<!-- end -->"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(b), begin)
	got, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no table", path)
	}
	free := newWorld(t, 1<<20, nil).p
	strict := newWorld(t, 1<<20, map[policy.ID]uint64{policy.HSMNonFIPS: 0}).p
	want := mechanismTable(free, strict)
	if got != want && !*update {
		t.Errorf("%s differs from what is offered; go test ./partition -update writes it", path)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func mechanismTable(free, strict *partition.Partition) string {
	var b strings.Builder
	b.WriteString("| Mechanism | Keys | Size | Functions | In FIPS configuration | In parts | Firmware |\n|---|---|---|---|---|---|---|\n")
	for _, t := range free.Mechanisms() {
		m, _ := mech.Lookup(t)
		info, _ := free.Mechanism(t)
		row, _ := firmware.Newest.Mechanism(t)
		fips := "not offered"
		if f, err := strict.Mechanism(t); err == nil {
			fips = functions(f.Flags)
			if len(m.KeyTypes) > 0 {
				fips = fmt.Sprintf("%s; %d to %d", fips, f.Min, f.Max)
			}
		}
		size := ""
		if len(m.KeyTypes) > 0 {
			size = fmt.Sprintf("%d to %d", info.Min, info.Max)
		}
		fmt.Fprintf(&b, "| %v | %s | %s | %s | %s | %s | %v |\n", t, keyTypes(m.KeyTypes), size, functions(info.Flags), fips,
			map[bool]string{true: "yes"}[m.MultiPart], row.Span)
	}
	return b.String()
}

func keyTypes(list []cryptoki.KeyType) string {
	names := make([]string, len(list))
	for i, t := range list {
		names[i] = strings.TrimPrefix(t.String(), "CKK_")
	}
	return strings.Join(names, ", ")
}

var functionNames = []struct {
	flag cryptoki.Flags
	name string
}{
	{cryptoki.CKF_ENCRYPT, "encrypt"}, {cryptoki.CKF_DECRYPT, "decrypt"}, {cryptoki.CKF_DIGEST, "digest"}, {cryptoki.CKF_SIGN, "sign"},
	{cryptoki.CKF_VERIFY, "verify"}, {cryptoki.CKF_SIGN_RECOVER, "sign-recover"}, {cryptoki.CKF_VERIFY_RECOVER, "verify-recover"},
	{cryptoki.CKF_GENERATE, "generate"}, {cryptoki.CKF_GENERATE_KEY_PAIR, "generate pair"},
	{cryptoki.CKF_WRAP, "wrap"}, {cryptoki.CKF_UNWRAP, "unwrap"}, {cryptoki.CKF_DERIVE, "derive"},
}

func functions(flags cryptoki.Flags) string {
	var names []string
	for _, f := range functionNames {
		if flags&f.flag != 0 {
			names = append(names, f.name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
