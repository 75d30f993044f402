package hsm

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
)

func anyLevel(t *rapid.T, converted bool, name string) firmware.Level {
	levels := firmware.Levels()
	return rapid.SampledFrom(slices.DeleteFunc(levels, func(l firmware.Level) bool {
		return l.Has(firmware.PartitionVersions) != converted
	})).Draw(t, name)
}

// Whatever sizes partitions have, after a conversion they have room for twice what fitted
// into them, and all of them fit into the memory.
func TestGrown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := record{
			level:    anyLevel(t, false, "from"),
			memory:   rapid.Uint64Range(MinMemory, 1<<40).Draw(t, "memory"),
			licences: rapid.Uint16Range(1, 50).Draw(t, "licences"),
		}
		after := before
		after.level = anyLevel(t, true, "to")
		var err error
		if after.memory, err = firmware.MemoryAfter(before.level, after.level, before.memory); err != nil {
			t.Fatal(err)
		}
		free := before.usable()
		var sizes []uint64
		for range rapid.IntRange(0, int(before.licences)).Draw(t, "partitions") {
			asked := rapid.OneOf(rapid.Just(uint64(sizeShare)), rapid.Just(uint64(sizeFree)), rapid.Uint64Range(1, before.memory/4)).Draw(t, "asked")
			if size, err := before.room(asked, free); err == nil {
				sizes = append(sizes, size)
				free -= size + before.overhead()
			}
		}
		left := after.usable()
		for i, size := range grown(&before, &after, sizes) {
			if size < 2*sizes[i] {
				t.Errorf("%d bytes become %d", sizes[i], size)
			}
			if taken := size + after.overhead(); taken > left {
				t.Fatalf("%d bytes are left for a partition of %d with its overhead", left, size)
			}
			left -= size + after.overhead()
			if size != after.share() && allOf(sizes, before.share()) {
				t.Errorf("one of %d default partitions has %d bytes, the default is %d", len(sizes), size, after.share())
			}
		}
	})
}

func allOf(sizes []uint64, size uint64) bool {
	return !slices.ContainsFunc(sizes, func(s uint64) bool { return s != size })
}

// The default size of 16 MB for 10 becomes that of 32 MB.
func TestGrownDefault(t *testing.T) {
	before := record{level: firmware.Level{Major: 7, Minor: 4, Patch: 2}, memory: 16 << 20, licences: 10}
	after := record{level: firmware.Newest, memory: 32 << 20, licences: 10}
	sizes := slices.Repeat([]uint64{before.share()}, 10)
	if got := grown(&before, &after, sizes); !allOf(got, 3_306_327) {
		t.Errorf("%d become %d", sizes, got)
	}
}

// The published capacity is the same before and after, and both sizes have room for it.
func TestPublished(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := record{
			level:    anyLevel(t, false, "from"),
			memory:   rapid.Uint64Range(MinMemory, 1<<40).Draw(t, "memory"),
			licences: rapid.Uint16Range(1, 50).Draw(t, "licences"),
		}
		after := before
		after.level = anyLevel(t, true, "to")
		after.memory *= 2
		if before.published() != after.published() {
			t.Errorf("%d before, %d after", before.published(), after.published())
		}
		if before.share() < before.published() || after.share() < 2*before.published() {
			t.Errorf("%d are published of %d, and of %d", before.published(), before.share(), after.share())
		}
		fresh := after
		fresh.memory = rapid.Uint64Range(2*MinMemory, 1<<40).Draw(t, "fresh")
		if fresh.published() > 0 && fresh.share() < 2*fresh.published() {
			t.Errorf("%d are published of %d", fresh.published(), fresh.share())
		}
	})
}

// Once functionality modules were allowed there is no way back.
func TestNoRollbackAfterModules(t *testing.T) {
	r := record{level: firmware.Newest, previous: firmware.Level{Major: 7, Minor: 4, Patch: 2}, modules: true, memory: 32 << 20}
	if err := r.rollback(nil, nil); cryptoki.Code(err) != cryptoki.CKR_OPERATION_NOT_ALLOWED || r.level != firmware.Newest {
		t.Errorf("%v, and the level is %v", err, r.level)
	}
}
