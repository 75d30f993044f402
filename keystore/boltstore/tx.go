package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"

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

// use calls fn, which uses the file's pages, and fails the store when it meets a
// damaged one. A caller's function must not be inside: its panics are its own.
func (x *tx) use(fn func() error) error {
	if err := guarded(fn); err != nil {
		return x.store.fail(err)
	}
	return nil
}

// Get implements keystore.Reader.
func (x *tx) Get(t keystore.Table, key []byte) (value []byte, err error) {
	if err := keystore.CheckKey(t, key); err != nil {
		return nil, err
	}
	err = x.use(func() error {
		value = x.bucket(t).Get(key)
		return probe(value, keystore.MaxValue)
	})
	return value, err
}

// probe touches the ends of what a caller is about to read. In a damaged page they
// can be anywhere, and here the fault is still an error.
func probe(b []byte, limit int) error {
	if len(b) > limit {
		return fmt.Errorf("the file is damaged: a record has a part of %d bytes", len(b))
	}
	if len(b) > 0 {
		runtime.KeepAlive(b[0])
		runtime.KeepAlive(b[len(b)-1])
	}
	return nil
}

// Scan implements keystore.Reader.
func (x *tx) Scan(t keystore.Table, prefix, after []byte, fn func(key, value []byte) (bool, error)) error {
	if err := keystore.CheckTable(t); err != nil {
		return err
	}
	var cursor *bolt.Cursor
	for {
		var key, value []byte
		err := x.use(func() error {
			if cursor != nil {
				key, value = cursor.Next()
			} else {
				cursor = x.bucket(t).Cursor()
				key, value = seek(cursor, prefix, after)
			}
			return errors.Join(probe(key, keystore.MaxKey), probe(value, keystore.MaxValue))
		})
		if err != nil || key == nil || !bytes.HasPrefix(key, prefix) {
			return err
		}
		writes := len(x.undo)
		if more, err := fn(key, value); err != nil || !more {
			return err
		}
		if len(x.undo) != writes {
			cursor = nil // a write leaves it at no known place
		}
		after = key
	}
}

// seek finds the first record of a scan.
func seek(cursor *bolt.Cursor, prefix, after []byte) (key, value []byte) {
	if after == nil || bytes.Compare(after, prefix) < 0 {
		return cursor.Seek(prefix)
	}
	key, value = cursor.Seek(after)
	if key != nil && bytes.Equal(key, after) {
		return cursor.Next()
	}
	return key, value
}

// Put implements keystore.Writer.
func (x *tx) Put(t keystore.Table, key, value []byte) error {
	if err := keystore.CheckRecord(t, key, value); err != nil {
		return err
	}
	return x.use(func() error {
		x.remember(t, key)
		// bbolt copies the key, but keeps the value until the commit. Not bytes.Clone: an
		// empty value must not become nil.
		return x.bucket(t).Put(key, append([]byte{}, value...))
	})
}

// Delete implements keystore.Writer.
func (x *tx) Delete(t keystore.Table, key []byte) error {
	if err := keystore.CheckKey(t, key); err != nil {
		return err
	}
	return x.use(func() error {
		x.remember(t, key)
		return x.bucket(t).Delete(key)
	})
}

// remember notes what a write is about to replace. bbolt does not change a value in
// place, so the slice stays good for as long as the transaction.
func (x *tx) remember(t keystore.Table, key []byte) {
	x.undo = append(x.undo, undo{t, bytes.Clone(key), x.bucket(t).Get(key)})
}

// rollback undoes the writes, newest first. What it touches was read before and is
// in memory, so no error is expected; one would leave the group in a state that
// nobody asked for, and so it fails the store.
func (x *tx) rollback() {
	_ = x.use(func() error {
		for _, u := range slices.Backward(x.undo) {
			b := x.bucket(u.table)
			if u.value == nil {
				if err := b.Delete(u.key); err != nil {
					return err
				}
			} else if err := b.Put(u.key, u.value); err != nil {
				return err
			}
		}
		return nil
	})
}
