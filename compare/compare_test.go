package compare

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const header = "id,group,title\n"

// catalogue makes one of rows.csv and the scenarios of files.
func catalogue(rows string, scenarios map[string]string) fstest.MapFS {
	c := fstest.MapFS{rowFile: {Data: []byte(rows)}}
	for name, text := range scenarios {
		c[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return c
}

func TestLoad(t *testing.T) {
	rows, err := Load(catalogue(header+"A-1,First,one\nA-2,First,\"two, with a comma\"\nB-1,Second,three\n", map[string]string{
		"A-2.txtar": "# Shows\n# this.\n\ncolumns V1 pre-7.7\nobserve it\n-- file --\nx\n",
		"B-1.txtar": "# That.\nobserve it\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 3 || rows[0].Scenario != nil || rows[1].Title != "two, with a comma" || rows[2].Group != "Second" {
		t.Errorf("the rows are %+v", rows)
	}
	if s := rows[1].Scenario; s.About != "Shows this." || Names(s.Columns) != "V1, pre-7.7" || strings.Contains(string(s.script), "columns") {
		t.Errorf("the scenario is %+v", s)
	}
	if s := rows[2].Scenario; Names(s.Columns) != Once.Name {
		t.Errorf("a scenario without columns is for %s", Names(s.Columns))
	}
}

func TestLoadRefuses(t *testing.T) {
	const row = header + "A-1,First,one\n"
	for _, c := range []struct{ name, rows, scenario, want string }{
		{"no header", "A-1,First,one\n", "", "first line"},
		{"empty file", "", "", "first line"},
		{"fields", header + "A-1,one\n", "", "wrong number of fields"},
		{"empty field", header + "A-1,,one\n", "", "empty field"},
		{"twice", row + "A-1,First,again\n", "", "twice"},
		{"no such row", header, "# Shows.\nobserve it\n", "no row A-1"},
		{"no comment", row, "observe it\n", "begins with a comment"},
		{"empty comment", row, "#\nobserve it\n", "begins with a comment"},
		{"no commands", row, "# Shows.\n\n-- file --\n", "no commands"},
		{"unknown column", row, "# Shows.\ncolumns V2\n", "line 2: column V2 is not known: there are pre-7.7, V0, V1"},
		{"no column", row, "# Shows.\ncolumns\n", "name some of"},
		{"column twice", row, "# Shows.\ncolumns V0 V0\n", "twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{}
			if c.scenario != "" {
				files["A-1.txtar"] = c.scenario
			}
			if _, err := Load(catalogue(c.rows, files)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, without %q", err, c.want)
			}
		})
	}
}

func TestSelect(t *testing.T) {
	rows := []Row{{ID: "A"}, {ID: "B"}, {ID: "C"}}
	if got, err := Select(rows, nil); err != nil || len(got) != 3 {
		t.Errorf("without ids: %v, %v", got, err)
	}
	if got, err := Select(rows, []string{"C", "A", "C"}); err != nil || len(got) != 2 || got[0].ID != "A" || got[1].ID != "C" {
		t.Errorf("of two ids: %v, %v", got, err)
	}
	if _, err := Select(rows, []string{"A", "D"}); err == nil || !strings.Contains(err.Error(), "D") {
		t.Errorf("of an unknown id: %v", err)
	}
}

// fakes are programs that say how they were called. The command makes a store, and
// notes beside itself what it was to stop.
func fakes(t *testing.T) (p Programs, stopped string) {
	t.Helper()
	dir := t.TempDir()
	p = Programs{filepath.Join(dir, "tidelock"), filepath.Join(dir, "tidelock-p11"), filepath.Join(dir, "libtidelock.so")}
	for path, text := range map[string]string{
		p.Tidelock: `#!/bin/sh
echo "$@"
case $1 in
quickstart) mkdir "$3" && touch "$3/store.db" ;;
stop) basename "$3" >>"$(dirname "$0")/stopped" ;;
esac
`,
		p.P11:    "#!/bin/sh\necho \"p11 $* $P11_MODULE\"\n",
		p.Module: "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return p, filepath.Join(dir, "stopped")
}

// runOne runs a scenario for a row R-1 and gives its cells.
func runOne(t *testing.T, ctx context.Context, p Programs, scenario string) []Cell {
	t.Helper()
	rows, err := Load(catalogue(header+"R-1,Group,title\n", map[string]string{"R-1.txtar": scenario}))
	if err != nil {
		t.Fatal(err)
	}
	lab, err := NewLab(p)
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	report := Run(ctx, lab, rows, 2, func(done, total int, row, column string) {
		if steps++; done != steps || total != len(rows[0].Scenario.Columns) || row != "R-1" {
			t.Errorf("progress tells %d of %d, %s", done, total, row)
		}
	})
	if left, err := os.ReadDir(lab.dir); err != nil || len(left) != 1 {
		t.Errorf("the lab holds %v, %v", left, err)
	}
	if err := lab.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(lab.dir); !os.IsNotExist(err) {
		t.Errorf("the lab is still there: %v", err)
	}
	return report.Rows[0].Cells
}

func TestRunForEachColumn(t *testing.T) {
	p, stopped := fakes(t)
	cells := runOne(t, t.Context(), p, `# Shows.
columns pre-7.7 V0 V1
quickstart --memory 2MB
[pre-7.7] ! stdout partition-version
[pre-7.7] stdout '--firmware 7\.4\.2 --memory 2MB$'
[V0] stdout '--kdf test --partition-version 0 --memory 2MB$'
[V1] stdout '--kdf test --partition-version 1 --memory 2MB$'
quickstart other --firmware 7.4.2
stdout $WORK/other
stdout -count=1 firmware
! stdout partition-version
exec p11 file
stdout $P11_MODULE
exec cat file
capture SEEN 'it says (\w+)'
observe at $FIRMWARE 'version' $VERSION
[V1] observe $COLUMN $SEEN $WORK
[V1] open the $SEEN
-- file --
it says hello
`)
	v := newest(t)
	for i, want := range [][]string{{"at 7.4.2 version "}, {"at " + v + " version 0"}, {"at " + v + " version 1", "V1 hello $WORK"}} {
		c := cells[i]
		result := Pass
		if c.Column == "V1" {
			result = Partly
		}
		if c.Result != result || slices.Equal(c.Open, []string{"the hello"}) != (result == Partly) || !slices.Equal(c.Observed, want) || c.Column != Kinds[i].Name {
			t.Errorf("column %s: %s %q %s\n%s", c.Column, c.Result, c.Observed, c.Reason, c.Transcript)
		}
		if strings.Contains(c.Transcript, "tidelock-compare-") || strings.Contains(c.Transcript, "s)\n") || !strings.Contains(c.Transcript, "> exec p11 file\n[stdout]\np11 file") {
			t.Errorf("the transcript of %s is\n%s", c.Column, c.Transcript)
		}
	}
	log, err := os.ReadFile(stopped)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(log), "hsm\n") != 3 || strings.Count(string(log), "other\n") != 3 {
		t.Errorf("stopped were\n%s", log)
	}
}

// newest is the level of the newest columns.
func newest(t *testing.T) string {
	t.Helper()
	if V0.Firmware != V1.Firmware || V0.Firmware == PreVersions.Firmware {
		t.Fatalf("the levels of the columns are %v, %v, %v", PreVersions.Firmware, V0.Firmware, V1.Firmware)
	}
	return V1.Firmware.String()
}

func TestRunTellsWhatFailed(t *testing.T) {
	p, _ := fakes(t)
	for _, c := range []struct {
		name, script string
		result       Result
		reason       string
	}{
		{"a check", "exec tidelock version\nstdout nothing\nobserve it", Fail, "line 3: stdout nothing: no match"},
		{"a check after columns", "columns V0\nstdout nothing\nobserve it", Fail, "line 3: stdout nothing"},
		{"a command", "observe it\nexec sh -c 'echo why $WORK >&2; exit 3'", Fail, "line 3: exec sh -c echo why $WORK >&2; exit 3: exit status 3: why $WORK"},
		{"unexpected success", "! exec tidelock version\nobserve it", Fail, "unexpected success"},
		{"nothing observed", "exec tidelock version", Fail, "observed nothing"},
		{"observed in another column", "[V1] observe it", Fail, "observed nothing"},
		{"an empty observation", "observe ''", Fail, "invalid usage"},
		{"an empty open part", "observe it\nopen ''", Fail, "invalid usage"},
		{"an unknown command", "sleep 1s\nobserve it", Fail, "unknown command"},
		{"an unknown condition", "[V2] observe it", Fail, "unknown condition"},
		{"columns too late", "exec tidelock version\ncolumns V0\nobserve it", Fail, "unknown command"},
		{"no capture", "exec tidelock version\ncapture X '(y)'\nobserve it", Fail, "no match for (y)"},
		{"a capture without a group", "exec tidelock version\ncapture X version\nobserve it", Fail, "not one group"},
		{"skipped", "[exec:no-such-program] stop\n[!exec:no-such-program] skip 'it is missing'\nobserve it", Skipped, "it is missing"},
		{"the store of a server that does not stop", "quickstart\nexec sh -c 'printf \"#!/bin/sh\\nexit 1\" >\"$(readlink -f \"$(command -v tidelock)\")\"'\nobserve it", Fail, "stopping the server"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cell := runOne(t, t.Context(), p, "# Shows.\n"+c.script+"\n")[0]
			if cell.Result != c.result || !strings.Contains(cell.Reason, c.reason) || len(cell.Observed) != 0 {
				t.Errorf("%s, %q, observed %q", cell.Result, cell.Reason, cell.Observed)
			}
		})
	}
}

func TestRunIsInterrupted(t *testing.T) {
	p, _ := fakes(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if cell := runOne(t, ctx, p, "# Shows.\nobserve it\n")[0]; cell.Result != Fail {
		t.Errorf("%s %s", cell.Result, cell.Reason)
	}
}

func TestPrograms(t *testing.T) {
	for _, c := range []struct {
		name             string
		tidelock, p11    string
		module, complain string
	}{
		{"as built", "bin/tidelock", "bin/tidelock-p11", "bin/libtidelock.so", ""},
		{"as packaged", "usr/bin/tidelock", "usr/libexec/tidelock/tidelock-p11", "usr/lib/x86_64-linux-gnu/libtidelock.so", ""},
		{"no helper", "bin/tidelock", "elsewhere/tidelock-p11", "bin/libtidelock.so", "tidelock-p11"},
		{"no library", "bin/tidelock", "bin/tidelock-p11", "elsewhere/libtidelock.so", "libtidelock.so"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			for _, file := range []string{c.tidelock, c.p11, c.module} {
				path := filepath.Join(root, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, nil, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			p, err := FindPrograms(filepath.Join(root, c.tidelock))
			switch {
			case c.complain == "" && (err != nil || p.P11 != filepath.Join(root, c.p11) || p.Module != filepath.Join(root, c.module)):
				t.Errorf("%+v, %v", p, err)
			case c.complain != "" && (err == nil || !strings.Contains(err.Error(), c.complain+" is neither")):
				t.Errorf("the error is %v", err)
			}
		})
	}
	if _, err := NewLab(Programs{"/no/tidelock", "/no/p11", "/no/module"}); err == nil {
		t.Error("a lab without programs was made")
	}
	if err := (Programs{"tidelock", "p11", "module"}).Check(); err == nil || !strings.Contains(err.Error(), "no absolute path") {
		t.Errorf("of relative paths the error is %v", err)
	}
}

func FuzzScenario(f *testing.F) {
	f.Add([]byte("# Shows.\ncolumns V0 V1\nobserve it\n-- file --\nx\n"))
	f.Add([]byte("#\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseScenario("X-1.txtar", text)
		if err == nil && (s.About == "" || len(s.Columns) == 0 || !bytes.HasPrefix(s.script, []byte("#"))) {
			t.Errorf("%+v", s)
		}
	})
}
