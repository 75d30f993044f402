// Package tally is a keystore.Store that notices what neither the engine below it
// nor the seals of single records can: a record that is gone, one that was put back
// from another time, one that nobody wrote. It keeps, in the store itself, a count
// and a keyed hash of the set of records in each table, and moves them in the same
// transaction as the records, which costs an update two MACs for each record that it
// writes. Verify compares them with what is there.
//
// The audit log is left out: it has a chain of its own, whose end is a record that is
// in the tally.
//
// It does no I/O. It may import cryptoki, keystore, seal and the standard library.
package tally

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/seal"
)

// The hash of a set is MSet-XOR-Hash of Clarke, Devadas, van Dijk, Gassend and Suh,
// "Incremental Multiset Hash Functions and Their Application to Memory Integrity
// Checking" (ASIACRYPT 2003): a MAC of a nonce, and of each record, in an exclusive
// or, beside the nonce and the number of records. The nonce is a new one in each
// update; without it a reader of the file could learn the records' MACs, and
// combine old records to a set with the same hash.
//
// The tally's record in TableHSM is
//
//	version 1 · nonce 16 · for each table that is counted: records 8 · hash 32
const (
	version    = 1
	nonceSize  = 16
	entrySize  = 8 + seal.MACSize
	recordSize = 1 + nonceSize + len(counted)*entrySize
)

// counted are the tables in the tally, in the order of its record.
var counted = [...]keystore.Table{
	keystore.TableHSM, keystore.TablePartition, keystore.TableObject, keystore.TableIndex, keystore.TableCounter,
}

var key = []byte("tally")

// Error is returned, with CKR_DEVICE_ERROR, for a store whose records are not those
// that were written.
var Error = errors.New("the store is damaged")

func damaged(format string, args ...any) error {
	return cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "%w: %s", Error, fmt.Sprintf(format, args...))
}

// Store is the store below it, with a tally. Who writes past it breaks the tally.
type Store struct {
	keystore.Store
	mac *seal.MAC
}

// New puts a tally over a store that Create has to have filled.
func New(s keystore.Store, k *seal.HSMKey) *Store {
	return &Store{s, k.MAC(seal.NewContext("tally"))}
}

// set is what the tally knows of one table.
type set struct {
	records uint64
	hash    [seal.MACSize]byte
}

func (s *set) xor(sum [seal.MACSize]byte) { subtle.XORBytes(s.hash[:], s.hash[:], sum[:]) }

// sets is the whole tally, without the nonce's share.
type sets [len(counted)]set

func (s *Store) record(t keystore.Table, key, value []byte) [seal.MACSize]byte {
	return s.mac.Sum(seal.NewContext("record").Uint64(uint64(t)).Bytes(key).Bytes(value))
}

// mask adds the nonce's share to each hash, or takes it away.
func (s *Store) mask(all *sets, nonce []byte) {
	for i, t := range counted {
		all[i].xor(s.mac.Sum(seal.NewContext("nonce").Uint64(uint64(t)).Bytes(nonce)))
	}
}

func (s *Store) read(r keystore.Reader) (all sets, err error) {
	b, err := r.Get(keystore.TableHSM, key)
	if err != nil {
		return all, err
	}
	if len(b) != recordSize || b[0] != version {
		return all, damaged("the tally of its records is missing or malformed")
	}
	nonce, rest := b[1:1+nonceSize], b[1+nonceSize:]
	for i := range all {
		all[i].records = binary.BigEndian.Uint64(rest)
		copy(all[i].hash[:], rest[8:])
		rest = rest[entrySize:]
	}
	s.mask(&all, nonce)
	return all, nil
}

func (s *Store) write(w keystore.Writer, all sets) error {
	b := make([]byte, 1+nonceSize, recordSize)
	b[0] = version
	nonce := b[1:]
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the program instead
	s.mask(&all, nonce)
	for _, one := range all {
		b = append(binary.BigEndian.AppendUint64(b, one.records), one.hash[:]...)
	}
	return w.Put(keystore.TableHSM, key, b)
}

// Create fills an empty store in one update.
func (s *Store) Create(fn func(keystore.Writer) error) error {
	return s.Store.Update(func(w keystore.Writer) error {
		c := &counter{Writer: w, store: s}
		if err := fn(c); err != nil {
			return err
		}
		return s.write(w, c.all)
	})
}

// Update implements keystore.Store.
func (s *Store) Update(fn func(keystore.Writer) error) error {
	return s.Store.Update(func(w keystore.Writer) error {
		c := &counter{Writer: w, store: s}
		if err := fn(c); err != nil || !c.changed {
			return err
		}
		all, err := s.read(w)
		if err != nil {
			return err
		}
		for i := range all {
			all[i].records += c.all[i].records
			all[i].xor(c.all[i].hash)
		}
		return s.write(w, all)
	})
}

// counter is a writer that notes how the sets change. The numbers of records are
// differences, modulo 2^64.
type counter struct {
	keystore.Writer
	store   *Store
	all     sets
	changed bool
}

// Put implements keystore.Writer.
func (c *counter) Put(t keystore.Table, key, value []byte) error {
	if err := c.take(t, key); err != nil {
		return err
	}
	if one := c.of(t); one != nil {
		one.records++
		one.xor(c.store.record(t, key, value))
	}
	return c.Writer.Put(t, key, value)
}

// Delete implements keystore.Writer.
func (c *counter) Delete(t keystore.Table, key []byte) error {
	if err := c.take(t, key); err != nil {
		return err
	}
	return c.Writer.Delete(t, key)
}

// take takes the record that is about to be replaced or removed out of its set.
func (c *counter) take(t keystore.Table, key []byte) error {
	one := c.of(t)
	if one == nil {
		return nil
	}
	old, err := c.Get(t, key)
	if err != nil || old == nil {
		return err
	}
	one.records--
	one.xor(c.store.record(t, key, old))
	return nil
}

// of is the set of a table that is about to change, nil for one that is not counted.
func (c *counter) of(t keystore.Table) *set {
	for i := range counted {
		if counted[i] == t {
			c.changed = true
			return &c.all[i]
		}
	}
	return nil
}

// Verify reads the whole store and compares it with the tally, a table in each of
// several goroutines; nobody may write meanwhile. Its error is Error, with the table
// that does not fit, or the engine's.
func (s *Store) Verify() error {
	var want sets
	err := s.View(func(r keystore.Reader) (err error) {
		want, err = s.read(r)
		return err
	})
	if err != nil {
		return err
	}
	var errs [len(counted)]error
	var wg sync.WaitGroup
	for i, t := range counted {
		wg.Go(func() { errs[i] = s.compare(t, want[i]) })
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}

// compare counts one table again.
func (s *Store) compare(t keystore.Table, want set) error {
	var got set
	err := s.View(func(r keystore.Reader) error {
		return r.Scan(t, nil, nil, func(k, value []byte) (bool, error) {
			if t == keystore.TableHSM && string(k) == string(key) {
				return true, nil
			}
			got.records++
			got.xor(s.record(t, k, value))
			return true, nil
		})
	})
	switch {
	case err != nil:
		return err
	case got.records != want.records:
		return damaged("table %s has %d records, %d were written", t, got.records, want.records)
	case got.hash != want.hash:
		return damaged("table %s has another record in place of one of its %d", t, got.records)
	}
	return nil
}
