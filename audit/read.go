package audit

import (
	"encoding/binary"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
)

// MaxPage is the most entries of one page: as many as fit a frame of the wire
// protocol in their longest exported form.
const MaxPage = 400

// Page is a run of entries, and what stands before them.
type Page struct {
	Header  Header
	Entries []Entry
	// Newest is the number of the log's newest entry.
	Newest uint64
}

// Read returns up to limit entries from the one with number from on, or with 0 from the
// oldest, at most MaxPage. From the number behind the newest entry on there are none; a higher
// one, and that of an entry that was cleared, give CKR_ARGUMENTS_BAD. An entry that is not
// what this HSM wrote gives CKR_DEVICE_ERROR with a *Fault.
func (l *Log) Read(s keystore.Store, from uint64, limit int) (Page, error) {
	var tail Position
	head, err := l.durableHead(s, func(r keystore.Reader, _ Position) (err error) {
		tail, err = l.tail(r)
		return err
	})
	if err != nil {
		return Page{}, err
	}
	if from == 0 {
		from = tail.Sequence + 1
	}
	if from <= tail.Sequence {
		return Page{}, cleared(from, tail)
	}
	if from > head.Sequence+1 {
		return Page{}, cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD,
			"audit: there is no entry %d: the log has entries %d to %d", from, tail.Sequence+1, head.Sequence)
	}
	limit = min(max(limit, 0), MaxPage)
	p := Page{Header: Header{Serial: l.serial, From: from}, Newest: head.Sequence}
	err = s.View(func(r keystore.Reader) error {
		at, err := l.position(r, from-1)
		if err != nil {
			return err
		}
		p.Header.Previous = at.Hash
		for at.Sequence < head.Sequence && len(p.Entries) < limit {
			b, err := l.stored(r, at.Sequence+1)
			if err != nil {
				return err
			}
			e, err := l.parseNext(at, b)
			if err != nil {
				return damaged(err)
			}
			p.Entries = append(p.Entries, e)
			at = e.Position
		}
		return nil
	})
	return p, err
}

// stored reads an entry as it lies in the store, which owns it.
func (l *Log) stored(r keystore.Reader, sequence uint64) ([]byte, error) {
	b, err := r.Get(keystore.TableAudit, entryKey(sequence))
	if err == nil && b == nil {
		err = damaged(missing(sequence, sequence))
	}
	return b, err
}

// entry reads one entry by itself.
func (l *Log) entry(r keystore.Reader, sequence uint64) (Entry, error) {
	b, err := l.stored(r, sequence)
	if err != nil {
		return Entry{}, err
	}
	e, _, err := l.parseEntry(sequence, b)
	if err != nil {
		return Entry{}, damaged(err)
	}
	return e, nil
}

// position is the position of an entry, or the one before the oldest. Error: ErrCleared for
// one before that.
func (l *Log) position(r keystore.Reader, sequence uint64) (Position, error) {
	tail, err := l.tail(r)
	if err != nil || sequence == tail.Sequence {
		return tail, err
	}
	if sequence < tail.Sequence {
		return Position{}, cleared(sequence, tail)
	}
	e, err := l.entry(r, sequence)
	return e.Position, err
}

// sequenceOf reads the number of an entry from its key.
func sequenceOf(key []byte) (uint64, bool) {
	if len(key) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(key), true
}
