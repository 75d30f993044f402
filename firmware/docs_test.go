package firmware

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of docs/levels.md anew")

// docs/levels.md says what the tables say.
func TestDocs(t *testing.T) {
	const path = "../docs/levels.md"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if !strings.Contains(text, "A new HSM has level "+Newest.String()+",") {
		t.Errorf("%s does not say that a new HSM has level %v", path, Newest)
	}
	for name, want := range map[string]string{
		"levels": levelsTable(), "features": featuresTable("Firmware", Features()),
		"clients": featuresTable("Client", ClientFeatures()), "mechanisms": mechanismsTable(),
	} {
		before, rest, found := strings.Cut(text, "<!-- table "+name+" -->\n")
		got, after, closed := strings.Cut(rest, "<!-- end -->")
		if !found || !closed {
			t.Fatalf("%s has no table %q", path, name)
		}
		if got != want && !*update {
			t.Errorf("%s differs from the table %q; go test ./firmware -update writes it", path, name)
		}
		text = before + "<!-- table " + name + " -->\n" + want + "<!-- end -->" + after
	}
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func levelsTable() string {
	var b strings.Builder
	b.WriteString("| Level | Object format | Overhead | Memory | Sure |\n|---|---|---|---|---|\n")
	for _, d := range levelTable() {
		tiers := make([]string, len(d.Memory))
		for i, bytes := range d.Memory {
			tiers[i] = fmt.Sprint(bytes >> 20)
		}
		fmt.Fprintf(&b, "| %v | %d | %d | %s | %s |\n", d.Level, d.Format, d.Overhead, strings.Join(tiers, ", "), mark(d.Verified))
	}
	return b.String()
}

func featuresTable(title string, features []FeatureSpan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | Feature | What it is |\n|---|---|---|\n", title)
	for _, f := range features {
		fmt.Fprintf(&b, "| %v | %s | %s |\n", f.Span, f.Feature, f.About)
	}
	return b.String()
}

func mechanismsTable() string {
	var b strings.Builder
	b.WriteString("| Mechanism | Firmware | Functions | Size | FIPS | Legacy | Approved | Barred in FIPS | Sure |\n|---|---|---|---|---|---|---|---|---|\n")
	for i, m := range mechanismTable() {
		functions, barred := functionColumns(i)
		size, fips, legacy := fmt.Sprintf("%d to %d", m.Min, m.Max), fmt.Sprint(m.FIPSMin), fmt.Sprint(m.LegacyMin)
		if len(m.KeyTypes) == 0 {
			size, fips, legacy = "", "", ""
		}
		fmt.Fprintf(&b, "| %v | %v | %s | %s | %s | %s | %s | %s | %s |\n",
			m.Type, m.Span, functions, size, fips, legacy, mark(m.Approved), barred, mark(m.Verified))
	}
	return b.String()
}

// functionColumns are the functions of a mechanism as its line in the file names them.
func functionColumns(row int) (functions, barred string) {
	fields := strings.Split(strings.Split(string(mechanismText), "\n")[1+row], ",")
	return fields[3], fields[10]
}

func mark(b bool) string {
	if b {
		return "yes"
	}
	return ""
}
