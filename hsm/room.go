package hsm

import (
	"math/big"

	"tidelock.dev/tidelock/firmware"
)

// Of a memory of 32 MiB this much is usable; of others, in proportion.
const (
	roomOf   = 33_554_432
	roomThen = 33_218_870
)

// usable is what partitions may take of the HSM's memory, with their overheads, in bytes.
func (r *record) usable() uint64 {
	n := new(big.Int).SetUint64(r.memory)
	n.Mul(n, big.NewInt(roomThen))
	return n.Div(n, big.NewInt(roomOf)).Uint64()
}

// share is the size of a partition for which nobody names one, in bytes.
func (r *record) share() uint64 {
	if r.licences == 0 {
		return 0
	}
	return r.usable()/uint64(r.licences) - r.overhead()
}

// published is the room that capacities are published for, in bytes: the default size of a
// partition at the capacity level, 0 where that is nothing. As many keys as fit into it in
// the first format fit into a default partition in either, before and after an update: they
// at most double, and twice the room, with what the overheads differ by, is below the
// default size after it.
func (r *record) published() uint64 {
	base := *r
	base.level = r.level.CapacityLevel()
	var err error
	if base.memory, err = firmware.MemoryAfter(r.level, base.level, r.memory); err != nil || r.licences == 0 {
		return 0 // there is no record of such a level
	}
	each := base.usable() / uint64(r.licences)
	return each - min(each, base.overhead())
}

// overhead is what each partition takes beside its size, in bytes.
func (r *record) overhead() uint64 {
	d, err := firmware.Describe(r.level)
	if err != nil {
		return 0 // there is no record of such a level
	}
	return d.Overhead
}

// Memory of an HSM, in bytes: a share has to be something.
const (
	MinMemory = 1 << 20
	MaxMemory = 1 << 50
	// MaxLicences bounds the partitions of an HSM.
	MaxLicences = 100
)

// free is what no partition has taken, in bytes.
func (s *state) free() uint64 {
	free := s.record.usable()
	for _, p := range s.partitions {
		free -= min(free, p.Identity().Size+p.Overhead())
	}
	return free
}
