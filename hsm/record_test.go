package hsm

import (
	"bytes"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
)

func sampleRecord() record {
	return record{
		label: "test", serial: "0123456789012", mode: ModeProduction, state: StateOperational, level: firmware.Newest,
		previous: firmware.Level{Major: 7, Minor: 4, Patch: 2}, modules: true,
		memory: 32 << 20, licences: 10, policies: policy.HSM(firmware.Newest).Defaults(0), officer: 3, next: 9,
		slots:  []slot{{number: 0, partition: 4, everybody: true}, {number: 2, partition: 8, uids: []uint32{5, 1000}}},
		erased: []partition.ID{1, 2},
	}
}

func TestRecordComesBack(t *testing.T) {
	r := sampleRecord()
	back, err := parseRecord(r.encode())
	if err != nil || !reflect.DeepEqual(r, back) {
		t.Errorf("got %+v, %v; want %+v", back, err, r)
	}
	whole := r.encode()
	for n := range len(whole) - 4*len(r.erased) {
		if _, err := parseRecord(whole[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are a record", n, len(whole))
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	r := sampleRecord()
	f.Add(r.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		again, err := parseRecord(r.encode())
		if err != nil || !bytes.Equal(r.encode(), again.encode()) {
			t.Errorf("%x is read as %+v, and written as another", b, r)
		}
	})
}

// The numbers are those of 32 MiB for 10 partitions.
func TestShare(t *testing.T) {
	r := record{level: firmware.Newest, memory: 32 << 20, licences: 10}
	if r.usable() != 33_218_870 || r.share() != 3_306_327 {
		t.Errorf("of 32 MiB %d bytes are usable, a share is %d", r.usable(), r.share())
	}
	r.memory = MaxMemory
	if got := r.usable(); got != MaxMemory/roomOf*roomThen {
		t.Errorf("of the largest memory %d bytes are usable", got)
	}
}

// Whatever is created, resized and deleted, sizes and overheads fit.
func TestRoomIsNeverExceeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := record{level: firmware.Newest, memory: rapid.Uint64Range(MinMemory, 1<<40).Draw(t, "memory"), licences: rapid.Uint16Range(1, 20).Draw(t, "licences")}
		var sizes []uint64
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			free := r.usable()
			for _, size := range sizes {
				free -= size + r.overhead()
			}
			asked := rapid.OneOf(rapid.Just(uint64(sizeShare)), rapid.Just(uint64(sizeFree)), rapid.Uint64Range(1, 2*r.memory)).Draw(t, "asked")
			size, err := r.room(asked, free)
			switch {
			case err == nil && size+r.overhead() > free:
				t.Fatalf("%d bytes of %d were given", size, free)
			case err == nil:
				sizes = append(sizes, size)
			case len(sizes) > 0:
				sizes = sizes[1:]
			}
		}
	})
}

func TestSlotsAreStable(t *testing.T) {
	r := sampleRecord()
	if n := r.free(); n != 1 {
		t.Errorf("slot %d is free, want 1", n)
	}
	for number, want := range map[uint64]bool{0: true, 1: false, 2: true, 3: false, 1 << 16: false, 1<<16 + 2: false, 1 << 63: false} {
		if _, there := r.find(number); there != want {
			t.Errorf("slot %d is there: %v", number, there)
		}
	}
}
