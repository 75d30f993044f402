// Package keystore is the contract of the durable store under an HSM: small
// tables of opaque records, read in views and changed in atomic, durable
// updates. The records are sealed before they come here; a store knows nothing of
// what they hold. Engines are in the packages below; storetest is the suite that
// each of them passes.
//
// It does no I/O and may import cryptoki and the standard library.
package keystore

import (
	"errors"
	"fmt"

	"tidelock.dev/tidelock/cryptoki"
)

// Table is one of the fixed set of tables. The numbers are part of the format on
// disk.
type Table uint8

// The tables.
const (
	// TableHSM holds what belongs to the HSM as a whole: its wrapped key, policies,
	// clients, the audit log's head.
	TableHSM Table = 1 + iota
	// TablePartition holds the partitions: their keys, policies, role records.
	TablePartition
	// TableObject holds token objects.
	TableObject
	// TableIndex holds the keyed hashes that objects are found by.
	TableIndex
	// TableCounter holds what changes often and is small: login tries, usage counts,
	// numbers given out.
	TableCounter
	// TableAudit holds the entries of the audit log, which are authenticated and not
	// secret.
	TableAudit
)

// Tables lists every table.
var Tables = [...]Table{TableHSM, TablePartition, TableObject, TableIndex, TableCounter, TableAudit}

// String is the table's name.
func (t Table) String() string {
	switch t {
	case TableHSM:
		return "hsm"
	case TablePartition:
		return "partition"
	case TableObject:
		return "object"
	case TableIndex:
		return "index"
	case TableCounter:
		return "counter"
	case TableAudit:
		return "audit"
	}
	return fmt.Sprintf("Table(%d)", uint8(t))
}

// Limits of a record, in bytes. A key has at least one byte; a value may be empty,
// which is different from being absent.
const (
	MaxKey   = 512
	MaxValue = 1 << 20
)

// Errors of every engine.
var (
	// ErrFailed is returned by a store that met an error of the file under it. What is
	// on disk is then no longer known, so nothing is read or written any more: the
	// process has to end, and a new one to open the file. It wraps the cause.
	ErrFailed = errors.New("keystore: the store has failed and must be opened anew")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("keystore: the store is closed")
	// ErrTable is returned for a table that does not exist.
	ErrTable = errors.New("keystore: no such table")
	// ErrKeySize is returned for a key that is empty or longer than MaxKey.
	ErrKeySize = fmt.Errorf("keystore: a key has 1 to %d bytes", MaxKey)
	// ErrValueSize is returned for a value longer than MaxValue.
	ErrValueSize = fmt.Errorf("keystore: a value has at most %d bytes", MaxValue)
)

// Reader reads in a transaction. It is used by one goroutine at a time and not
// after the transaction's function returned.
type Reader interface {
	// Get returns the value of a key, nil when the key is absent, and an empty slice
	// that is not nil when the value is empty. The value belongs to the store: it is
	// valid until the transaction ends and must not be written to.
	Get(t Table, key []byte) ([]byte, error)

	// Scan calls fn for each record whose key begins with prefix, in ascending order
	// of the keys' bytes, beginning strictly after the key `after` when that is not
	// nil. It ends when fn returns false or an error, which Scan returns. Key and value
	// belong to the store as in Get.
	//
	// In an update fn may write, to the scanned table too: the scan goes on behind the
	// key that fn was given and sees what is there by then.
	Scan(t Table, prefix, after []byte, fn func(key, value []byte) (more bool, err error)) error
}

// Writer reads and writes in a transaction. It sees its own writes.
type Writer interface {
	Reader

	// Put sets the value of a key. Both are copied.
	Put(t Table, key, value []byte) error

	// Delete removes a key; an absent one is no error.
	Delete(t Table, key []byte) error
}

// Store is a durable store. It is safe for concurrent use.
//
// Transactions do not nest: the function of a View or an Update must neither call
// View or Update of the same store nor wait for one elsewhere. While the function of
// an Update runs all others wait, and an Update can have to wait for the views under
// way: a function does nothing slow, such as a KDF.
type Store interface {
	// View calls fn with one consistent state of the store, which holds at least every
	// Update that returned before View was called. It may hold an Update that has not
	// returned yet and whose durability is not known yet; what must not be lost again
	// after it was acted upon is therefore read in an Update. View returns fn's error.
	View(fn func(Reader) error) error

	// Update calls fn and makes what it wrote durable: when Update returns nil the
	// writes are on stable storage, all of them, and when it returns an error none
	// takes effect (but see ErrFailed). Updates are serialised: each sees the writes of
	// all before it.
	//
	// Concurrent Updates are flushed together. An engine may call fn more than once,
	// with the effects of earlier calls undone; so fn has no effects but those through
	// the Writer until Update has returned. An error or panic of one fn undoes that
	// fn's writes and leaves the others of the group alone.
	//
	// After an error of writing or flushing, the failing group and every later View
	// and Update return ErrFailed, and each update of that group may or may not be
	// there, whole, when the store is opened again.
	Update(fn func(Writer) error) error

	// Scrub overwrites what is left of records that were deleted or replaced by updates which
	// returned before Scrub was called: when it returns nil, no byte of them is in what the
	// store is kept in. It may run beside transactions, which wait for it for moments only.
	// An error fails the store.
	Scrub() error

	// Failed returns nil while the store works, and ErrFailed with its cause when it
	// has failed.
	Failed() error

	// Close waits for running transactions and closes the store. A second Close
	// returns ErrClosed.
	Close() error
}

// CheckTable returns ErrTable for a table that does not exist.
func CheckTable(t Table) error {
	if t < TableHSM || int(t) > len(Tables) {
		return fmt.Errorf("%w: %d", ErrTable, uint8(t))
	}
	return nil
}

// CheckKey returns ErrTable or ErrKeySize for what no engine accepts.
func CheckKey(t Table, key []byte) error {
	if err := CheckTable(t); err != nil {
		return err
	}
	if len(key) == 0 || len(key) > MaxKey {
		return fmt.Errorf("%w, not %d", ErrKeySize, len(key))
	}
	return nil
}

// CheckRecord returns ErrTable, ErrKeySize or ErrValueSize for what no engine
// accepts.
func CheckRecord(t Table, key, value []byte) error {
	if err := CheckKey(t, key); err != nil {
		return err
	}
	if len(value) > MaxValue {
		return fmt.Errorf("%w, not %d", ErrValueSize, len(value))
	}
	return nil
}

// Fail makes the error of a store that has failed: ErrFailed with its cause, and
// CKR_DEVICE_ERROR.
func Fail(cause error) error {
	return cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "%w: %w", ErrFailed, cause)
}
