package audit

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
)

// Reserve is how many entries a full log takes of events that have to be possible then
// (Record.whenFull).
const Reserve = 1 << 16

// ErrFull is returned by Append for an entry that the log has no room for; the act
// must then not be done. It carries CKR_LOG_FULL.
var ErrFull = cryptoki.Errorf(cryptoki.CKR_LOG_FULL, "audit: the log is full: the Auditor exports and clears it")

// whenFull tells whether an act is possible while the log is full: what it takes to drain
// the log, which is starts, stops, logins, logouts, checkpoints, and an Auditor where there is
// none; and what too many wrong PINs cost, which a full log must not put off.
func (r Record) whenFull() bool {
	switch r.Event {
	case EventHSMStart, EventHSMStop, EventOpenSession, EventCloseSession,
		EventLogin, EventLogout, EventRoleLock, EventCheckpoint, EventPartitionInit, EventHSMReset:
		return true
	case EventRoleCreate:
		return r.Partition == 0
	}
	return false
}

// drains tells whether an event is the Auditor's way out of a full log.
func (e Event) drains() bool {
	return e == EventLogConfig || e == EventLogExport || e == EventLogClear
}

// Usage is how much there is in the log.
type Usage struct {
	// Oldest and Newest are the numbers of entries; with Newest below Oldest there is none.
	Oldest, Newest uint64
	// Limit is how many entries there may be.
	Limit uint64
}

// Entries is the number of entries.
func (u Usage) Entries() uint64 { return u.Newest + 1 - u.Oldest }

// Usage reads how much there is in the log.
func (l *Log) Usage(r keystore.Reader) (Usage, error) {
	tail, head, err := l.ends(r)
	return Usage{tail.Sequence + 1, head.Sequence, l.Settings().Limit}, err
}

// ends are the positions before the oldest entry and of the newest.
func (l *Log) ends(r keystore.Reader) (tail, head Position, err error) {
	if head, err = l.Head(r); err != nil {
		return tail, head, err
	}
	if tail, err = l.tail(r); err != nil {
		return tail, head, err
	}
	if tail.Sequence > head.Sequence {
		return tail, head, damaged(headFault("it ends before it begins"))
	}
	return tail, head, nil
}

// Full tells whether the log takes only what drains it. Unless it was full lately that
// costs an atomic load.
func (l *Log) Full(s keystore.Store) (full bool, err error) {
	if !l.full.Load() {
		return false, nil
	}
	// An update, because an Append that has set the mark may not have returned yet.
	err = s.Update(func(w keystore.Writer) error {
		u, err := l.Usage(w)
		if err != nil {
			return err
		}
		full = u.Entries() >= u.Limit
		l.full.Store(full)
		return nil
	})
	return full, err
}

// room tells whether an entry is written behind n others, and gives ErrFull where its act
// is refused. What
// has to be possible in a full log is done unrecorded when the reserve is used up too:
// otherwise wrong PINs could shut out who drains it.
func (l *Log) room(n uint64, r Record) (written bool, err error) {
	switch limit := l.Settings().Limit; {
	case n < limit:
		if n+1 == limit {
			l.full.Store(true)
		}
		return true, nil
	case r.Event.drains():
		return true, nil
	case !r.whenFull():
		l.full.Store(true)
		return false, ErrFull
	case n < limit+Reserve:
		return true, nil
	case r.Event == EventCheckpoint:
		return false, ErrFull
	}
	return false, nil
}
