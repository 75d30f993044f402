package audit

import (
	"tidelock.dev/tidelock/keystore"
)

// Head returns the position of the newest entry. In a view that may be one whose
// durability is not known yet (DurableHead). A head that is missing or not this HSM's
// gives CKR_DEVICE_ERROR with a *Fault.
func (l *Log) Head(r keystore.Reader) (Position, error) {
	b, err := r.Get(keystore.TableHSM, keyHead)
	if err != nil {
		return Position{}, err
	}
	if b == nil {
		return Position{}, damaged(headFault("the record of its end is missing"))
	}
	p, ok := l.parsePosition("head", b)
	if !ok {
		return Position{}, damaged(headFault("the record of its end is not what this HSM wrote"))
	}
	return p, nil
}

// DurableHead returns the end of what is certainly on the disk: an entry that was
// shown, signed or witnessed must not be another one after a crash.
func (l *Log) DurableHead(s keystore.Store) (Position, error) { return l.durableHead(s, nil) }

// durableHead is DurableHead; then, if not nil, looks at the same state.
func (l *Log) durableHead(s keystore.Store, then func(keystore.Reader, Position) error) (head Position, err error) {
	// A view may see updates that are not on the disk yet.
	err = s.Update(func(w keystore.Writer) error {
		if head, err = l.Head(w); err != nil || then == nil {
			return err
		}
		return then(w, head)
	})
	return head, err
}

// Passes tells whether the log went through a position that was seen earlier. An
// entry that is damaged gives CKR_DEVICE_ERROR with a *Fault, one that was cleared
// ErrCleared.
func (l *Log) Passes(r keystore.Reader, p Position) (bool, error) {
	head, err := l.Head(r)
	if err != nil || p.Sequence > head.Sequence {
		return false, err
	}
	at, err := l.position(r, p.Sequence)
	return err == nil && at == p, err
}
