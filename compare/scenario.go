package compare

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/tools/txtar"
)

// Scenario is a script that shows a row, with the files that it needs.
type Scenario struct {
	// About is the comment at the script's head, in one line.
	About string
	// Columns are the kinds that it runs for, or Once alone.
	Columns []Column

	name    string
	script  []byte
	archive *txtar.Archive
}

// parseScenario reads a txtar archive whose comment is the script. Its first command
// may be "columns NAME...", which is for us and not run.
func parseScenario(name string, text []byte) (*Scenario, error) {
	archive := txtar.Parse(text)
	s := &Scenario{Columns: []Column{Once}, name: name, archive: archive}
	lines := strings.Split(string(archive.Comment), "\n")
	first := 0
	var about []string
	for ; first < len(lines); first++ {
		comment, is := strings.CutPrefix(lines[first], "#")
		if !is {
			break
		}
		about = append(about, strings.TrimSpace(comment))
	}
	if s.About = strings.Join(about, " "); s.About == "" {
		return nil, errors.New("the script begins with a comment that says what it shows")
	}
	for first < len(lines) && strings.TrimSpace(lines[first]) == "" {
		first++
	}
	if first == len(lines) {
		return nil, errors.New("the script has no commands")
	}
	if words := strings.Fields(lines[first]); words[0] == "columns" {
		columns, err := parseColumns(words[1:])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", first+1, err)
		}
		s.Columns = columns
		lines[first] = "" // the numbers of the others stay
	}
	s.script = []byte(strings.Join(lines, "\n"))
	return s, nil
}
