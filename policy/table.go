package policy

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"tidelock.dev/tidelock/firmware"
)

// An Entry is one capability of a level, with the policy below it.
type Entry struct {
	ID         ID
	Name       string
	Capability uint64    // the largest value the policy may have
	Min        uint64    // the smallest; when it is the capability, there is no policy to change
	Default    [2]uint64 // for partition versions 0 and 1; the HSM's own are alike
	// A change in a destructive direction erases what the policy governs: a partition's
	// objects, or for an HSM policy the partitions.
	DestructiveOn, DestructiveOff bool
	Effect                        Effect
	Verified                      bool   // the default and the directions are documented, not deduced
	About                         string // one line for people
}

// Effect says what turning a policy does in this release.
type Effect uint8

const (
	NoEffect Effect = iota // the value is kept, no code obeys it
	InEffect               // code obeys it
	// Refused is of a policy that no code obeys and that whoever turned it would rely
	// on: it keeps its default.
	Refused
)

var effects = map[string]Effect{"no": NoEffect, "yes": InEffect, "refused": Refused}

// Fixed tells whether the entry is a capability without a policy.
func (e Entry) Fixed() bool { return e.Min == e.Capability }

// destructive tells whether a change from one value to another erases.
func (e Entry) destructive(from, to uint64) bool {
	return to > from && e.DestructiveOn || to < from && e.DestructiveOff
}

// Kind says whose policies they are.
type Kind string

const (
	OfHSM       Kind = "hsm"
	OfPartition Kind = "partition"
)

// A Table holds the entries of one firmware level, for the HSM or for its partitions.
type Table struct {
	kind    Kind
	level   firmware.Level
	entries []Entry
	rules   []rule
}

// HSM is the table of the HSM's own policies at a level.
func HSM(level firmware.Level) *Table {
	return &Table{kind: OfHSM, level: level, entries: at(hsmRows(), level)}
}

// Partition is the table of a partition's policies at a level.
func Partition(level firmware.Level) *Table {
	return &Table{kind: OfPartition, level: level, entries: at(partitionRows(), level), rules: partitionRules}
}

// Entries are the table's entries in the order of their numbers.
func (t *Table) Entries() []Entry { return slices.Clone(t.entries) }

// Entry finds an entry by its number.
func (t *Table) Entry(id ID) (Entry, bool) {
	i, found := slices.BinarySearchFunc(t.entries, id, func(e Entry, id ID) int { return int(e.ID) - int(id) })
	if !found {
		return Entry{}, false
	}
	return t.entries[i], true
}

// Defaults are the values of a new HSM (version 0) or a new partition of a version,
// which matters only at levels that have versions.
func (t *Table) Defaults(version uint8) Set {
	if !t.versions() {
		version = 0
	}
	values := make(map[ID]uint64, len(t.entries))
	for _, e := range t.entries {
		values[e.ID] = e.Default[min(version, 1)]
	}
	return Set{values}
}

// versions tells whether the table is of partitions that have a version.
func (t *Table) versions() bool {
	return t.kind == OfPartition && t.level.Has(firmware.PartitionVersions)
}

// Under are the defaults of a new partition, lowered to what the HSM's policies
// allow. A version that they do not allow at all is an error of Check.
func (t *Table) Under(version uint8, above Set) Set {
	s := t.Defaults(version)
	for id := range s.values {
		if !moved(id) && capped(id, above) {
			s.values[id] = 0
		}
	}
	return s
}

// Carry is what an update to the table's level makes of a set of an older level, under
// the HSM's own policies: values stay, new policies have the default of version 0,
// and policies that the level does not have are gone.
func (t *Table) Carry(old, above Set) Set {
	s := t.Defaults(0)
	for _, e := range t.entries {
		if old.Has(e.ID) {
			s.values[e.ID] = old.Value(e.ID)
		}
	}
	if t.versions() && !old.Has(Version) {
		s = move(s, nil) // masking was a policy of its own before there were versions
	}
	for id := range s.values {
		if !old.Has(id) && capped(id, above) {
			s.values[id] = 0
		}
	}
	if s.Has(Prehash) && !old.Has(Prehash) && s.On(NonFIPS) {
		s.values[Prehash] = 1 // what worked outside FIPS configuration goes on working
	}
	return s
}

// A row is an entry with the levels that have it.
type row struct {
	Entry
	levels firmware.Span
}

var (
	//go:embed hsm.csv
	hsmText []byte
	//go:embed partition.csv
	partitionText []byte

	hsmRows       = sync.OnceValue(func() []row { return mustRows("hsm.csv", hsmText) })
	partitionRows = sync.OnceValue(func() []row { return mustRows("partition.csv", partitionText) })
)

// at are the entries of a level.
func at(rows []row, level firmware.Level) []Entry {
	var entries []Entry
	for _, r := range rows {
		if r.levels.Holds(level) {
			entries = append(entries, r.Entry)
		}
	}
	return entries
}

func mustRows(name string, text []byte) []row {
	rows, err := parseRows(text)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", name, err)) // the text is part of the program
	}
	return rows
}

// columns of both tables. The levels may be empty: from the oldest, to the newest.
const columns = "id,name,from,to,v0,v1,min,max,destructive,effect,verified,about"

func parseRows(text []byte) ([]row, error) {
	r := csv.NewReader(bytes.NewReader(text))
	records, err := r.ReadAll()
	if err != nil {
		return nil, err
	}
	if len(records) == 0 || strings.Join(records[0], ",") != columns {
		return nil, fmt.Errorf("the first line is not %s", columns)
	}
	rows := make([]row, 0, len(records)-1)
	for i, record := range records[1:] {
		row, err := parseRow(record)
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", i+1, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func parseRow(f []string) (row, error) {
	r := row{Entry: Entry{Name: f[1], About: f[11]}}
	var id uint64
	for _, number := range []struct {
		text string
		to   *uint64
	}{{f[0], &id}, {f[4], &r.Default[0]}, {f[5], &r.Default[1]}, {f[6], &r.Min}, {f[7], &r.Capability}} {
		v, err := strconv.ParseUint(number.text, 10, 32)
		if err != nil {
			return row{}, err
		}
		*number.to = v
	}
	r.ID = ID(id)
	var err error
	if r.levels, err = firmware.ParseSpan(f[2], f[3]); err != nil {
		return row{}, err
	}
	switch f[8] {
	case "":
	case "on":
		r.DestructiveOn = true
	case "off":
		r.DestructiveOff = true
	case "both":
		r.DestructiveOn, r.DestructiveOff = true, true
	default:
		return row{}, fmt.Errorf("%q is no direction", f[8])
	}
	var known bool
	if r.Effect, known = effects[f[9]]; !known {
		return row{}, fmt.Errorf("%q is no effect: yes, no or refused", f[9])
	}
	if f[10] != "yes" && f[10] != "no" {
		return row{}, fmt.Errorf("%q is neither yes nor no", f[10])
	}
	r.Verified = f[10] == "yes"
	return r, nil
}
