package behaviour_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tidelock.dev/tidelock/compare"
	"tidelock.dev/tidelock/test/behaviour"
	"tidelock.dev/tidelock/test/token"
)

var update = flag.Bool("update", false, "write docs/comparison.md anew, if all scenarios pass")

// TestRows runs the scenarios beside this file, each in its columns, with what "make
// build" made, and compares docs/comparison.md with what came out.
func TestRows(t *testing.T) {
	root, err := token.Root()
	if err != nil {
		t.Fatal(err)
	}
	rows, err := compare.Load(behaviour.Catalogue)
	if err != nil {
		t.Fatal(err)
	}
	lab, err := compare.NewLab(programs(t, root))
	if err != nil {
		t.Fatal(err)
	}
	report := compare.NewReport(rows)
	t.Run("Scenarios", func(t *testing.T) {
		for i, row := range rows {
			for j := range report.Rows[i].Cells {
				column, cell := row.Scenario.Columns[j], &report.Rows[i].Cells[j]
				t.Run(row.ID+"/"+column.Name, func(t *testing.T) {
					t.Parallel()
					*cell = lab.Run(t.Context(), row, column)
					switch cell.Result {
					case compare.Skipped:
						t.Skip(cell.Reason)
					case compare.Fail:
						t.Errorf("%s\n%s", cell.Reason, cell.Transcript)
					}
				})
			}
		}
	})
	if err := lab.Close(); err != nil {
		t.Error(err)
	}
	report.Conclude()
	checkPage(t, filepath.Join(root, "docs", "comparison.md"), report)
}

// checkPage compares the committed page with a report, if all of its scenarios ran and
// passed.
func checkPage(t *testing.T, file string, report *compare.Report) {
	for _, incomplete := range []compare.Result{compare.Fail, compare.Skipped, compare.NotRun} {
		if len(report.With(incomplete)) > 0 {
			return
		}
	}
	var want bytes.Buffer
	if err := report.Markdown(&want); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what was observed: go test ./test/behaviour -update writes it", file)
	}
}

// programs are those of the directory of $TIDELOCK_TEST_MODULE, or bin; the one
// that runs scripts of PKCS#11 calls is built here.
func programs(t *testing.T, root string) compare.Programs {
	module := os.Getenv("TIDELOCK_TEST_MODULE")
	if module == "" {
		module = filepath.Join(root, "bin", "libtidelock.so")
	}
	p11 := filepath.Join(t.TempDir(), "p11")
	build := exec.Command("go", "build", "-o", p11, "./cmd/tidelock-p11")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return compare.Programs{Tidelock: filepath.Join(filepath.Dir(module), "tidelock"), P11: p11, Module: module}
}
