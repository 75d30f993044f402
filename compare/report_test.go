package compare

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func cell(c Column, r Result, text string) Cell {
	if r == Pass {
		return Cell{Column: c.Name, Result: r, Observed: []string{text}}
	}
	return Cell{Column: c.Name, Result: r, Reason: text}
}

func TestResultOfARow(t *testing.T) {
	for _, c := range []struct {
		cells []Result
		want  Result
	}{
		{nil, Open},
		{[]Result{Pass, Pass}, Pass},
		{[]Result{Pass, Fail, Skipped}, Fail},
		{[]Result{Skipped, Pass}, Skipped},
		{[]Result{Pass, Skipped}, Skipped},
		{[]Result{NotRun, Pass, Skipped}, NotRun},
		{[]Result{NotRun, Fail}, Fail},
		{[]Result{Pass, Partly, Pass}, Partly},
		{[]Result{Partly, Skipped}, Skipped},
	} {
		var cells []Cell
		for _, r := range c.cells {
			cells = append(cells, Cell{Result: r})
		}
		if got := resultOf(cells); got != c.want {
			t.Errorf("of %q it is %q", c.cells, got)
		}
	}
}

// example has a row of each result.
func example() *Report {
	r := &Report{Rows: []RowReport{
		{ID: "A-1", Group: "First", Title: "different", Cells: []Cell{cell(PreVersions, Pass, "a | b"), cell(V0, Pass, "<c>"), cell(V1, Pass, "<c>")}},
		{ID: "A-2", Group: "First", Title: "open"},
		{ID: "A-3", Group: "First", Title: "once", Cells: []Cell{cell(Once, Pass, "seen")}},
		{ID: "B-1", Group: "Second", Title: "fails", Cells: []Cell{cell(V1, Fail, "why")}},
		{ID: "B-2", Group: "Second", Title: "skipped", Cells: []Cell{cell(PreVersions, Skipped, "no root"), cell(V0, Pass, "seen")}},
		{ID: "B-3", Group: "Second", Title: "partly", Cells: []Cell{{Column: V0.Name, Result: Partly, Observed: []string{"a", "b"}, Open: []string{"c"}}}},
	}}
	r.Rows[0].Cells[1].Transcript = "> exec <x>\n"
	r.Conclude()
	return r
}

func TestCounts(t *testing.T) {
	r := example()
	if got := r.Summary(); got != "2 pass, 1 partly, 1 fail, 1 skipped, 1 open" {
		t.Error(got)
	}
	if got := r.With(Fail); !slices.Equal(got, []string{"B-1"}) {
		t.Error(got)
	}
	if got := r.Groups(); len(got) != 2 || len(got[0]) != 3 || got[1][0].ID != "B-1" {
		t.Error(got)
	}
}

func TestMarkdown(t *testing.T) {
	var b bytes.Buffer
	if err := example().Markdown(&b); err != nil {
		t.Fatal(err)
	}
	_, got, _ := strings.Cut(b.String(), "\n## First\n")
	const want = `
| Row | What it is about | pre-7.7 | V0 | V1 |
|---|---|---|---|---|
| A-1 | different | a \| b | &lt;c> | &lt;c> |

| Row | What it is about | HSM |
|---|---|---|
| A-3 | once | seen |

Open:

- A-2: open

## Second

| Row | What it is about | pre-7.7 | V0 | V1 |
|---|---|---|---|---|
| B-1 | fails |  |  | fail: why |
| B-2 | skipped | skipped: no root | seen |  |
| B-3 | partly |  | a; b (open: c) |  |
`
	if got != want {
		t.Errorf("it is\n%s", got)
	}
}

func TestHTML(t *testing.T) {
	var b bytes.Buffer
	if err := example().HTML(&b); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	for _, want := range []string{
		`<td class="pass" colspan="1">a | b</td><td class="pass" colspan="2">&lt;c&gt;</td></tr>`,
		"<summary>V0: commands and answers</summary><pre>&gt; exec &lt;x&gt;\n</pre>",
		`<td class="open" colspan="3">open</td>`,
		`<td class="pass" colspan="3">seen</td>`,
		`<td class="" colspan="2"></td><td class="fail" colspan="1">fail: why</td>`,
		"<p>2 pass, 1 partly, 1 fail, 1 skipped, 1 open</p>",
		"prefers-color-scheme: dark",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, foreign := range []string{"<c>", "<x>", "http:", "https:", "<script", "%!"} {
		if strings.Contains(got, foreign) {
			t.Errorf("the page has %s", foreign)
		}
	}
}
