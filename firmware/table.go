package firmware

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"slices"
)

// A Span is a range of levels, both ends included.
type Span struct{ From, To Level }

// Holds tells whether a level lies in the span.
func (s Span) Holds(l Level) bool { return l.Within(s.From, s.To) }

// last stands for an open end.
var last = Level{255, 255, 255}

// Open tells whether the span goes on with levels to come.
func (s Span) Open() bool { return s.To == last }

// ParseSpan reads the two ends of a span; an empty one is open.
func ParseSpan(from, to string) (Span, error) {
	s := Span{To: last}
	var err error
	if from != "" {
		if s.From, err = Parse(from); err != nil {
			return Span{}, err
		}
	}
	if to != "" {
		if s.To, err = Parse(to); err != nil {
			return Span{}, err
		}
	}
	if s.To.Compare(s.From) < 0 {
		return Span{}, fmt.Errorf("%v is newer than %v", s.From, s.To)
	}
	return s, nil
}

// mustTable reads a table of the program's own, so a mistake in it is a panic that
// any test meets.
func mustTable[T any](name string, text []byte, columns []string, parse func(fields []string) (T, error)) []T {
	records, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err == nil && (len(records) == 0 || !slices.Equal(records[0], columns)) {
		err = fmt.Errorf("the columns are not %q", columns)
	}
	if err != nil {
		panic(fmt.Sprintf("%s: %v", name, err))
	}
	rows := make([]T, 0, len(records)-1)
	for i, fields := range records[1:] {
		row, err := parse(fields)
		if err != nil {
			panic(fmt.Sprintf("%s: record %d: %v", name, i+1, err))
		}
		rows = append(rows, row)
	}
	return rows
}

// parseMark reads yes or no.
func parseMark(s string) (bool, error) {
	if s != "yes" && s != "no" {
		return false, fmt.Errorf("%q is neither yes nor no", s)
	}
	return s == "yes", nil
}

// String is the span for people: "all", "from 7.7.0", "to 7.4.2" or "7.7.0 to 7.8.2".
func (s Span) String() string {
	switch {
	case s.From == (Level{}) && s.Open():
		return "all"
	case s.Open():
		return "from " + s.From.String()
	case s.From == (Level{}):
		return "to " + s.To.String()
	}
	return s.From.String() + " to " + s.To.String()
}
