// Package compare shows what the kinds of partition do, by doing it: it runs a
// scenario for each row of a catalogue, once for each kind that the row is about, and
// reports what was observed.
package compare

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Row is a statement about the product.
type Row struct {
	ID string
	// Group is the heading that the row stands under.
	Group string
	Title string
	// Scenario shows the row; nil while it is open.
	Scenario *Scenario
}

// rowFile names the rows of a catalogue: id, group, title.
const rowFile = "rows.csv"

// Load reads a catalogue: rows.csv and beside it the scenarios, each in a file
// named after its row. Rows are in the order of rows.csv.
func Load(catalogue fs.FS) ([]Row, error) {
	rows, err := readRows(catalogue)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", rowFile, err)
	}
	files, err := fs.Glob(catalogue, "*.txtar")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		id := strings.TrimSuffix(path.Base(file), ".txtar")
		i := indexOf(rows, id)
		if i < 0 {
			return nil, fmt.Errorf("%s: %s has no row %s", file, rowFile, id)
		}
		text, err := fs.ReadFile(catalogue, file)
		if err != nil {
			return nil, err
		}
		if rows[i].Scenario, err = parseScenario(file, text); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return rows, nil
}

func readRows(catalogue fs.FS) ([]Row, error) {
	file, err := catalogue.Open(rowFile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r := csv.NewReader(file)
	r.FieldsPerRecord = 3
	records, err := r.ReadAll()
	if err != nil {
		return nil, err
	}
	if len(records) == 0 || !slices.Equal(records[0], []string{"id", "group", "title"}) {
		return nil, errors.New("the first line is not id,group,title")
	}
	var rows []Row
	for _, f := range records[1:] {
		row := Row{ID: f[0], Group: f[1], Title: f[2]}
		switch {
		case row.ID == "" || row.Group == "" || row.Title == "":
			return nil, fmt.Errorf("row %q has an empty field", row.ID)
		case indexOf(rows, row.ID) >= 0:
			return nil, fmt.Errorf("row %s stands there twice", row.ID)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func indexOf(rows []Row, id string) int {
	return slices.IndexFunc(rows, func(r Row) bool { return r.ID == id })
}

// Select gives the rows of some ids, or all of them where ids is empty. They keep
// their order.
func Select(rows []Row, ids []string) ([]Row, error) {
	if len(ids) == 0 {
		return rows, nil
	}
	for _, id := range ids {
		if indexOf(rows, id) < 0 {
			return nil, fmt.Errorf("there is no row %s", id)
		}
	}
	return slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return !slices.Contains(ids, r.ID) }), nil
}
