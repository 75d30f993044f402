package firmware

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"sync"

	"tidelock.dev/tidelock/cryptoki"
)

// A Description is what a level determines about storage.
type Description struct {
	Level    Level
	Format   uint8    // of stored objects
	Overhead uint64   // bytes of a partition that lie outside its total
	Memory   []uint64 // bytes of an HSM, one for each tier
	Verified bool     // documented, not deduced
}

//go:embed levels.csv
var levelText []byte

var levelTable = sync.OnceValue(func() []Description {
	return mustTable("levels.csv", levelText, []string{"level", "format", "overhead", "memory", "verified"}, parseDescription)
})

func parseDescription(f []string) (d Description, err error) {
	if d.Level, err = Parse(f[0]); err != nil {
		return d, err
	}
	format, err := strconv.ParseUint(f[1], 10, 8)
	if err != nil {
		return d, err
	}
	d.Format = uint8(format)
	if d.Overhead, err = strconv.ParseUint(f[2], 10, 32); err != nil {
		return d, err
	}
	for _, tier := range strings.Fields(f[3]) {
		megabytes, err := strconv.ParseUint(tier, 10, 16)
		if err != nil {
			return d, err
		}
		d.Memory = append(d.Memory, megabytes<<20)
	}
	d.Verified, err = parseMark(f[4])
	return d, err
}

// Levels are the levels that an HSM can have, the oldest first.
func Levels() []Level {
	levels := make([]Level, 0, len(levelTable()))
	for _, d := range levelTable() {
		levels = append(levels, d.Level)
	}
	return levels
}

// Describe finds a level's description. A level that does not exist is
// CKR_ARGUMENTS_BAD.
func Describe(l Level) (Description, error) {
	i, found := slices.BinarySearchFunc(levelTable(), l, func(d Description, l Level) int { return d.Level.Compare(l) })
	if !found {
		return Description{}, cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "there is no firmware level %v; the levels are %v", l, Levels())
	}
	d := levelTable()[i]
	d.Memory = slices.Clone(d.Memory)
	return d, nil
}

// MemoryAfter is the memory, in bytes, that an HSM of one level has at another. A memory
// that is no tier of its level grows or shrinks as the tiers do.
func MemoryAfter(from, to Level, memory uint64) (uint64, error) {
	before, err := Describe(from)
	if err != nil {
		return 0, err
	}
	after, err := Describe(to)
	if err != nil {
		return 0, err
	}
	if tier := slices.Index(before.Memory, memory); tier >= 0 {
		return after.Memory[tier], nil
	}
	smallest, becomes := before.Memory[0], after.Memory[0]
	if becomes < smallest {
		return memory / (smallest / becomes), nil
	}
	return memory * (becomes / smallest), nil
}
