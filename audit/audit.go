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
	"sync/atomic"
	"time"

	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/seal"
)

// Config is what a log needs.
type Config struct {
	// Key is the HSM's key; it remains the caller's, who may wipe it after New.
	Key *seal.HSMKey
	// Serial is the HSM's serial number.
	Serial string
	Now    func() time.Time
}

// Log is the audit log of one HSM. It is safe for concurrent use: all its state but a copy
// of the settings is in the store.
type Log struct {
	serial   string
	now      func() time.Time
	mac      *seal.MAC
	sealing  *seal.Key // over the signing key
	settings atomic.Pointer[Settings]
	full     atomic.Bool // the log may be full
}

// New gives access to the log of an HSM, which Create has to have made, with the default
// settings: Load takes those of the store.
func New(c Config) *Log {
	l := &Log{
		serial: c.Serial, now: c.Now,
		mac: c.Key.Audit(), sealing: c.Key.Key(seal.NewContext("audit signing key")),
	}
	settings := defaultSettings
	l.settings.Store(&settings)
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

// Append records an act, if it is of a class that is recorded, in the transaction that
// performs it. The record's time is set here; texts that are too long are cut, and
// characters that do not print are replaced.
//
// It returns ErrFull when there is no room, and CKR_DEVICE_ERROR when the head of the
// log is missing or is not what this HSM wrote.
func (l *Log) Append(w keystore.Writer, r Record) error {
	if !l.Settings().Classes.records(r.Event, r.Result) {
		return nil
	}
	return l.Require(w, r)
}

// Require is Append for an act that is recorded whatever its class.
func (l *Log) Require(w keystore.Writer, r Record) error {
	tail, head, err := l.ends(w)
	if err != nil {
		return err
	}
	if written, err := l.room(head.Sequence-tail.Sequence, r); !written {
		return err
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
