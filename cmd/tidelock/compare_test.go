package main

import (
	"bytes"
	"testing"

	"tidelock.dev/tidelock/compare"
)

func TestPrintRows(t *testing.T) {
	report := &compare.Report{Rows: []compare.RowReport{
		{ID: "A-1", Group: "First", Title: "passes", Cells: []compare.Cell{
			{Column: "pre-7.7", Result: compare.Pass, Observed: []string{"one", "two"}, Transcript: "> exec x\n[stdout]\n"},
			{Column: "V0", Result: compare.Pass, Observed: []string{"three"}},
			{Column: "V1", Result: compare.Pass, Observed: []string{"one; two"}},
		}},
		{ID: "A-10", Group: "First", Title: "is open"},
		{ID: "B-1", Group: "Second", Title: "fails", Cells: []compare.Cell{{Column: "HSM", Result: compare.Fail, Reason: "why"}}},
	}}
	report.Conclude()
	const short = `First
  A-1     pass    passes
                  pre-7.7, V1: one; two
                  V0: three
  A-10    open    is open

Second
  B-1     fail    fails
                  HSM: fail: why

1 pass, 0 partly, 1 fail, 0 skipped, 1 open
`
	const long = `First
  A-1     pass    passes
                  pre-7.7: one; two
    | > exec x
    | [stdout]
                  V0: three
                  V1: one; two
`
	var out bytes.Buffer
	if err := printRows(&out, report, false); err != nil || out.String() != short {
		t.Errorf("%v\n%s", err, &out)
	}
	out.Reset()
	if err := printRows(&out, report, true); err != nil || !bytes.HasPrefix(out.Bytes(), []byte(long)) {
		t.Errorf("%v\n%s", err, &out)
	}
}
