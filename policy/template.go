package policy

import (
	"fmt"
	"strconv"
	"strings"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
)

// MaxTemplate is the longest template, in bytes.
const MaxTemplate = 64 << 10

// A Template is a file of policy values, for the day a partition or an HSM is
// initialized. docs/policies.md has its form.
type Template struct {
	Kind   Kind
	Level  firmware.Level // of the HSM that wrote it
	Values []Change
}

const templateTitle = "tidelock policies 1"

// Export writes the current values as a template for a client. Policies that a client
// does not know are left out, and so are those that follow partition version: they
// come with it.
func (t *Table) Export(s Set, client firmware.Level) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nkind %s\nlevel %v\n\n# number value  # name\n", templateTitle, t.kind, t.level)
	for _, e := range t.entries {
		line := fmt.Sprintf("%d %d", e.ID, s.Value(e.ID))
		switch {
		case e.Fixed() || !s.Has(e.ID):
		case t.versions() && moved(e.ID):
			fmt.Fprintf(&b, "# %-10s # %s: follows %d\n", line, e.Name, Version)
		case t.versions() && e.ID == PerKeyAuth && !s.On(Version): // can only be 0
		case t.versions() && (e.ID == PerKeyAuth || e.ID == Version) && !firmware.KnowsVersions(client):
		default:
			fmt.Fprintf(&b, "%-12s # %s\n", line, e.Name)
		}
	}
	return []byte(b.String())
}

// ParseTemplate reads a template. An error is CKR_DATA_LEN_RANGE for one longer than
// MaxTemplate, else CKR_DATA_INVALID with the line.
func ParseTemplate(b []byte) (Template, error) {
	if len(b) > MaxTemplate {
		return Template{}, cryptoki.Errorf(cryptoki.CKR_DATA_LEN_RANGE, "a policy template has at most %d bytes, not %d", MaxTemplate, len(b))
	}
	var t Template
	seen := make(map[ID]bool)
	header := 0 // lines of it that were read
	number := 0
	for line := range strings.Lines(string(b)) {
		number++
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		var err error
		switch header {
		case 0:
			if strings.Join(fields, " ") != templateTitle {
				err = fmt.Errorf("a policy template begins with %q", templateTitle)
			}
		case 1:
			t.Kind, err = parseKind(fields)
		case 2:
			t.Level, err = parseTemplateLevel(fields)
		default:
			var c Change
			if c, err = parseChange(fields); err == nil && seen[c.ID] {
				err = fmt.Errorf("policy %d is named twice", c.ID)
			}
			seen[c.ID] = true
			t.Values = append(t.Values, c)
		}
		if err != nil {
			return Template{}, cryptoki.Errorf(cryptoki.CKR_DATA_INVALID, "line %d: %w", number, err)
		}
		header++
	}
	if header < 3 {
		return Template{}, cryptoki.Errorf(cryptoki.CKR_DATA_INVALID, "a policy template begins with the lines %q, %q and %q", templateTitle, "kind partition", "level "+firmware.Newest.String())
	}
	return t, nil
}

func parseKind(fields []string) (Kind, error) {
	if len(fields) == 2 && fields[0] == "kind" {
		if kind := Kind(fields[1]); kind == OfHSM || kind == OfPartition {
			return kind, nil
		}
	}
	return "", fmt.Errorf(`expected "kind hsm" or "kind partition"`)
}

func parseTemplateLevel(fields []string) (firmware.Level, error) {
	if len(fields) != 2 || fields[0] != "level" {
		return firmware.Level{}, fmt.Errorf("expected the line %q", "level "+firmware.Newest.String())
	}
	return firmware.Parse(fields[1])
}

func parseChange(fields []string) (Change, error) {
	if len(fields) != 2 {
		return Change{}, fmt.Errorf("expected a policy's number and its value, such as %q", "20 10")
	}
	id, err := strconv.ParseUint(fields[0], 10, 32)
	if err != nil {
		return Change{}, fmt.Errorf("%q is no number of a policy", fields[0])
	}
	value, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return Change{}, fmt.Errorf("%q is no value of a policy", fields[1])
	}
	return Change{ID(id), value}, nil
}

// A Target is what a template is applied to.
type Target struct {
	Defaults Set            // what it has without a template, in the version that it was created with
	Client   firmware.Level // that applies it
	Above    Set            // the HSM's policies; empty for an HSM
}

// Apply is the whole set of values that a template makes: what it names, and the
// defaults for the rest. A template that names policy 41
// decides the version, otherwise it stays. Errors are those of Change,
// CKR_DATA_INVALID for a template of another kind and CKR_ACCESS_ID_INVALID for a
// client that cannot use the version.
func (t *Table) Apply(template Template, to Target) (Set, error) {
	if template.Kind != t.kind {
		return Set{}, cryptoki.Errorf(cryptoki.CKR_DATA_INVALID, "the template is of kind %s, not %s", template.Kind, t.kind)
	}
	s, _, err := t.Change(to.Defaults, to.Above, template.Values)
	if err != nil {
		return Set{}, err
	}
	if t.versions() {
		if err := firmware.ClientAccess(to.Client, uint8(s.Value(Version))); err != nil {
			return Set{}, err
		}
	}
	return s, nil
}
