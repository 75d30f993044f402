package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// row is one record of a table and where it stands, for error messages.
type row struct {
	file   string
	line   int
	fields []string
}

func (r row) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: "+format, append([]any{r.file, r.line}, args...)...)
}

// readTable reads a table whose first line must name exactly these columns.
// Lines that begin with # are comments.
func readTable(root string, file string, columns ...string) ([]row, error) {
	f, err := os.Open(filepath.Join(root, "cryptoki", "table", file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := csv.NewReader(f)
	in.Comment = '#'
	in.FieldsPerRecord = len(columns)
	head, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if !slices.Equal(head, columns) {
		return nil, fmt.Errorf("%s: the columns are %q, want %q", file, head, columns)
	}
	var rows []row
	for {
		fields, err := in.Read()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		line, _ := in.FieldPos(0)
		rows = append(rows, row{file, line, fields})
	}
}

// constant is one named number. Class is the table's further column: an
// attribute's kind, a mechanism's shape, a constant's group.
type constant struct {
	row
	name   string
	value  uint64
	class  string
	vendor bool
}

var constantName = regexp.MustCompile(`^C[A-Z]+_[A-Z0-9_]+$`)

// readConstants reads a table of names and numbers. The column named classColumn,
// if any, may only have the given values.
func readConstants(root string, file string, columns []string, classColumn string, classes []string) ([]constant, error) {
	rows, err := readTable(root, file, columns...)
	if err != nil {
		return nil, err
	}
	seen := map[string]int{}
	constants := make([]constant, 0, len(rows))
	for _, r := range rows {
		c := constant{row: r}
		for i, field := range r.fields {
			switch columns[i] {
			case "name":
				if c.name = field; !constantName.MatchString(field) {
					return nil, r.errorf("%q is no constant's name", field)
				}
			case "value":
				if c.value, err = strconv.ParseUint(field, 0, 64); err != nil {
					return nil, r.errorf("%s: %w", c.name, err)
				}
			case "origin":
				if field != "3.2" && field != "vendor" {
					return nil, r.errorf("%s: the origin is %q, want 3.2 or vendor", c.name, field)
				}
				c.vendor = field == "vendor"
			case classColumn:
				if c.class = field; !slices.Contains(classes, field) {
					return nil, r.errorf("the %s is %q, want one of %s", classColumn, field, strings.Join(classes, ", "))
				}
			}
		}
		if line, twice := seen[c.name]; twice {
			return nil, r.errorf("%s is in line %d already", c.name, line)
		}
		seen[c.name] = r.line
		constants = append(constants, c)
	}
	return constants, nil
}

// byValue returns the constants ordered by value; those of equal value keep the
// table's order, so that the first of them is the name to print.
func byValue(constants []constant) []constant {
	sorted := slices.Clone(constants)
	slices.SortStableFunc(sorted, func(a, b constant) int {
		switch {
		case a.value < b.value:
			return -1
		case a.value > b.value:
			return 1
		}
		return 0
	})
	return sorted
}

// distinct returns the constants without further names for a value. Names of one
// value must agree on their class.
func distinct(constants []constant) ([]constant, error) {
	first := map[uint64]constant{}
	var kept []constant
	for _, c := range constants {
		f, again := first[c.value]
		if !again {
			first[c.value] = c
			kept = append(kept, c)
		} else if f.class != c.class {
			return nil, c.errorf("%s is %s, but %s of the same number is %s", c.name, c.class, f.name, f.class)
		}
	}
	return kept, nil
}
