package compare

import (
	"fmt"
	"slices"
	"strings"

	"tidelock.dev/tidelock/firmware"
)

// Column is a kind of partition that rows are compared for.
type Column struct {
	// Name stands in the table's head and in scenarios.
	Name string
	// Firmware is the level of the HSM.
	Firmware firmware.Level
	// Version is the partition's, as quickstart wants it, or empty where the level has
	// none.
	Version string
}

var (
	// PreVersions are partitions of an HSM that knows no versions of them.
	PreVersions = Column{"pre-7.7", firmware.Level{Major: 7, Minor: 4, Patch: 2}, ""}
	V0          = Column{"V0", firmware.Newest, "0"}
	V1          = Column{"V1", firmware.Newest, "1"}
	// Once is the column of rows that are about the HSM and not about a kind of
	// partition.
	Once = Column{"HSM", firmware.Newest, "0"}
)

// Kinds are the columns of the table.
var Kinds = []Column{PreVersions, V0, V1}

// parseColumns reads what follows the word columns in a scenario.
func parseColumns(names []string) ([]Column, error) {
	var columns []Column
	for _, name := range names {
		i := slices.IndexFunc(Kinds, func(c Column) bool { return c.Name == name })
		switch {
		case i < 0:
			return nil, fmt.Errorf("column %s is not known: there are %s", name, Names(Kinds))
		case slices.Contains(columns, Kinds[i]):
			return nil, fmt.Errorf("column %s stands there twice", name)
		}
		columns = append(columns, Kinds[i])
	}
	if len(columns) == 0 {
		return nil, fmt.Errorf("columns: name some of %s", Names(Kinds))
	}
	return columns, nil
}

// Names are the columns' names in a line.
func Names(columns []Column) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}
