package audit

import (
	"encoding/binary"
	"fmt"
	"time"
	"unicode/utf8"

	"tidelock.dev/tidelock/cryptoki"
)

// A record is encoded as
//
//	version 1 · time (8, microseconds since 1970) · event (2) · result (4) ·
//	source (1) · role (1) · application (8) · uid (4) · pid (4) · partition (4) ·
//	object (8) · related (8) · presence (1) · mechanism (8) · class (8) ·
//	program (length 1, text) · detail (length 1, text)
//
// with numbers big-endian. Bit 0 of presence says that there is a mechanism, bit 1
// a class; one that is not there is 0. A record has one encoding and an encoding one
// record, so that what is hashed is what is shown.
const (
	recordVersion = 1
	fixedSize     = 1 + 8 + 2 + 4 + 1 + 1 + 8 + 4 + 4 + 4 + 8 + 8 + 1 + 8 + 8

	// maxRecord is the size of the longest encoding, in bytes.
	maxRecord = fixedSize + 1 + MaxProgram + 1 + MaxDetail

	presentMechanism = 1 << 0
	presentClass     = 1 << 1
)

// encode encodes a record that is normal.
func (r Record) encode() []byte {
	b := make([]byte, 0, maxRecord)
	b = append(b, recordVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Time.UnixMicro()))
	b = binary.BigEndian.AppendUint16(b, uint16(r.Event))
	b = binary.BigEndian.AppendUint32(b, uint32(r.Result))
	b = append(b, byte(r.Actor.Source), byte(r.Actor.Role))
	b = binary.BigEndian.AppendUint64(b, r.Actor.Application)
	b = binary.BigEndian.AppendUint32(b, r.Actor.UID)
	b = binary.BigEndian.AppendUint32(b, uint32(r.Actor.PID))
	b = binary.BigEndian.AppendUint32(b, r.Partition)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Object))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Related))
	presence := byte(0)
	if r.Mechanism.Present {
		presence |= presentMechanism
	}
	if r.Class.Present {
		presence |= presentClass
	}
	b = append(b, presence)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Mechanism.Value))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Class.Value))
	b = append(append(b, byte(len(r.Actor.Program))), r.Actor.Program...)
	return append(append(b, byte(len(r.Detail))), r.Detail...)
}

// parseRecord reads an encoding; it keeps nothing of b.
func parseRecord(b []byte) (Record, error) {
	if len(b) > maxRecord {
		return Record{}, fmt.Errorf("a record has %d bytes, more than %d", len(b), maxRecord)
	}
	if len(b) < fixedSize {
		return Record{}, fmt.Errorf("a record is cut short: %d bytes", len(b))
	}
	if b[0] != recordVersion {
		return Record{}, fmt.Errorf("a record has version %d, not %d", b[0], recordVersion)
	}
	micros := binary.BigEndian.Uint64(b[1:])
	if micros > uint64(lastTime.UnixMicro()) {
		return Record{}, fmt.Errorf("a record's time, %d, is behind the year 9999", micros)
	}
	r := Record{
		Time:   time.UnixMicro(int64(micros)).UTC(),
		Event:  Event(binary.BigEndian.Uint16(b[9:])),
		Result: cryptoki.RV(binary.BigEndian.Uint32(b[11:])),
		Actor: Actor{
			Source: Source(b[15]), Role: Role(b[16]),
			Application: binary.BigEndian.Uint64(b[17:]),
			UID:         binary.BigEndian.Uint32(b[25:]),
			PID:         int32(binary.BigEndian.Uint32(b[29:])),
		},
		Partition: binary.BigEndian.Uint32(b[33:]),
		Object:    cryptoki.ObjectHandle(binary.BigEndian.Uint64(b[37:])),
		Related:   cryptoki.ObjectHandle(binary.BigEndian.Uint64(b[45:])),
	}
	presence := b[53]
	mechanism, class := binary.BigEndian.Uint64(b[54:]), binary.BigEndian.Uint64(b[62:])
	if presence&^(presentMechanism|presentClass) != 0 {
		return Record{}, fmt.Errorf("a record has the presence bits %#x", presence)
	}
	if presence&presentMechanism != 0 {
		r.Mechanism = Some(cryptoki.MechanismType(mechanism))
	} else if mechanism != 0 {
		return Record{}, fmt.Errorf("a record has mechanism %#x where it has none", mechanism)
	}
	if presence&presentClass != 0 {
		r.Class = Some(cryptoki.ObjectClass(class))
	} else if class != 0 {
		return Record{}, fmt.Errorf("a record has class %#x where it has none", class)
	}
	rest := b[fixedSize:]
	var err error
	if r.Actor.Program, rest, err = cutText(rest, "program", MaxProgram); err != nil {
		return Record{}, err
	}
	if r.Detail, rest, err = cutText(rest, "detail", MaxDetail); err != nil {
		return Record{}, err
	}
	if len(rest) != 0 {
		return Record{}, fmt.Errorf("a record has %d bytes behind its end", len(rest))
	}
	return r, nil
}

// cutText reads a text behind a byte of length.
func cutText(b []byte, field string, size int) (string, []byte, error) {
	if len(b) < 1 || len(b) < 1+int(b[0]) {
		return "", nil, fmt.Errorf("a record's %s is cut short", field)
	}
	end := 1 + int(b[0]) // not in a byte, where 256 is 0
	text, rest := b[1:end], b[end:]
	if err := checkText(string(text), field, size); err != nil {
		return "", nil, err
	}
	return string(text), rest, nil
}

// checkText refuses what printable would change.
func checkText(s, field string, size int) error {
	if len(s) > size {
		return fmt.Errorf("a record's %s has %d bytes, more than %d", field, len(s), size)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("a record's %s is no UTF-8", field)
	}
	for _, c := range s {
		if !prints(c) {
			return fmt.Errorf("a record's %s has the character %U", field, c)
		}
	}
	return nil
}
