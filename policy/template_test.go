package policy

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
)

var (
	client102 = firmware.Level{Major: 10, Minor: 2}
	client103 = firmware.Level{Major: 10, Minor: 3}
)

const header = "tidelock policies 1\nkind partition\nlevel 7.8.0\n"

func TestParseTemplate(t *testing.T) {
	template, err := ParseTemplate([]byte("# mine\r\n" + header + "\n20 3 # tries\r\n\n  25\t240"))
	if err != nil || template.Kind != OfPartition || template.Level != v780 || len(template.Values) != 2 || template.Values[1] != (Change{25, 240}) {
		t.Errorf("%v, %v", template, err)
	}
	for text, says := range map[string]string{
		"":                                     "begins with",
		"tidelock policies 1\nkind partition":  "begins with",
		"tidelock policies 2\n":                "line 1: a policy template begins with",
		"tidelock policies 1\nkind token":      "line 2: expected \"kind hsm\"",
		"tidelock policies 1\nkind hsm\n7.8.0": "line 3: expected the line",
		header + "20":                          "line 4: expected a policy's number",
		header + "20 1 2":                      "line 4: expected a policy's number",
		header + "x 1":                         "line 4: \"x\" is no number",
		header + "4294967296 1":                "is no number",
		header + "20 -1":                       "line 4: \"-1\" is no value",
		header + "20 1\n20 1":                  "line 5: policy 20 is named twice",
		strings.Repeat("#\n", MaxTemplate):     "at most 65536 bytes",
	} {
		if _, err := ParseTemplate([]byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

// PPT-1 to PPT-4.
func TestApply(t *testing.T) {
	hsm := HSM(v780).Defaults(0)
	for _, test := range []struct {
		name, text string
		client     firmware.Level
		version    uint8
		want       []Change
		rv         cryptoki.RV
	}{
		{name: "PPT-1: what is not named has its default", text: "20 3", want: []Change{{20, 3}, {25, 247}, {41, 0}}},
		{name: "PPT-1: nothing is named", text: "", version: 1, want: []Change{{20, 10}, {40, 1}, {41, 1}}},
		{name: "PPT-2: nothing conflicts", text: "2 0\n21 0", want: []Change{{2, 0}, {21, 0}}},
		{name: "PPT-2: masking without the version", text: "3 1", rv: cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES},
		{name: "PPT-2: export beside the default of cloning", text: "1 1", rv: cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES},
		{name: "PPT-2: per-key authorization in version 0", text: "40 1", rv: cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES},
		{name: "PPT-3: version 1", text: "41 1", want: []Change{{3, 1}, {7, 1}, {31, 1}, {32, 1}, {40, 1}, {41, 1}}},
		{name: "PPT-3: version 1 without 40", text: "40 0\n41 1", want: []Change{{40, 0}, {41, 1}}},
		{name: "PPT-3: version 0 of a version 1 partition", text: "41 0", version: 1, want: []Change{{3, 0}, {40, 0}, {41, 0}}},
		{name: "PPT-4: an old client, version 0 named", text: "40 0\n41 0", client: client102, want: []Change{{41, 0}}},
		{name: "PPT-4: an old client, no version", text: "20 3", client: client102, want: []Change{{20, 3}, {41, 0}}},
		{name: "PPT-4: an old client, version 1", text: "41 1", client: client102, rv: cryptoki.CKR_ACCESS_ID_INVALID},
		{name: "PPT-4: an old client, a version 1 partition", text: "20 3", client: client102, version: 1, rv: cryptoki.CKR_ACCESS_ID_INVALID},
		{name: "PPT-4: silent on 41", text: "20 3", version: 1, want: []Change{{20, 3}, {41, 1}}},
		{name: "no such version", text: "41 2", rv: cryptoki.CKR_CONFIG_ILLEGAL},
		{name: "no such policy", text: "99 0", rv: cryptoki.CKR_POLICY_ID_INVALID},
		{name: "beyond the capability", text: "20 11", rv: cryptoki.CKR_CONFIG_ILLEGAL},
		{name: "a promise that this release does not keep", text: "37 1", rv: cryptoki.CKR_FUNCTION_NOT_SUPPORTED},
		{name: "the default of what it does not keep", text: "37 0", want: []Change{{37, 0}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			template, err := ParseTemplate([]byte(header + test.text))
			if err != nil {
				t.Fatal(err)
			}
			if test.client == (firmware.Level{}) {
				test.client = client103
			}
			s, err := Partition(v780).Apply(template, Target{Partition(v780).Defaults(test.version), test.client, hsm})
			if cryptoki.Code(err) != test.rv {
				t.Fatal(err)
			}
			for _, want := range test.want {
				if s.Value(want.ID) != want.Value {
					t.Errorf("policy %d is %d", want.ID, s.Value(want.ID))
				}
			}
			if err != nil && len(s.IDs()) != 0 {
				t.Error("a refused template made a set")
			}
		})
	}
	if _, err := HSM(v780).Apply(Template{Kind: OfPartition}, Target{}); cryptoki.Code(err) != cryptoki.CKR_DATA_INVALID {
		t.Errorf("a partition's template for an HSM: %v", err)
	}
	versioned := Template{Kind: OfPartition, Values: []Change{{41, 1}}}
	if _, err := Partition(old).Apply(versioned, Target{Defaults: Partition(old).Defaults(0), Client: client103}); cryptoki.Code(err) != cryptoki.CKR_POLICY_ID_INVALID {
		t.Errorf("version 1 at 7.4.2: %v", err)
	}
}

// A template that was exported makes the same values again, at its own level; and
// PPT-3, edited to name version 1, makes version 1.
func TestExport(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		level := rapid.SampledFrom(firmware.Levels()).Draw(t, "level")
		table, hsm := Partition(level), HSM(level).Defaults(0)
		s := table.Under(0, hsm)
		for range 4 {
			s, _, _ = table.Change(s, hsm, drawChanges(t, table))
		}
		text := table.Export(s, client103)
		template, err := ParseTemplate(text)
		if err != nil {
			t.Fatal(err)
		}
		again, err := table.Apply(template, Target{table.Under(uint8(rapid.IntRange(0, 1).Draw(t, "version")), hsm), client103, hsm})
		if err != nil || !bytes.Equal(again.Encode(), s.Encode()) {
			t.Errorf("%v\n%s", err, text)
		}
	})
	table, hsm := Partition(v780), HSM(v780).Defaults(0)
	text := string(table.Export(table.Defaults(0), client103))
	template, err := ParseTemplate([]byte(strings.Replace(text, "\n41 0 ", "\n41 1 ", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := table.Apply(template, Target{table.Defaults(0), client103, hsm}); err != nil || !s.On(Version) || !s.On(PerKeyAuth) {
		t.Errorf("%v: 41 is %d, 40 is %d", err, s.Value(Version), s.Value(PerKeyAuth))
	}
	for _, line := range strings.Split(string(table.Export(table.Defaults(1), client102)), "\n") {
		if strings.HasPrefix(line, "40 ") || strings.HasPrefix(line, "41 ") {
			t.Errorf("an old client exports %q", line)
		}
	}
}

func TestExportHSM(t *testing.T) {
	table := HSM(v780)
	s := table.Defaults(0).With(ResetPIN, 1)
	template, err := ParseTemplate(table.Export(s, client103))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := table.Apply(template, Target{Defaults: table.Defaults(0)}); err != nil || !bytes.Equal(again.Encode(), s.Encode()) {
		t.Error(err)
	}
}

func FuzzParseTemplate(f *testing.F) {
	f.Add([]byte(header + "20 3\n41 1"))
	f.Add(HSM(v780).Export(HSM(v780).Defaults(0), client103))
	f.Add(Partition(v780).Export(Partition(v780).Defaults(1), client103))
	f.Fuzz(func(t *testing.T, b []byte) {
		template, err := ParseTemplate(b)
		if err != nil {
			return
		}
		table, hsm := Partition(v780), HSM(v780).Defaults(0)
		s, err := table.Apply(template, Target{table.Defaults(0), client103, hsm})
		if err == nil {
			if err := table.Check(s, hsm); err != nil {
				t.Error(err)
			}
		}
	})
}
