package firmware

import (
	_ "embed"
	"slices"
	"strconv"
	"sync"
)

// A Key is a kind of key whose capacity is published, with what one of them takes in the
// first object format, in bytes: a pair with both halves, label and CKA_ID of up to 32
// bytes, no CKA_SUBJECT.
type Key struct {
	Name string
	Size uint64
}

//go:embed capacity.csv
var keyText []byte

var keyTable = sync.OnceValue(func() []Key {
	return mustTable("capacity.csv", keyText, []string{"key", "size"}, func(f []string) (Key, error) {
		size, err := strconv.ParseUint(f[1], 10, 32)
		return Key{f[0], size}, err
	})
})

// Keys are the kinds of keys whose capacity is published.
func Keys() []Key { return slices.Clone(keyTable()) }

// CapacityLevel is the level whose memory, overhead and object format give the capacity
// that is published for l. It stays the same across an update that converts, and what
// memory and partitions gain by that is room for objects to grow into.
func (l Level) CapacityLevel() Level {
	if !l.AtLeast(versions) {
		return l
	}
	levels := Levels()
	return levels[slices.Index(levels, versions)-1]
}
