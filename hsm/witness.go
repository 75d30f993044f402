package hsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/seal"
)

// Witness keeps one small record outside the store, so that an old copy of the
// store is noticed. It may be behind the store, never ahead of it.
type Witness interface {
	// Read returns what Write wrote last, nil when that was nothing.
	Read() ([]byte, error)
	// Write replaces the record, durably or not at all.
	Write(record []byte) error
}

// ErrRolledBack is returned by Open when the witness has seen a later state of the
// store than the one that is there.
var ErrRolledBack = errors.New("the store is older than its witness")

// sighting is what a witness has seen: how often the HSM had been started and how
// far its audit log went, which every change moves.
type sighting struct {
	boot  uint64
	audit audit.Position
}

// A witness record is: version 1, start count and audit sequence in eight
// big-endian bytes each, the audit log's hash, a MAC under the HSM's key.
const (
	witnessVersion = 1
	witnessSize    = 1 + 8 + 8 + len(audit.Hash{}) + seal.MACSize
)

func (s sighting) encode() []byte {
	b := binary.BigEndian.AppendUint64([]byte{witnessVersion}, s.boot)
	b = binary.BigEndian.AppendUint64(b, s.audit.Sequence)
	return append(b, s.audit.Hash[:]...)
}

func parseSighting(mac *seal.MAC, b []byte) (sighting, error) {
	const fixed = witnessSize - seal.MACSize
	if len(b) != witnessSize || b[0] != witnessVersion || !mac.Verify(seal.NewContext("witness").Bytes(b[:fixed]), b[fixed:]) {
		return sighting{}, errors.New("the witness is damaged, or another HSM's")
	}
	s := sighting{boot: binary.BigEndian.Uint64(b[1:])}
	s.audit.Sequence = binary.BigEndian.Uint64(b[9:])
	copy(s.audit.Hash[:], b[17:])
	return s, nil
}

// witness compares the store with the record outside of it, and keeps that up to
// date.
type witness struct {
	record Witness // nil where there is none
	mac    *seal.MAC

	mu   sync.Mutex // held over a sighting
	last uint64     // guarded by mu; audit sequence of the last sighting
}

// String says what can be noticed, for `hsm show`.
func (w *witness) String() string {
	if w.record == nil {
		return "not detectable: there is no witness"
	}
	return "detectable by the witness file, unless that is put back too"
}

// check compares the store, as it was before this start, with the witness.
func (w *witness) check(h *HSM, boot uint64) error {
	if w.record == nil {
		return nil
	}
	b, err := w.record.Read()
	if err != nil {
		return fmt.Errorf("the witness: %w", err)
	}
	if b == nil {
		return nil
	}
	seen, err := parseSighting(w.mac, b)
	if err != nil {
		return err
	}
	return h.store.View(func(r keystore.Reader) error {
		now, err := h.audit.Head(r)
		if err != nil {
			return err
		}
		if boot < seen.boot || now.Sequence < seen.audit.Sequence {
			return fmt.Errorf("%w: it ends at audit entry %d of start %d, the witness has seen entry %d of start %d",
				ErrRolledBack, now.Sequence, boot, seen.audit.Sequence, seen.boot)
		}
		same, err := h.audit.Passes(r, seen.audit)
		if errors.Is(err, audit.ErrCleared) {
			return fmt.Errorf("%w: or so it may be, since what the witness has seen was cleared (%w)", ErrRolledBack, err)
		}
		if err != nil {
			return err
		}
		if !same {
			return fmt.Errorf("%w: its audit entry %d is another than the one that the witness has seen", ErrRolledBack, seen.audit.Sequence)
		}
		return nil
	})
}

// see brings the witness up to date. The store's state is durable before the witness
// hears of it.
func (w *witness) see(h *HSM) error {
	if w.record == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	head, err := h.audit.DurableHead(h.store)
	if err != nil || head.Sequence == w.last {
		return err
	}
	now := sighting{boot: h.boot, audit: head}
	b := now.encode()
	sum := w.mac.Sum(seal.NewContext("witness").Bytes(b))
	if err := w.record.Write(append(b, sum[:]...)); err != nil {
		return fmt.Errorf("the witness: %w", err)
	}
	w.last = now.audit.Sequence
	return nil
}
