package compare

import (
	"fmt"
	"io"
	"strings"
)

// Markdown writes the report as a page of the documentation. It depends on nothing
// but what was observed.
func (r *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`# Comparison

What the kinds of partition do: before firmware 7.7.0 (here 7.4.2), version 0 and version 1. Each row was shown by its scenario,
` + "`test/behaviour/ROW.txtar`" + `, with the real programs; this page is what ` + "`tidelock compare --markdown`" + ` prints, and a test compares the two. Open rows
have no scenario yet: whether they hold is not shown here.
`)
	for _, group := range r.Groups() {
		fmt.Fprintf(&b, "\n## %s\n", group[0].Group)
		var kinds, once, open []RowReport
		for _, row := range group {
			switch {
			case row.Result == Open:
				open = append(open, row)
			case row.aboutHSM():
				once = append(once, row)
			default:
				kinds = append(kinds, row)
			}
		}
		table(&b, kinds, Kinds)
		table(&b, once, []Column{Once})
		if len(open) > 0 {
			b.WriteString("\nOpen:\n\n")
		}
		for _, row := range open {
			fmt.Fprintf(&b, "- %s: %s\n", row.ID, row.Title)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func table(b *strings.Builder, rows []RowReport, columns []Column) {
	if len(rows) == 0 {
		return
	}
	b.WriteString("\n| Row | What it is about |")
	for _, c := range columns {
		fmt.Fprintf(b, " %s |", c.Name)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, row := range rows {
		fmt.Fprintf(b, "| %s | %s |", row.ID, cellText.Replace(row.Title))
		for _, c := range columns {
			fmt.Fprintf(b, " %s |", cellText.Replace(row.in(c)))
		}
		b.WriteString("\n")
	}
}

// cellText keeps a text within its cell, and its brackets from being tags.
var cellText = strings.NewReplacer("|", `\|`, "<", "&lt;", "\n", " ")

// aboutHSM tells whether a row is about the HSM and not a kind of partition.
func (r RowReport) aboutHSM() bool { return len(r.Cells) == 1 && r.Cells[0].Column == Once.Name }

// in is the text of a column, empty where the row is not about it.
func (r RowReport) in(column Column) string {
	for _, c := range r.Cells {
		if c.Column == column.Name {
			return c.Text()
		}
	}
	return ""
}
