// Package memstore is the engine that keeps everything in memory, for tests. It
// has the contract's semantics; what it calls durable is a Disk, which outlives
// the store as a file outlives a process.
//
// It may import keystore and the standard library.
package memstore

import (
	"bytes"
	"slices"
	"sync"

	"tidelock.dev/tidelock/keystore"
)

// Disk is what a store leaves behind. One store at a time may be open on it.
type Disk struct {
	mu    sync.Mutex
	state state
}

// state is one state of the whole store. The tables of a published state never
// change: an update works on copies of those that it writes to.
type state [len(keystore.Tables)][]record

// record is a key with its value; the records of a table are sorted by key.
type record struct{ key, value []byte }

func find(records []record, key []byte) (int, bool) {
	return slices.BinarySearchFunc(records, key, func(r record, key []byte) int { return bytes.Compare(r.key, key) })
}

// Store is an in-memory keystore.Store. An update copies the tables that it writes
// to, which suits the sizes of tests.
type Store struct {
	update sync.Mutex // serialises updates

	mu     sync.Mutex // guards what follows, and disk.state through disk.mu
	disk   *Disk
	closed bool
	failed error
	active sync.WaitGroup
}

var _ keystore.Store = (*Store)(nil)

// New makes an empty store.
func New() *Store { return Open(new(Disk)) }

// Open opens the store that is on a disk.
func Open(d *Disk) *Store { return &Store{disk: d} }

// Fail makes the store behave as after an error of the disk with the given cause.
func (s *Store) Fail(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = keystore.Fail(cause)
	}
}

// Failed implements keystore.Store.
func (s *Store) Failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// begin enters a transaction; the caller ends it with s.active.Done.
func (s *Store) begin() (state, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return state{}, keystore.ErrClosed
	}
	if s.failed != nil {
		return state{}, s.failed
	}
	s.active.Add(1)
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	return s.disk.state, nil
}

// View implements keystore.Store.
func (s *Store) View(fn func(keystore.Reader) error) error {
	st, err := s.begin()
	if err != nil {
		return err
	}
	defer s.active.Done()
	return fn(&tx{state: st})
}

// Update implements keystore.Store.
func (s *Store) Update(fn func(keystore.Writer) error) error {
	s.update.Lock()
	defer s.update.Unlock()
	st, err := s.begin()
	if err != nil {
		return err
	}
	defer s.active.Done()
	w := &tx{state: st}
	if err := fn(w); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return s.failed
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	s.disk.state = w.state
	return nil
}

// Scrub implements keystore.Store. A Disk has nothing but the records that there are.
func (s *Store) Scrub() error {
	if _, err := s.begin(); err != nil {
		return err
	}
	s.active.Done()
	return nil
}

// Close implements keystore.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return keystore.ErrClosed
	}
	s.active.Wait()
	return nil
}

// tx is a transaction; a View does not show its writing methods.
type tx struct {
	state state
	own   [len(keystore.Tables)]bool // tables that are copies already
}

// table gives a table for reading.
func (x *tx) table(t keystore.Table) []record { return x.state[t-keystore.TableHSM] }

// writable gives a table for writing.
func (x *tx) writable(t keystore.Table) *[]record {
	i := t - keystore.TableHSM
	if !x.own[i] {
		x.state[i], x.own[i] = slices.Clone(x.state[i]), true
	}
	return &x.state[i]
}

// Get implements keystore.Reader.
func (x *tx) Get(t keystore.Table, key []byte) ([]byte, error) {
	if err := keystore.CheckKey(t, key); err != nil {
		return nil, err
	}
	if i, ok := find(x.table(t), key); ok {
		return x.table(t)[i].value, nil
	}
	return nil, nil
}

// Scan implements keystore.Reader. It looks its place up for each record, so that
// fn may change the table.
func (x *tx) Scan(t keystore.Table, prefix, after []byte, fn func(key, value []byte) (bool, error)) error {
	if err := keystore.CheckTable(t); err != nil {
		return err
	}
	i, _ := find(x.table(t), prefix)
	if after != nil && bytes.Compare(after, prefix) >= 0 {
		i = x.behind(t, after)
	}
	for i < len(x.table(t)) {
		r := x.table(t)[i]
		if !bytes.HasPrefix(r.key, prefix) {
			return nil
		}
		if more, err := fn(r.key, r.value); err != nil || !more {
			return err
		}
		i = x.behind(t, r.key)
	}
	return nil
}

// behind is the place of the first record whose key is greater.
func (x *tx) behind(t keystore.Table, key []byte) int {
	i, ok := find(x.table(t), key)
	if ok {
		i++
	}
	return i
}

// Put implements keystore.Writer.
func (x *tx) Put(t keystore.Table, key, value []byte) error {
	if err := keystore.CheckRecord(t, key, value); err != nil {
		return err
	}
	table := x.writable(t)
	// Not bytes.Clone, which makes nil of an empty slice: an empty value is present.
	value = append([]byte{}, value...)
	i, ok := find(*table, key)
	if ok {
		(*table)[i].value = value
		return nil
	}
	*table = slices.Insert(*table, i, record{bytes.Clone(key), value})
	return nil
}

// Delete implements keystore.Writer.
func (x *tx) Delete(t keystore.Table, key []byte) error {
	if err := keystore.CheckKey(t, key); err != nil {
		return err
	}
	if i, ok := find(x.table(t), key); ok {
		table := x.writable(t)
		*table = slices.Delete(*table, i, i+1)
	}
	return nil
}
