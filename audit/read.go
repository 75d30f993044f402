package audit

import (
	"encoding/binary"
	"errors"

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

// Read returns up to limit entries from the one with number from on, at most
// MaxPage. From the number behind the newest entry on there are none; a higher one,
// and 0, give CKR_ARGUMENTS_BAD. An entry that is not what this HSM wrote gives
// CKR_DEVICE_ERROR with a *Fault.
func (l *Log) Read(s keystore.Store, from uint64, limit int) (Page, error) {
	head, err := l.durableHead(s, nil)
	if err != nil {
		return Page{}, err
	}
	if from < 1 || from > head.Sequence+1 {
		return Page{}, cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD,
			"audit: there is no entry %d: the log has entries 1 to %d", from, head.Sequence)
	}
	limit = min(max(limit, 0), MaxPage)
	p := Page{Header: Header{Serial: l.serial, From: from, Previous: origin(l.serial)}, Newest: head.Sequence}
	err = s.View(func(r keystore.Reader) error {
		if from > 1 {
			before, err := l.entry(r, from-1)
			if err != nil {
				return err
			}
			p.Header.Previous = before.Hash
		}
		for n := from; n <= head.Sequence && len(p.Entries) < limit; n++ {
			e, err := l.entry(r, n)
			if err != nil {
				return err
			}
			p.Entries = append(p.Entries, e)
		}
		return nil
	})
	return p, err
}

// entry reads one entry.
func (l *Log) entry(r keystore.Reader, sequence uint64) (Entry, error) {
	b, err := r.Get(keystore.TableAudit, entryKey(sequence))
	if err != nil {
		return Entry{}, err
	}
	if b == nil {
		return Entry{}, damaged(missing(sequence, sequence))
	}
	e, _, err := l.parseEntry(sequence, b)
	var fault *Fault
	if errors.As(err, &fault) {
		err = damaged(fault)
	}
	return e, err
}

// sequenceOf reads the number of an entry from its key.
func sequenceOf(key []byte) (uint64, bool) {
	if len(key) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(key), true
}
