package hsm

import (
	"encoding/binary"
	"errors"
	"slices"

	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/seal"
)

// Mode says what an HSM is for. The numbers are stored.
type Mode uint8

// The modes.
const (
	// ModeDevelopment has its root key beside its store, and HSM policy 21 off.
	ModeDevelopment Mode = 1
	// ModeTest has, beyond that, password hashes that cost nothing and protect nothing.
	ModeTest Mode = 2
	// ModeProduction is what `hsm init` makes.
	ModeProduction Mode = 3
)

// String is what `hsm show` says.
func (m Mode) String() string {
	switch m {
	case ModeDevelopment:
		return "development"
	case ModeTest:
		return "test"
	case ModeProduction:
		return "production"
	}
	return "unknown"
}

// State is how far an HSM is set up. The numbers are stored.
type State uint8

// The states of docs/partitions.md.
const (
	StateFactory     State = 1
	StateZeroized    State = 2
	StateOperational State = 3
)

// String is what `hsm show` says.
func (s State) String() string {
	switch s {
	case StateFactory:
		return "factory"
	case StateZeroized:
		return "zeroized"
	case StateOperational:
		return "operational"
	}
	return "unknown"
}

// record is what an HSM knows of itself. It is changed in updates alone, from what the
// store has by then.
type record struct {
	label  string
	serial string
	mode   Mode
	state  State
	level  firmware.Level
	// previous is the level before the last update, zero when there is nothing to go back
	// to. modules says that HSM policy 50 was on once.
	previous firmware.Level
	modules  bool
	memory   uint64 // in bytes
	licences uint16 // how many partitions there may be
	policies policy.Set
	// officer counts the HSM SOs that there have been.
	officer uint64
	// next is the number of the next partition.
	next partition.ID
	// slots are in the order of their numbers.
	slots []slot
	// erased are partitions some of whose records are still in the store.
	erased []partition.ID
}

// slot is where a partition is found, and by whom.
type slot struct {
	number    uint16
	partition partition.ID
	everybody bool
	uids      []uint32 // sorted
}

func recordContext() seal.Context { return seal.NewContext("hsm record") }

// find is the index of a slot, or where it would be.
func (r *record) find(number uint64) (int, bool) {
	return slices.BinarySearchFunc(r.slots, number, func(s slot, n uint64) int {
		return int(int64(s.number) - int64(min(n, 1<<16)))
	})
}

// of is the slot of a partition, nil when it has none.
func (r *record) of(id partition.ID) *slot {
	for i := range r.slots {
		if r.slots[i].partition == id {
			return &r.slots[i]
		}
	}
	return nil
}

// free is the lowest slot that nothing is in.
func (r *record) free() uint16 {
	n := uint16(0)
	for _, s := range r.slots {
		if s.number != n {
			break
		}
		n++
	}
	return n
}

// take gives out a partition number.
func (r *record) take() partition.ID {
	id := r.next
	r.next++
	return id
}

// erase makes a partition unreadable, inside an update, and remembers that it is to be swept.
func (r *record) erase(w keystore.Writer, id partition.ID) error {
	area, err := partition.Erase(w, id)
	r.erased = append(r.erased, id, area)
	return err
}

// eraseAll erases every partition and frees the slots.
func (r *record) eraseAll(w keystore.Writer) error {
	for _, s := range r.slots {
		if err := r.erase(w, s.partition); err != nil {
			return err
		}
	}
	r.slots = nil
	return nil
}

// A record is: version 3, mode, state, the firmware level and the one before it in three
// bytes each, whether modules were allowed in one, the memory and the count of HSM SOs in
// eight bytes each, licences in two, the next partition in four,
// label and serial number behind a byte of length each, the policies behind two bytes of
// length, the number of slots in two bytes, for each its number in two bytes, its
// partition in four, whether it is everybody's in one, and its users behind two bytes of
// their number in four each; then the erased partitions, in four bytes each.
const recordVersion = 3

var errRecord = errors.New("the HSM's record is malformed")

func (r *record) encode() []byte {
	b := []byte{recordVersion, byte(r.mode), byte(r.state)}
	for _, l := range []firmware.Level{r.level, r.previous} {
		b = append(b, l.Major, l.Minor, l.Patch)
	}
	b = append(b, flag(r.modules))
	b = binary.BigEndian.AppendUint64(b, r.memory)
	b = binary.BigEndian.AppendUint64(b, r.officer)
	b = binary.BigEndian.AppendUint16(b, r.licences)
	b = binary.BigEndian.AppendUint32(b, uint32(r.next))
	b = append(append(b, byte(len(r.label))), r.label...)
	b = append(append(b, byte(len(r.serial))), r.serial...)
	policies := r.policies.Encode()
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(policies))), policies...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.slots)))
	for _, s := range r.slots {
		b = binary.BigEndian.AppendUint16(b, s.number)
		b = binary.BigEndian.AppendUint32(b, uint32(s.partition))
		b = append(b, flag(s.everybody))
		b = binary.BigEndian.AppendUint16(b, uint16(len(s.uids)))
		for _, uid := range s.uids {
			b = binary.BigEndian.AppendUint32(b, uid)
		}
	}
	for _, id := range r.erased {
		b = binary.BigEndian.AppendUint32(b, uint32(id))
	}
	return b
}

func flag(on bool) byte {
	if on {
		return 1
	}
	return 0
}

// fields takes a record apart; after a fault everything is zero.
type fields struct {
	b    []byte
	lost bool
}

func (f *fields) take(n int) []byte {
	if f.lost || len(f.b) < n {
		f.lost = true
		return make([]byte, n)
	}
	taken := f.b[:n]
	f.b = f.b[n:]
	return taken
}

func (f *fields) u8() uint8   { return f.take(1)[0] }
func (f *fields) u16() uint16 { return binary.BigEndian.Uint16(f.take(2)) }
func (f *fields) u32() uint32 { return binary.BigEndian.Uint32(f.take(4)) }
func (f *fields) u64() uint64 { return binary.BigEndian.Uint64(f.take(8)) }

func (f *fields) level() firmware.Level {
	b := f.take(3)
	return firmware.Level{Major: b[0], Minor: b[1], Patch: b[2]}
}

func parseRecord(b []byte) (record, error) {
	f := &fields{b: b}
	if f.u8() != recordVersion {
		return record{}, errRecord
	}
	r := record{
		mode: Mode(f.u8()), state: State(f.u8()),
		level: f.level(), previous: f.level(), modules: f.u8() == 1,
		memory: f.u64(), officer: f.u64(), licences: f.u16(), next: partition.ID(f.u32()),
		label: string(f.take(int(f.u8()))), serial: string(f.take(int(f.u8()))),
	}
	policies, err := policy.ParseSet(f.take(int(f.u16())))
	if err != nil || r.state < StateFactory || r.state > StateOperational {
		return record{}, errRecord
	}
	r.policies = policies
	for range f.u16() {
		s := slot{number: f.u16(), partition: partition.ID(f.u32()), everybody: f.u8() == 1}
		for range f.u16() {
			s.uids = append(s.uids, f.u32())
			if f.lost {
				return record{}, errRecord
			}
		}
		if n := len(r.slots); n > 0 && r.slots[n-1].number >= s.number {
			return record{}, errRecord
		}
		r.slots = append(r.slots, s)
	}
	for len(f.b) > 0 && !f.lost {
		r.erased = append(r.erased, partition.ID(f.u32()))
	}
	if f.lost {
		return record{}, errRecord
	}
	return r, nil
}
