package boltstore

import (
	"bytes"
	"fmt"
	"syscall"

	bolt "go.etcd.io/bbolt"
)

// bbolt frees the pages of what was deleted or replaced, and leaves their bytes until
// another update needs the page. Scrub overwrites free pages with zeros where they lie,
// which a fresh copy of the file would not do: the blocks of the old file would be the file
// system's, unwritten. Nothing reachable uses a free page, so a crash at any point leaves
// the store as it was. What an update that was cut off has written behind the pages of the
// newest state, copies of older records among it, is overwritten like free pages.
//
// It goes through the file in steps, each of them without a transaction beside it: a view
// that began before an update still reads the pages which that has freed.

// A step writes at most scrubWrites bytes and flushes them, and looks at most at scrubReads
// bytes to find them: as long as a commit takes, or little more (docs/rationale.md).
const (
	scrubWrites = 2 << 20
	scrubReads  = 8 << 20
)

// span is a run of pages: the first, and the one behind the last.
type span struct{ first, end int }

// Scrub implements keystore.Store. The space of free pages goes back to the file system
// where that can be; the file keeps its length.
func (s *Store) Scrub() error {
	for page := 0; ; {
		next, more, err := s.scrubFrom(page)
		if err != nil || !more {
			return err
		}
		page = next
	}
}

// scrubFrom makes one step, from a page on. It tells where the next begins.
func (s *Store) scrubFrom(page int) (next int, more bool, err error) {
	s.closing.Lock()
	defer s.closing.Unlock()
	if err := s.usable(); err != nil {
		return 0, false, err
	}
	// An update that changes nothing: with it, bbolt calls free what only views still used.
	btx, err := s.db.Begin(true)
	if err != nil {
		return 0, false, s.fail(err)
	}
	defer giveUp(btx)
	var dirty []span
	err = guarded(func() (err error) {
		dirty, next, more, err = s.dirty(btx, page)
		return err
	})
	if err == nil {
		err = s.blank(dirty)
	}
	if err != nil {
		return 0, false, s.fail(fmt.Errorf("overwriting free pages: %w", err))
	}
	return next, more, nil
}

// dirty finds pages that nothing reaches and that are not blank, from a page on, as many as
// one step may write.
func (s *Store) dirty(btx *bolt.Tx, page int) (list []span, next int, more bool, err error) {
	file, err := s.file.Stat()
	if err != nil {
		return nil, 0, false, err
	}
	size := s.db.Info().PageSize
	end := int(file.Size() / int64(size))
	b, zeros := make([]byte, size), make([]byte, size)
	for write, read := 0, 0; write < scrubWrites && read < scrubReads; page++ {
		if page >= end {
			return list, page, false, nil
		}
		info, err := btx.Page(page)
		if err != nil {
			return nil, 0, false, err
		}
		if info != nil && info.Type != "free" { // nil behind the newest state's pages
			continue
		}
		read += size
		if _, err := s.file.ReadAt(b, int64(page)*int64(size)); err != nil {
			return nil, 0, false, err
		}
		if bytes.Equal(b, zeros) {
			continue
		}
		write += size
		if n := len(list); n > 0 && list[n-1].end == page {
			list[n-1].end++
		} else {
			list = append(list, span{page, page + 1})
		}
	}
	return list, page, true, nil
}

// fallocate's modes (fallocate(2)).
const (
	keepSize  = 0x01
	punchHole = 0x02
)

// blank overwrites pages durably, and then gives their space back: the other way round
// their blocks would be free with what is in them.
func (s *Store) blank(dirty []span) error {
	if len(dirty) == 0 {
		return nil
	}
	size := int64(s.db.Info().PageSize)
	for _, d := range dirty {
		if _, err := s.file.WriteAt(make([]byte, int64(d.end-d.first)*size), int64(d.first)*size); err != nil {
			return err
		}
	}
	fd := int(s.file.Fd())
	if err := syscall.Fdatasync(fd); err != nil {
		return err
	}
	for _, d := range dirty {
		// A file system that cannot keeps the zeros.
		_ = syscall.Fallocate(fd, keepSize|punchHole, int64(d.first)*size, int64(d.end-d.first)*size)
	}
	return nil
}
