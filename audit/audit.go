// Package audit is the tamper-evident log of what was done with an HSM: who did
// what, when, with what result.
//
// A caller records an act in the transaction that performs it, so that neither is
// there without the other:
//
//	log := audit.New(audit.Config{Key: hsmKey, Serial: serial, Now: now})
//	err := log.Create(w, actor)          // once, when the HSM is made
//	err := log.Append(w, audit.Record{   // func (*Log) Append(keystore.Writer, Record) error
//		Event: audit.EventKeyGenerate, Result: cryptoki.CKR_OK, Actor: actor,
//		Partition: 1, Object: handle, Mechanism: audit.Some(mechanism),
//	})
//
// Append sets the time and makes the texts fit; it takes all state from the
// transaction, so that a function of keystore.Store.Update may call it and be run
// more than once.
//
// Entries are numbered from 1 without a gap. Each has a hash over the one before it
// (the chain), and a MAC under a key of the HSM. Whoever lacks that key cannot alter,
// cut or reorder entries unseen. Whoever has it, the HSM's owner, can; against him
// there are checkpoints, signed statements of how far the log went and with which
// hash, which are kept elsewhere. docs/audit.md has the formats.
//
// It does no I/O. It may import cryptoki, keystore, seal, internal/secret and the
// standard library.
package audit

import (
	"time"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/seal"
)

// Limits of the number of entries.
const (
	// DefaultLimit is how many entries a log takes before Append returns ErrFull: some
	// four gigabytes.
	DefaultLimit = 1 << 24
	// Reserve is how many more it takes of events that have to be possible while the log
	// is full (Event.WhenFull).
	Reserve = 1 << 16
)

// ErrFull is returned by Append for an entry that the log has no room for; the act
// must then not be done. It carries CKR_LOG_FULL.
var ErrFull = cryptoki.Errorf(cryptoki.CKR_LOG_FULL, "audit: the log is full")

// Config is what a log needs.
type Config struct {
	// Key is the HSM's key; it remains the caller's, who may wipe it after New.
	Key *seal.HSMKey
	// Serial is the HSM's serial number.
	Serial string
	Now    func() time.Time
	// Limit is the number of entries; 0 is DefaultLimit.
	Limit uint64
}

// Log is the audit log of one HSM. It is safe for concurrent use: all its state is
// in the store.
type Log struct {
	serial  string
	now     func() time.Time
	limit   uint64
	mac     *seal.MAC
	sealing *seal.Key // over the signing key
}

// New gives access to the log of an HSM, which Create has to have made.
func New(c Config) *Log {
	l := &Log{
		serial: c.Serial, now: c.Now, limit: c.Limit,
		mac: c.Key.Audit(), sealing: c.Key.Key(seal.NewContext("audit signing key")),
	}
	if l.limit == 0 {
		l.limit = DefaultLimit
	}
	return l
}

// Create begins the log of a new HSM: it makes the signing key, and the first entry,
// which names its public part.
func (l *Log) Create(w keystore.Writer, by Actor) error {
	public, err := l.createSigningKey(w)
	if err != nil {
		return err
	}
	return l.put(w, Position{Hash: origin(l.serial)}, Record{
		Event: EventLogCreate, Actor: by, Detail: public.String(),
	})
}

// Append records an act in the transaction that performs it. The record's time is
// set here; texts that are too long are cut, and characters that do not print are
// replaced.
//
// It returns ErrFull when there is no room, and CKR_DEVICE_ERROR when the head of the
// log is missing or is not what this HSM wrote.
func (l *Log) Append(w keystore.Writer, r Record) error {
	head, err := l.Head(w)
	if err != nil {
		return err
	}
	limit := l.limit
	if r.Event.WhenFull() {
		limit += Reserve
	}
	if head.Sequence >= limit {
		return ErrFull
	}
	return l.put(w, head, r)
}

// put writes the entry behind head, and the new head.
func (l *Log) put(w keystore.Writer, head Position, r Record) error {
	r.Time = l.now()
	record := r.normal().encode()
	next := head.follow(record)
	if err := w.Put(keystore.TableAudit, entryKey(next.Sequence), l.encodeEntry(next, record)); err != nil {
		return err
	}
	return w.Put(keystore.TableHSM, keyHead, l.encodeHead(next))
}
