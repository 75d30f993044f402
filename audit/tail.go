package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
)

// keyTail is where the position of the newest entry that was cleared is, in the form of a
// head. Where nothing was cleared it is missing.
var keyTail = []byte("audit tail")

// ErrCleared is returned for an entry that was exported and cleared. It carries
// CKR_ARGUMENTS_BAD.
var ErrCleared = errors.New("audit: exported and cleared")

func cleared(sequence uint64, tail Position) error {
	return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "entry %d: %w: the log begins with entry %d", sequence, ErrCleared, tail.Sequence+1)
}

// tail is the position before the oldest entry.
func (l *Log) tail(r keystore.Reader) (Position, error) {
	b, err := r.Get(keystore.TableHSM, keyTail)
	if err != nil {
		return Position{}, err
	}
	if b == nil {
		return Position{Hash: origin(l.serial)}, nil
	}
	p, ok := l.parsePosition("tail", b)
	if !ok {
		return Position{}, damaged(headFault("the record of its beginning is not what this HSM wrote"))
	}
	return p, nil
}

// encodePosition is the stored form of a head or a tail.
func (l *Log) encodePosition(kind string, p Position) []byte {
	b := append(make([]byte, 0, headSize), headVersion)
	b = binary.BigEndian.AppendUint64(b, p.Sequence)
	b = append(b, p.Hash[:]...)
	mac := l.mac.Sum(p.macContext(kind))
	return append(b, mac[:]...)
}

// parsePosition reads what encodePosition wrote, and checks that this HSM did.
func (l *Log) parsePosition(kind string, b []byte) (p Position, ok bool) {
	if len(b) != headSize || b[0] != headVersion {
		return Position{}, false
	}
	p.Sequence = binary.BigEndian.Uint64(b[1:])
	copy(p.Hash[:], b[9:])
	return p, l.mac.Verify(p.macContext(kind), b[9+sha256.Size:headSize])
}

// Clear takes the entries of an exported segment out of the log, and records that. What
// follows goes on from the segment's end. What it leaves in the store is for Sweep.
//
// Errors: CKR_ARGUMENTS_BAD for a segment that is not of this log, that was cleared
// already, or that begins behind the oldest entry, since what lies before has to be exported
// as well.
func (l *Log) Clear(s keystore.Store, g Segment, by Actor) error {
	return s.Update(func(w keystore.Writer) error {
		if err := l.mayClear(w, g); err != nil {
			return err
		}
		if err := w.Put(keystore.TableHSM, keyTail, l.encodePosition("tail", g.Last)); err != nil {
			return err
		}
		return l.Append(w, Record{Event: EventLogClear, Actor: by, Detail: g.entries()})
	})
}

// mayClear checks that the segment is what this HSM has exported of what the log holds.
func (l *Log) mayClear(r keystore.Reader, g Segment) error {
	key, err := l.publicKey(r)
	if err != nil {
		return err
	}
	if g.Serial != l.serial || g.Key != key {
		return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "audit: the segment was not signed by this HSM")
	}
	tail, err := l.tail(r)
	if err != nil {
		return err
	}
	if g.Last.Sequence <= tail.Sequence {
		return cleared(g.Last.Sequence, tail)
	}
	if g.After.Sequence > tail.Sequence {
		return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD,
			"audit: the segment begins with entry %d, the log with entry %d: what is between them has to be exported and cleared first", g.After.Sequence+1, tail.Sequence+1)
	}
	same, err := l.Passes(r, g.Last)
	if err == nil && !same {
		err = cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "audit: entry %d of the segment is not the one that the log has", g.Last.Sequence)
	}
	return err
}

// sweepBatch is how many entries one update removes.
const sweepBatch = 4096

// Sweep removes entries that were cleared from the store, so many in one update, and tells
// whether there are none left.
func (l *Log) Sweep(s keystore.Store) (done bool, err error) {
	err = s.Update(func(w keystore.Writer) error {
		tail, err := l.tail(w)
		if err != nil {
			return err
		}
		batch := 0
		done = true
		return w.Scan(keystore.TableAudit, nil, nil, func(key, _ []byte) (bool, error) {
			if n, ok := sequenceOf(key); !ok || n > tail.Sequence {
				return false, nil
			}
			if batch == sweepBatch {
				done = false
				return false, nil
			}
			batch++
			return true, w.Delete(keystore.TableAudit, append([]byte(nil), key...))
		})
	})
	if err != nil {
		return false, fmt.Errorf("sweeping the audit log: %w", err)
	}
	return done, nil
}
