package hsm

import (
	"encoding/binary"
	"errors"

	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/partition"
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
)

// String is what `hsm show` says.
func (m Mode) String() string {
	switch m {
	case ModeDevelopment:
		return "development"
	case ModeTest:
		return "test"
	}
	return "unknown"
}

// record is what an HSM knows of itself.
type record struct {
	label      string
	serial     string
	mode       Mode
	level      firmware.Level
	partitions []partition.ID
}

func recordContext() seal.Context { return seal.NewContext("hsm record") }

// A record is: version 1, mode, three bytes of firmware level, label and serial
// number behind a byte of length each, the number of partitions in two bytes, and
// four bytes for each.
const recordVersion = 1

var errRecord = errors.New("the HSM's record is malformed")

func (r record) encode() []byte {
	b := []byte{recordVersion, byte(r.mode), r.level.Major, r.level.Minor, r.level.Patch}
	b = append(append(b, byte(len(r.label))), r.label...)
	b = append(append(b, byte(len(r.serial))), r.serial...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.partitions)))
	for _, id := range r.partitions {
		b = binary.BigEndian.AppendUint32(b, uint32(id))
	}
	return b
}

func parseRecord(b []byte) (record, error) {
	if len(b) < 5 || b[0] != recordVersion {
		return record{}, errRecord
	}
	r := record{mode: Mode(b[1]), level: firmware.Level{Major: b[2], Minor: b[3], Patch: b[4]}}
	b = b[5:]
	for _, field := range []*string{&r.label, &r.serial} {
		if len(b) < 1 || len(b) < 1+int(b[0]) {
			return record{}, errRecord
		}
		*field, b = string(b[1:1+b[0]]), b[1+b[0]:]
	}
	if len(b) < 2 || len(b) != 2+4*int(binary.BigEndian.Uint16(b)) {
		return record{}, errRecord
	}
	for b = b[2:]; len(b) > 0; b = b[4:] {
		r.partitions = append(r.partitions, partition.ID(binary.BigEndian.Uint32(b)))
	}
	return r, nil
}
