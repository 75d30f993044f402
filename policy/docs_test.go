package policy

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"tidelock.dev/tidelock/firmware"
)

var update = flag.Bool("update", false, "write the tables of docs/policies.md anew")

// docs/policies.md says what the tables say.
func TestDocs(t *testing.T) {
	const path = "../docs/policies.md"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	table := Partition(firmware.Newest)
	template := "```\n" + string(table.Export(table.Defaults(0), firmware.NewestClient)) + "```\n"
	text := string(b)
	for name, want := range map[string]string{"hsm": hsmTable(), "partition": partitionTable(), "template": template} {
		before, rest, found := strings.Cut(text, "<!-- table "+name+" -->\n")
		got, after, closed := strings.Cut(rest, "<!-- end -->")
		if !found || !closed {
			t.Fatalf("%s has no table %q", path, name)
		}
		if got != want && !*update {
			t.Errorf("%s differs from the table %q; go test ./policy -update writes it", path, name)
		}
		text = before + "<!-- table " + name + " -->\n" + want + "<!-- end -->" + after
	}
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func hsmTable() string {
	var b strings.Builder
	b.WriteString("| # | Name | Firmware | Default | Range | Erases when turned | Effect | Sure | What it is |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range hsmRows() {
		fmt.Fprintf(&b, "| %d | %s | %v | %d | %s\n", r.ID, r.Name, r.levels, r.Default[0], r.tail())
	}
	return b.String()
}

func partitionTable() string {
	var b strings.Builder
	b.WriteString("| # | Name | Firmware | Version 0 | Version 1 | Range | Erases when turned | Effect | Sure | What it is |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range partitionRows() {
		fmt.Fprintf(&b, "| %d | %s | %v | %d | %d | %s\n", r.ID, r.Name, r.levels, r.Default[0], r.Default[1], r.tail())
	}
	return b.String()
}

// tail are the columns that both tables share.
func (r row) tail() string {
	between, erases := fmt.Sprintf("%d to %d", r.Min, r.Capability), ""
	if r.Fixed() {
		between = "capability"
	}
	switch {
	case r.DestructiveOn && r.DestructiveOff:
		erases = "on, off"
	case r.DestructiveOn:
		erases = "on"
	case r.DestructiveOff:
		erases = "off"
	}
	return fmt.Sprintf("%s | %s | %s | %s | %s |", between, erases, effect(r), mark(r.Verified), r.About)
}

func effect(r row) string {
	switch {
	case r.Fixed():
		return ""
	case r.Effect == InEffect:
		return "yes"
	case r.Effect == Refused:
		return "refused"
	}
	return "none"
}

func mark(b bool) string {
	if b {
		return "yes"
	}
	return ""
}
