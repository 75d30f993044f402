package compare

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Report is what came out.
type Report struct{ Rows []RowReport }

// RowReport is what came out of a row.
type RowReport struct {
	ID     string `json:"row"`
	Group  string `json:"group"`
	Title  string `json:"title"`
	Result Result `json:"result"`
	// About says what its scenario shows; empty where the row is open.
	About string `json:"about"`
	// Cells are of the columns that the row is about.
	Cells []Cell `json:"columns"`
}

// NewReport makes the report of rows of which nothing has run.
func NewReport(rows []Row) *Report {
	report := &Report{Rows: make([]RowReport, len(rows))}
	for i, row := range rows {
		r := &report.Rows[i]
		*r = RowReport{ID: row.ID, Group: row.Group, Title: row.Title, Cells: []Cell{}}
		if row.Scenario == nil {
			continue
		}
		r.About = row.Scenario.About
		for _, column := range row.Scenario.Columns {
			r.Cells = append(r.Cells, Cell{Column: column.Name})
		}
	}
	report.Conclude()
	return report
}

// Conclude gives each row its result after cells have changed.
func (r *Report) Conclude() {
	for i := range r.Rows {
		r.Rows[i].Result = resultOf(r.Rows[i].Cells)
	}
}

// Progress is told when a scenario in a column is done.
type Progress func(done, total int, row, column string)

// Run runs the scenarios of rows, several at once.
func Run(ctx context.Context, lab *Lab, rows []Row, several int, progress Progress) *Report {
	type job struct {
		row    Row
		column Column
		cell   *Cell
	}
	report := NewReport(rows)
	var jobs []job
	for i, row := range rows {
		for j := range report.Rows[i].Cells {
			jobs = append(jobs, job{row, row.Scenario.Columns[j], &report.Rows[i].Cells[j]})
		}
	}
	waiting := make(chan job)
	var workers sync.WaitGroup
	var telling sync.Mutex
	done := 0
	for range several {
		workers.Go(func() {
			for j := range waiting {
				*j.cell = lab.Run(ctx, j.row, j.column)
				telling.Lock()
				done++
				progress(done, len(jobs), j.row.ID, j.column.Name)
				telling.Unlock()
			}
		})
	}
	for _, j := range jobs {
		waiting <- j
	}
	close(waiting)
	workers.Wait()
	report.Conclude()
	return report
}

// resultOf is a row's: that of its worst column.
func resultOf(cells []Cell) Result {
	if len(cells) == 0 {
		return Open
	}
	for _, worst := range []Result{Fail, NotRun, Skipped, Partly} {
		if slices.ContainsFunc(cells, func(c Cell) bool { return c.Result == worst }) {
			return worst
		}
	}
	return Pass
}

// With gives the ids of the rows of a result.
func (r *Report) With(result Result) []string {
	var ids []string
	for _, row := range r.Rows {
		if row.Result == result {
			ids = append(ids, row.ID)
		}
	}
	return ids
}

// Summary counts the rows by their results.
func (r *Report) Summary() string {
	var counts []string
	for _, result := range []Result{Pass, Partly, Fail, Skipped, Open} {
		counts = append(counts, fmt.Sprintf("%d %s", len(r.With(result)), result))
	}
	return strings.Join(counts, ", ")
}

// Groups divides the rows by their groups, in order.
func (r *Report) Groups() [][]RowReport {
	var groups [][]RowReport
	for _, row := range r.Rows {
		if n := len(groups); n > 0 && groups[n-1][0].Group == row.Group {
			groups[n-1] = append(groups[n-1], row)
		} else {
			groups = append(groups, []RowReport{row})
		}
	}
	return groups
}
