package hsm

import (
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
)

// plan is what an update makes of the HSM.
type plan struct {
	before, after record
	partitions    []planned // in the order of their slots
}

// planned is what becomes of one partition.
type planned struct {
	*partition.Partition
	slot    uint16
	after   partition.Identity
	objects uint64
}

// converts tells whether objects are rewritten.
func (p *plan) converts() bool { return firmware.Converts(p.before.level, p.after.level) }

// firmware is what the HSM remembers of its updates.
func (r *record) firmware() firmware.Update {
	return firmware.Update{Current: r.level, Previous: r.previous, Modules: r.modules}
}

// plan thinks out an update. Errors: those of firmware.CanUpdate;
// CKR_CONFIG_FAILS_DEPENDENCIES when a partition's policies do not go together at the new
// level.
func (s *state) plan(to firmware.Level) (*plan, error) {
	before := s.record
	if err := firmware.CanUpdate(before.level, to); err != nil {
		return nil, err
	}
	memory, err := firmware.MemoryAfter(before.level, to, before.memory)
	if err != nil {
		return nil, err
	}
	after := before
	after.level, after.previous, after.memory = to, before.level, memory
	after.policies = policy.HSM(to).Carry(before.policies, policy.Set{})
	p := &plan{before: before, after: after}
	table := policy.Partition(to)
	var sizes []uint64
	for _, slot := range before.slots {
		part := s.partitions[slot.number]
		usage, err := part.Usage()
		if err != nil {
			return nil, err
		}
		i := part.Identity()
		sizes = append(sizes, i.Size)
		i.Policies = table.Carry(i.Policies, after.policies)
		if err := table.Check(i.Policies, after.policies); err != nil {
			return nil, err
		}
		if p.converts() {
			i.Version = 0
		}
		p.partitions = append(p.partitions, planned{Partition: part, slot: slot.number, after: i, objects: usage.Objects})
	}
	if p.converts() {
		for n, size := range grown(&before, &after, sizes) {
			p.partitions[n].after.Size = size
		}
	}
	return p, nil
}

// growth is by how much memory, and whatever a partition takes of it, grows when objects
// are converted.
const growth = 2

// grown are the sizes that partitions have after a conversion: with its overhead each
// takes twice what it took, and those of the default size get the new default, as far as
// the memory goes.
//
// Whatever filled a partition fits. An object at most doubles (object.Object.Size), so what
// fitted into size fits into 2*size, and there is more: 2*(size+overhead) - new overhead,
// where twice the old overhead is above the new one. All of them fit into the memory: they
// took no more than was usable, which at least doubles. A default size grows to the new
// default by the bytes that were lost in rounding, once for the whole memory and once for
// each share; where others have taken these the partition goes without.
func grown(before, after *record, sizes []uint64) []uint64 {
	list := make([]uint64, len(sizes))
	free := after.usable()
	for i, size := range sizes {
		list[i] = growth*(size+before.overhead()) - after.overhead()
		free -= min(free, list[i]+after.overhead())
	}
	for i, size := range sizes {
		if share := after.share(); size == before.share() && share > list[i] && share-list[i] <= free {
			free -= share - list[i]
			list[i] = share
		}
	}
	return list
}
