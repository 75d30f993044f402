package audit

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
)

// Segment is an HSM's signed statement that a part of its log, between two positions, was
// exported. It is the last line of the part's exported form; with it the part is known to
// be whole, and may be cleared.
type Segment struct {
	Serial string
	// After is the position before the first entry, Last that of the last one.
	After, Last Position
	// Time is when the statement was made: UTC, in microseconds.
	Time      time.Time
	Key       PublicKey
	Signature [ed25519.SignatureSize]byte
}

const (
	segmentFormat  = "tidelock audit segment"
	segmentVersion = 1
	labelSegment   = "tidelock audit segment 1\x00"
)

// entries says which entries the segment has.
func (g *Segment) entries() string { return entriesText(g.After, g.Last) }

func entriesText(after, last Position) string {
	return fmt.Sprintf("entries %d to %d", after.Sequence+1, last.Sequence)
}

// Export records that the log is exported, and makes the segment of all of it, which ends
// with this record. Errors as Append's.
func (l *Log) Export(s keystore.Store, by Actor) (Segment, error) {
	a, err := l.attest(s, func(u Usage) Record {
		return Record{Event: EventLogExport, Actor: by, Detail: entriesText(Position{Sequence: u.Oldest - 1}, Position{Sequence: u.Newest + 1})}
	})
	if err != nil {
		return Segment{}, err
	}
	defer secret.Wipe(a.private)
	g := Segment{Serial: l.serial, After: a.after, Last: a.last, Time: a.time, Key: publicKeyOf(a.private)}
	copy(g.Signature[:], ed25519.Sign(a.private, g.statement()))
	return g, nil
}

// attestation is what the HSM signs about its log, and with what.
type attestation struct {
	after, last Position
	time        time.Time
	private     ed25519.PrivateKey // for the caller to wipe
}

// attest records that the HSM signs a statement about its log, and returns where the log
// begins and ends with that record. A signature cannot be taken back: what it is about is
// on the disk by then.
func (l *Log) attest(s keystore.Store, record func(Usage) Record) (a attestation, err error) {
	err = s.View(func(r keystore.Reader) (err error) {
		a.private, err = l.signingKey(r)
		return err
	})
	if err != nil {
		return attestation{}, err
	}
	err = s.Update(func(w keystore.Writer) error {
		u, err := l.Usage(w)
		if err != nil {
			return err
		}
		if err := l.Append(w, record(u)); err != nil {
			return err
		}
		if a.after, err = l.tail(w); err != nil {
			return err
		}
		e, err := l.entry(w, u.Newest+1)
		a.last, a.time = e.Position, e.Record.Time
		return err
	})
	if err != nil {
		secret.Wipe(a.private)
		return attestation{}, err
	}
	return a, nil
}

// statement is what is signed: a label, then the serial number behind a byte of length,
// the numbers of both positions and the time (8 each, big-endian), both hashes, public key.
func (g *Segment) statement() []byte {
	b := append([]byte(labelSegment), byte(len(g.Serial)))
	b = append(b, g.Serial...)
	b = binary.BigEndian.AppendUint64(b, g.After.Sequence)
	b = binary.BigEndian.AppendUint64(b, g.Last.Sequence)
	b = binary.BigEndian.AppendUint64(b, uint64(g.Time.UnixMicro()))
	b = append(append(b, g.After.Hash[:]...), g.Last.Hash[:]...)
	return append(b, g.Key[:]...)
}

type segmentJSON struct {
	Format    string `json:"format"`
	Version   int    `json:"version"`
	Serial    string `json:"serial"`
	After     uint64 `json:"after"`
	Previous  string `json:"previous"`
	Last      uint64 `json:"last"`
	Hash      string `json:"hash"`
	Time      string `json:"time"`
	Key       string `json:"key"`
	Signature string `json:"signature"`
}

// Line is the segment's statement as a line, without its end.
func (g Segment) Line() []byte {
	return line(segmentJSON{
		segmentFormat, segmentVersion, g.Serial, g.After.Sequence, g.After.Hash.String(), g.Last.Sequence, g.Last.Hash.String(),
		g.Time.Format(timeLayout), g.Key.String(), fmt.Sprintf("%x", g.Signature),
	})
}

// ParseSegment reads a segment's line and checks its signature. That the key is the HSM's
// own is for the reader to know.
func ParseSegment(text []byte) (Segment, error) {
	var j segmentJSON
	if err := parseLine(text, &j); err != nil {
		return Segment{}, fmt.Errorf("not the end of an exported segment: %w", err)
	}
	if j.Format != segmentFormat || j.Version != segmentVersion {
		return Segment{}, fmt.Errorf("not the end of an exported segment: format %q, version %d, instead of %q, version %d", j.Format, j.Version, segmentFormat, segmentVersion)
	}
	g := Segment{Serial: j.Serial, After: Position{Sequence: j.After}, Last: Position{Sequence: j.Last}}
	if err := errors.Join(
		checkText(j.Serial, "serial number", maxSerial),
		parseHex(g.After.Hash[:], j.Previous, "hash"),
		parseHex(g.Last.Hash[:], j.Hash, "hash"),
		into(&g.Time, j.Time, parseTime),
		into(&g.Key, j.Key, parsePublicKey),
		parseHex(g.Signature[:], j.Signature, "signature"),
	); err != nil {
		return Segment{}, err
	}
	if err := sameLine(text, g.Line()); err != nil {
		return Segment{}, err
	}
	if g.Last.Sequence <= g.After.Sequence {
		return Segment{}, errors.New("a segment has at least one entry")
	}
	if !ed25519.Verify(g.Key[:], g.statement(), g.Signature[:]) {
		return Segment{}, errors.New("the segment's signature is wrong: it was changed")
	}
	return g, nil
}
