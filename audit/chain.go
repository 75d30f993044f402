package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"tidelock.dev/tidelock/seal"
)

// Hash is a link of the chain, SHA-256.
type Hash [sha256.Size]byte

// String is the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Position is a place in the log: the number of an entry, and the hash that stands
// for it and all before it.
type Position struct {
	Sequence uint64
	Hash     Hash
}

// Entry is one entry of the log.
type Entry struct {
	Position
	Record Record
}

// Labels keep the hashes of one purpose apart from those of another.
const (
	labelOrigin = "tidelock audit log 1\x00"
	labelEntry  = "tidelock audit entry 1\x00"
)

// origin is the hash that stands before the first entry. It binds the chain to the
// HSM.
func origin(serial string) Hash { return sha256.Sum256([]byte(labelOrigin + serial)) }

// follow is the position of the entry behind p that has this record.
func (p Position) follow(record []byte) Position {
	b := make([]byte, 0, len(labelEntry)+len(p.Hash)+8+maxRecord)
	b = append(append(b, labelEntry...), p.Hash[:]...)
	b = binary.BigEndian.AppendUint64(b, p.Sequence+1)
	return Position{p.Sequence + 1, sha256.Sum256(append(b, record...))}
}

// The keys of the HSM's records that are the log's.
var (
	keyHead       = []byte("audit head")
	keySigningKey = []byte("audit signing key")
)

// entryKey is where the entry of a number is in TableAudit.
func entryKey(sequence uint64) []byte { return binary.BigEndian.AppendUint64(nil, sequence) }

// A stored position is: version 1, sequence (8, big-endian), hash, MAC. A stored
// entry is: version 1, hash, MAC, record; its sequence is its key.
const (
	headVersion  = 1
	entryVersion = 1
	headSize     = 1 + 8 + sha256.Size + seal.MACSize
	entryHeader  = 1 + sha256.Size + seal.MACSize
)

// macContext is what the MAC of an entry or of the head covers.
func (p Position) macContext(kind string) seal.Context {
	return seal.NewContext(kind).Uint64(p.Sequence).Bytes(p.Hash[:])
}

func (l *Log) encodeHead(p Position) []byte { return l.encodePosition("head", p) }

func (l *Log) encodeEntry(p Position, record []byte) []byte {
	b := append(make([]byte, 0, entryHeader+len(record)), entryVersion)
	b = append(b, p.Hash[:]...)
	mac := l.mac.Sum(p.macContext("entry"))
	return append(append(b, mac[:]...), record...)
}

// parseEntry reads a stored entry and checks that this HSM wrote its hash at this
// place. Whether the record is the one of the hash is for parseNext to say. The error
// is a *Fault.
func (l *Log) parseEntry(sequence uint64, b []byte) (e Entry, record []byte, err error) {
	if len(b) < entryHeader || b[0] != entryVersion {
		return Entry{}, nil, altered(sequence, "its form is not that of an entry")
	}
	e.Sequence = sequence
	copy(e.Hash[:], b[1:])
	if !l.mac.Verify(e.macContext("entry"), b[1+sha256.Size:entryHeader]) {
		return Entry{}, nil, altered(sequence, "it is not what this HSM wrote there")
	}
	record = b[entryHeader:]
	if e.Record, err = parseRecord(record); err != nil {
		return Entry{}, nil, altered(sequence, "%v", err)
	}
	return e, record, nil
}

// parseNext reads the stored entry behind p and checks that it follows from it. The
// error is a *Fault.
func (l *Log) parseNext(p Position, b []byte) (Entry, error) {
	e, record, err := l.parseEntry(p.Sequence+1, b)
	if err == nil && p.follow(record) != e.Position {
		err = altered(e.Sequence, "it does not follow from entry %d", p.Sequence)
	}
	if err != nil {
		return Entry{}, err
	}
	return e, nil
}
