package audit

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
)

// Checkpoint is an HSM's signed statement that its log, at a time, ended at a
// position. Kept where the HSM's owner cannot change it, it shows every later change
// of what was in the log by then.
type Checkpoint struct {
	Serial string
	Position
	// Time is when the statement was made: UTC, in microseconds.
	Time      time.Time
	Key       PublicKey
	Signature [ed25519.SignatureSize]byte
}

// MaxCheckpoint is the size of the longest checkpoint's text, in bytes.
const MaxCheckpoint = 2048

const (
	checkpointFormat  = "tidelock audit checkpoint"
	checkpointVersion = 1
	labelCheckpoint   = "tidelock audit checkpoint 1\x00"
)

// Checkpoint records that a checkpoint is made, and makes it of the log that ends
// with this record. Errors as Append's.
func (l *Log) Checkpoint(s keystore.Store, by Actor) (Checkpoint, error) {
	a, err := l.attest(s, func(Usage) Record { return Record{Event: EventCheckpoint, Actor: by} })
	if err != nil {
		return Checkpoint{}, err
	}
	defer secret.Wipe(a.private)
	c := Checkpoint{Serial: l.serial, Position: a.last, Time: a.time, Key: publicKeyOf(a.private)}
	copy(c.Signature[:], ed25519.Sign(a.private, c.statement()))
	return c, nil
}

// statement is what is signed: a label, then the serial number behind a byte of
// length, sequence and time (8 each, big-endian), hash, public key.
func (c *Checkpoint) statement() []byte {
	b := append([]byte(labelCheckpoint), byte(len(c.Serial)))
	b = append(b, c.Serial...)
	b = binary.BigEndian.AppendUint64(b, c.Sequence)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Time.UnixMicro()))
	return append(append(b, c.Hash[:]...), c.Key[:]...)
}

type checkpointJSON struct {
	Format    string `json:"format"`
	Version   int    `json:"version"`
	Serial    string `json:"serial"`
	Sequence  uint64 `json:"sequence"`
	Hash      string `json:"hash"`
	Time      string `json:"time"`
	Key       string `json:"key"`
	Signature string `json:"signature"`
}

// Text is the checkpoint's form in a file: JSON, with an end of line.
func (c Checkpoint) Text() []byte {
	b, err := json.MarshalIndent(checkpointJSON{
		checkpointFormat, checkpointVersion, c.Serial, c.Sequence, c.Hash.String(), c.Time.Format(timeLayout),
		c.Key.String(), fmt.Sprintf("%x", c.Signature),
	}, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("audit: %v", err)) // texts and numbers always have a JSON form
	}
	return append(b, '\n')
}

// ParseCheckpoint reads a checkpoint's text and checks its signature. That the key
// is the HSM's own is for the reader to know.
func ParseCheckpoint(text []byte) (Checkpoint, error) {
	var j checkpointJSON
	if err := parseLine(text, &j); err != nil {
		return Checkpoint{}, fmt.Errorf("not a checkpoint: %w", err)
	}
	if j.Format != checkpointFormat || j.Version != checkpointVersion {
		return Checkpoint{}, fmt.Errorf("not a checkpoint: format %q, version %d, instead of %q, version %d", j.Format, j.Version, checkpointFormat, checkpointVersion)
	}
	c := Checkpoint{Serial: j.Serial, Position: Position{Sequence: j.Sequence}}
	if err := errors.Join(
		checkText(j.Serial, "serial number", maxSerial),
		parseHex(c.Hash[:], j.Hash, "hash"),
		into(&c.Time, j.Time, parseTime),
		into(&c.Key, j.Key, parsePublicKey),
		parseHex(c.Signature[:], j.Signature, "signature"),
	); err != nil {
		return Checkpoint{}, err
	}
	if err := sameLine(text, c.Text()); err != nil {
		return Checkpoint{}, err
	}
	if c.Sequence == 0 {
		return Checkpoint{}, errors.New("a checkpoint is of an entry, numbered from 1")
	}
	if !ed25519.Verify(c.Key[:], c.statement(), c.Signature[:]) {
		return Checkpoint{}, errors.New("the checkpoint's signature is wrong: it was changed")
	}
	return c, nil
}
