package audit

import (
	"errors"
	"fmt"

	"tidelock.dev/tidelock/keystore"
)

// verifyBatch is how many entries are checked in one view, so that views stay short.
const verifyBatch = 1024

// Verify checks the whole log inside the HSM: that its entries are numbered without
// a gap, that each is what this HSM wrote there and follows from the one before, that
// the first of all names the signing key, and that the last is where the log is to end. It
// returns where the log begins and ends. What was cleared is not looked at.
//
// A log that fails gives a *Fault with the first place that does not fit; other
// errors are the store's. What was rolled back as a whole, the store with its head, fits:
// only a checkpoint shows that (Verifier).
func (l *Log) Verify(s keystore.Store) (Usage, error) {
	var tail Position
	head, err := l.durableHead(s, func(r keystore.Reader, head Position) (err error) {
		if tail, _, err = l.ends(r); err != nil {
			return err
		}
		return l.nothingBehind(r, head)
	})
	if err != nil {
		return Usage{}, bare(err)
	}
	for at := tail; at != head; {
		if at.Sequence >= head.Sequence {
			return Usage{}, headFault(fmt.Sprintf("it ends at entry %d, but not with the hash that the record of its end has", head.Sequence))
		}
		if at, err = l.verifyFrom(s, at, head.Sequence); err != nil {
			return Usage{}, bare(err)
		}
	}
	return Usage{tail.Sequence + 1, head.Sequence, l.Settings().Limit}, nil
}

// bare takes the return code off a fault.
func bare(err error) error {
	var fault *Fault
	if errors.As(err, &fault) {
		return fault
	}
	return err
}

// nothingBehind checks that no entry lies behind the head.
func (l *Log) nothingBehind(r keystore.Reader, head Position) error {
	return r.Scan(keystore.TableAudit, nil, entryKey(head.Sequence), func(key, _ []byte) (bool, error) {
		return false, misplaced(key, fmt.Sprintf("it lies behind the end of the log, entry %d", head.Sequence))
	})
}

// misplaced is a record that has no business where it lies.
func misplaced(key []byte, cause string) *Fault {
	n, ok := sequenceOf(key)
	if !ok {
		return &Fault{Kind: FaultMisplaced, Cause: fmt.Sprintf("a record with the key %x is no entry", key)}
	}
	return &Fault{Kind: FaultMisplaced, First: n, Last: n, Cause: cause}
}

// missing is a gap.
func missing(first, last uint64) *Fault {
	return &Fault{Kind: FaultMissing, First: first, Last: last, Cause: "cut out of the log"}
}

// verifyFrom checks a batch of the entries behind at, up to the one with number last,
// and returns how far it came.
func (l *Log) verifyFrom(s keystore.Store, at Position, last uint64) (Position, error) {
	err := s.View(func(r keystore.Reader) error {
		var after []byte
		if at.Sequence > 0 {
			after = entryKey(at.Sequence)
		}
		batch := 0
		err := r.Scan(keystore.TableAudit, nil, after, func(key, value []byte) (bool, error) {
			next, err := l.verifyEntry(r, at, key, value)
			if err != nil {
				return false, err
			}
			at, batch = next, batch+1
			return batch < verifyBatch && at.Sequence < last, nil
		})
		if err == nil && batch < verifyBatch && at.Sequence < last {
			return missing(at.Sequence+1, last)
		}
		return err
	})
	return at, err
}

// verifyEntry checks the record that the store has behind at.
func (l *Log) verifyEntry(r keystore.Reader, at Position, key, value []byte) (Position, error) {
	n, ok := sequenceOf(key)
	switch {
	case !ok || n <= at.Sequence:
		return Position{}, misplaced(key, "the log has no entry of that number")
	case n > at.Sequence+1:
		return Position{}, missing(at.Sequence+1, n-1)
	}
	e, err := l.parseNext(at, value)
	if err != nil || n > 1 {
		return e.Position, err
	}
	public, err := l.publicKey(r)
	if err != nil {
		return Position{}, err
	}
	if e.Record.Event != EventLogCreate || e.Record.Detail != public.String() {
		return Position{}, altered(n, "it does not name the key that signs checkpoints")
	}
	return e.Position, nil
}
