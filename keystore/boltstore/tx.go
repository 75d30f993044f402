package boltstore

import (
	"bytes"

	bolt "go.etcd.io/bbolt"

	"tidelock.dev/tidelock/keystore"
)

// tx is what one function of a View or an Update works in.
type tx struct {
	store *Store
	bolt  *bolt.Tx
	undo  []undo
}

// undo is the record that a write replaced; value is nil when there was none.
type undo struct {
	table      keystore.Table
	key, value []byte
}

func (x *tx) bucket(t keystore.Table) *bolt.Bucket { return x.bolt.Bucket(bucketName(t)) }

// guard is deferred around each use of the file's pages: bbolt panics when it meets
// a damaged one, and the store fails. It must not be around a caller's function,
// whose panics are its own.
func (x *tx) guard(err *error) {
	if p := recover(); p != nil {
		*err = x.store.fail(damaged(p))
	}
}

// Get implements keystore.Reader.
func (x *tx) Get(t keystore.Table, key []byte) (value []byte, err error) {
	if err := keystore.CheckKey(t, key); err != nil {
		return nil, err
	}
	defer x.guard(&err)
	return x.bucket(t).Get(key), nil
}

// Scan implements keystore.Reader.
func (x *tx) Scan(t keystore.Table, prefix, after []byte, fn func(key, value []byte) (bool, error)) error {
	if err := keystore.CheckTable(t); err != nil {
		return err
	}
	var cursor *bolt.Cursor
	writes := -1 // the number of writes that cursor knows of
	for {
		// A write leaves a cursor at no known place.
		seek := writes != len(x.undo)
		key, value, err := x.step(t, &cursor, seek, prefix, after)
		if err != nil || key == nil || !bytes.HasPrefix(key, prefix) {
			return err
		}
		writes = len(x.undo)
		if more, err := fn(key, value); err != nil || !more {
			return err
		}
		after = key
	}
}

// step gives the next record of a scan; the key is nil at the table's end.
func (x *tx) step(t keystore.Table, cursor **bolt.Cursor, seek bool, prefix, after []byte) (key, value []byte, err error) {
	defer x.guard(&err)
	if !seek {
		key, value = (*cursor).Next()
		return key, value, nil
	}
	*cursor = x.bucket(t).Cursor()
	from := prefix
	if after != nil && bytes.Compare(after, prefix) > 0 {
		from = after
	}
	key, value = (*cursor).Seek(from)
	if key != nil && after != nil && bytes.Equal(key, after) {
		key, value = (*cursor).Next()
	}
	return key, value, nil
}

// Put implements keystore.Writer.
func (x *tx) Put(t keystore.Table, key, value []byte) (err error) {
	if err := keystore.CheckRecord(t, key, value); err != nil {
		return err
	}
	defer x.guard(&err)
	x.remember(t, key)
	// bbolt copies the key, but keeps the value until the commit. Not bytes.Clone: an
	// empty value must not become nil.
	if err := x.bucket(t).Put(key, append([]byte{}, value...)); err != nil {
		return x.store.fail(err)
	}
	return nil
}

// Delete implements keystore.Writer.
func (x *tx) Delete(t keystore.Table, key []byte) (err error) {
	if err := keystore.CheckKey(t, key); err != nil {
		return err
	}
	defer x.guard(&err)
	x.remember(t, key)
	if err := x.bucket(t).Delete(key); err != nil {
		return x.store.fail(err)
	}
	return nil
}

// remember notes what a write is about to replace. bbolt does not change a value in
// place, so the slice stays good for as long as the transaction.
func (x *tx) remember(t keystore.Table, key []byte) {
	x.undo = append(x.undo, undo{t, bytes.Clone(key), x.bucket(t).Get(key)})
}

// rollback undoes the writes, newest first. The file is not involved: what it
// touches has been read and is in memory. An error leaves the group in a state that
// nobody asked for, so the store fails.
func (x *tx) rollback() {
	var err error
	defer x.guard(&err)
	for i := len(x.undo) - 1; i >= 0; i-- {
		u := x.undo[i]
		if u.value == nil {
			err = x.bucket(u.table).Delete(u.key)
		} else {
			err = x.bucket(u.table).Put(u.key, u.value)
		}
		if err != nil {
			_ = x.store.fail(err)
			return
		}
	}
}
