// Package boltstore keeps a keystore in one file, by bbolt: a copy-on-write B+tree
// that is read through a memory map.
//
// # Why a commit survives a crash
//
// A transaction writes changed pages only to pages that no reachable state uses,
// flushes them, then writes one of two alternating meta pages, which names the
// new root and carries a transaction number and a checksum, and flushes again.
// Opening takes the meta page with the higher number whose checksum holds. So at
// each point of a commit there is one whole state: until the meta page is
// complete the old one, whose pages nobody has touched, then the new one. Pages
// that a commit frees are reused only by a later commit, when the meta page that
// still names them can no longer be the one to fall back to. The file grows by
// truncation and a full fsync before pages behind its old end are written.
// Flushing is fdatasync(2), which includes the metadata that reading the data
// back needs.
//
// # Damaged files
//
// A damaged page gives an error and fails the store, where bbolt would end the
// process. That is no defence against a file made to harm: a forged page count can
// still keep a commit busy for very long. What the records hold is protected by
// their seals, not here.
//
// It may import keystore, bbolt and the standard library.
package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"tidelock.dev/tidelock/keystore"
)

// lockTimeout is how long opening waits for another process to let the file go:
// enough for one that is just ending.
const lockTimeout = 2 * time.Second

// Format is the version of the layout that this package writes. A file of another
// version is refused.
const Format = 1

// The bucket that says what the file is, and its one record: magic, then Format
// in four big-endian bytes.
var (
	headerBucket = []byte("header")
	headerKey    = []byte("format")
	magic        = []byte("tidelock keystore\x00")
)

// ErrInUse is returned by Open for a file that a process, this one included, holds
// open.
var ErrInUse = errors.New("boltstore: in use by another process")

// Store is a keystore.Store in a file. While it is open it holds an exclusive lock
// on the file.
type Store struct {
	path string
	db   *bolt.DB
	file *os.File // the database's, which closes it

	waiting atomic.Int64 // updates that have not yet joined a group
	mu      sync.Mutex   // serialises the functions of updates and commits; guards group
	group   *group       // the open group, nil when there is none

	failed  atomic.Pointer[error]
	closing sync.RWMutex // held for reading by each transaction
	closed  bool
}

var _ keystore.Store = (*Store)(nil)

// Create makes a new store at path, readable and writable by its owner alone. The
// file must not exist (fs.ErrExist), its directory must. The file and its name are
// durable when Create returns.
func Create(path string) (*Store, error) {
	created := false
	db, file, err := open(path, func(path string, flag int, mode os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(path, flag|os.O_EXCL, mode)
		created = err == nil
		return f, err
	}, initialise)
	if err != nil {
		if created {
			_ = os.Remove(path)
		}
		return nil, fmt.Errorf("boltstore: create %s: %w", path, err)
	}
	return &Store{path: path, db: db, file: file}, nil
}

// Open opens the store at path, which must exist (fs.ErrNotExist). It returns
// ErrInUse when the file is open elsewhere.
func Open(path string) (*Store, error) {
	db, file, err := open(path, func(path string, flag int, mode os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(path, flag&^os.O_CREATE, mode)
		if err != nil {
			return nil, err
		}
		// bbolt would lay out an empty file as a new one.
		if info, err := f.Stat(); err != nil || info.Size() == 0 {
			_ = f.Close()
			return nil, errors.Join(err, errors.New("not a keystore: the file is empty, or its creation was interrupted"))
		}
		return f, nil
	}, check)
	if err != nil {
		return nil, fmt.Errorf("boltstore: open %s: %w", path, err)
	}
	return &Store{path: path, db: db, file: file}, nil
}

// open opens path by bbolt, with openFile to open the file itself, and goes on with
// ready. The file stays bbolt's.
func open(path string, openFile func(string, int, os.FileMode) (*os.File, error), ready func(*bolt.DB) error) (db *bolt.DB, file *os.File, err error) {
	err = guarded(func() (err error) {
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout: lockTimeout,
			// With the array the cost of a commit grows with the number of free pages.
			FreelistType: bolt.FreelistMapType,
			OpenFile: func(path string, flag int, mode os.FileMode) (f *os.File, err error) {
				file, err = openFile(path, flag, mode)
				return file, err
			},
		})
		return err
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, nil, ErrInUse
	}
	if err != nil {
		// When bbolt panics it leaves the file open and mapped. The map alone would keep
		// the lock.
		if file != nil {
			_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
			_ = file.Close()
		}
		return nil, nil, err
	}
	if err := guarded(func() error { return ready(db) }); err != nil {
		_ = db.Close()
		return nil, nil, err
	}
	return db, file, nil
}

// initialise writes the tables and the format record of a new file, and makes its
// name durable.
func initialise(db *bolt.DB) error {
	err := db.Update(func(tx *bolt.Tx) error {
		for _, t := range keystore.Tables {
			if _, err := tx.CreateBucket(bucketName(t)); err != nil {
				return err
			}
		}
		b, err := tx.CreateBucket(headerBucket)
		if err != nil {
			return err
		}
		return b.Put(headerKey, binary.BigEndian.AppendUint32(bytes.Clone(magic), Format))
	})
	if err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(db.Path()))
}

// check makes sure that a file is a whole keystore of this format.
func check(db *bolt.DB) error {
	return db.View(func(tx *bolt.Tx) error {
		if err := inspectFile(db); err != nil {
			return fmt.Errorf("the file is damaged: %w", err)
		}
		b := tx.Bucket(headerBucket)
		if b == nil {
			return errors.New("not a keystore, or its creation was interrupted")
		}
		version, ok := bytes.CutPrefix(b.Get(headerKey), magic)
		if !ok || len(version) != 4 {
			return errors.New("not a keystore: it has no format record")
		}
		if v := binary.BigEndian.Uint32(version); v != Format {
			return fmt.Errorf("the file has format %d, this program reads format %d", v, Format)
		}
		for _, t := range keystore.Tables {
			if tx.Bucket(bucketName(t)) == nil {
				return fmt.Errorf("the file is damaged: table %s is missing", t)
			}
		}
		return nil
	})
}

// inspectFile checks the structure of a database's file.
func inspectFile(db *bolt.DB) error {
	f, err := os.Open(db.Path())
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return inspect(f, info.Size(), db.Info().PageSize)
}

// guarded calls fn, which uses the file's pages, and makes an error of the panic by
// which bbolt reports a damaged one. A damaged page can also lead outside of the
// memory map; that fault becomes an error too, instead of the end of the process.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the file is damaged: %v", p)
		}
	}()
	return fn()
}

// syncDirectory makes the names in a directory durable.
func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// bucketName is the name of a table's bucket: its number, in one byte.
func bucketName(t keystore.Table) []byte { return []byte{byte(t)} }

// View implements keystore.Store.
func (s *Store) View(fn func(keystore.Reader) error) error {
	s.closing.RLock()
	defer s.closing.RUnlock()
	if err := s.usable(); err != nil {
		return err
	}
	btx, err := s.db.Begin(false)
	if err != nil {
		return s.fail(err)
	}
	defer func() { _ = btx.Rollback() }()
	return fn(&tx{store: s, bolt: btx})
}

// usable returns ErrClosed or ErrFailed. The caller holds closing.
func (s *Store) usable() error {
	if s.closed {
		return keystore.ErrClosed
	}
	return s.Failed()
}

// Failed implements keystore.Store.
func (s *Store) Failed() error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// fail makes the store fail for good, and returns the error that it fails with:
// that of the first cause.
func (s *Store) fail(cause error) error {
	err := keystore.Fail(fmt.Errorf("%s: %w", s.path, cause))
	s.failed.CompareAndSwap(nil, &err)
	return s.Failed()
}

// Close implements keystore.Store.
func (s *Store) Close() error {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed {
		return keystore.ErrClosed
	}
	s.closed = true
	return s.db.Close()
}
