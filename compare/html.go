package compare

import (
	_ "embed"
	"fmt"
	"html"
	"io"
	"strings"
)

//go:embed page.css
var pageStyle string

// HTML writes the report as a page by itself: with transcripts, without anything from
// elsewhere.
func (r *Report) HTML(w io.Writer) error {
	// Not by html/template, for which the linker keeps every method of the program.
	var p htmlPage
	p.add(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tidelock: the kinds of partition compared</title>
<style>
` + pageStyle + `</style>
</head>
<body>
<h1>The kinds of partition compared</h1>
`)
	p.addf("<p>Partitions before firmware 7.7.0 (here %s), of version 0 and of version 1 (firmware %s). Each row was shown by running its scenario; an open row has none yet.</p>\n",
		PreVersions.Firmware, V1.Firmware)
	p.addf("<p>%s</p>\n", r.Summary())
	for _, group := range r.Groups() {
		p.addf("<h2>%s</h2>\n<table>\n<thead><tr><th>Row</th><th>What it is about</th>", group[0].Group)
		for _, c := range Kinds {
			p.addf("<th>%s</th>", c.Name)
		}
		p.add("</tr></thead>\n<tbody>\n")
		for _, row := range group {
			p.row(row)
		}
		p.add("</tbody>\n</table>\n")
	}
	p.add("</body>\n</html>\n")
	_, err := io.WriteString(w, p.String())
	return err
}

// htmlPage is a page that is being written.
type htmlPage struct{ strings.Builder }

// add writes what is HTML already.
func (p *htmlPage) add(markup string) { p.WriteString(markup) }

// addf writes values between markup. They are escaped.
func (p *htmlPage) addf(markup string, values ...any) {
	for i, v := range values {
		values[i] = html.EscapeString(fmt.Sprint(v))
	}
	fmt.Fprintf(p, markup, values...)
}

func (p *htmlPage) row(row RowReport) {
	p.addf(`<tr id="%s"><th>%s</th><td>%s`, row.ID, row.ID, row.Title)
	for _, c := range row.Cells {
		if c.Transcript != "" {
			p.addf("\n<details><summary>%s: commands and answers</summary><pre>%s</pre></details>", c.Column, c.Transcript)
		}
	}
	p.add("</td>")
	for _, s := range row.spans() {
		p.addf(`<td class="%s" colspan="%v">%s</td>`, s.result, s.columns, s.text)
	}
	p.add("</tr>\n")
}

// span is a text that stands in so many columns.
type span struct {
	text    string
	result  Result
	columns int
}

// spans are the row's cells under the kinds. Neighbours that are alike are one.
func (r RowReport) spans() []span {
	switch {
	case len(r.Cells) == 0:
		return []span{{string(Open), Open, len(Kinds)}}
	case r.aboutHSM():
		return []span{{r.Cells[0].Text(), r.Cells[0].Result, len(Kinds)}}
	}
	var spans []span
	for _, column := range Kinds {
		next := span{columns: 1}
		for _, c := range r.Cells {
			if c.Column == column.Name {
				next.text, next.result = c.Text(), c.Result
			}
		}
		if n := len(spans); n > 0 && spans[n-1].text == next.text && spans[n-1].result == next.result {
			spans[n-1].columns++
		} else {
			spans = append(spans, next)
		}
	}
	return spans
}
