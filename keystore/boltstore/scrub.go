package boltstore

import (
	"bytes"
	"fmt"
	"syscall"
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
//
// That comes last: where the file system passes it on to the disk, each flush behind it
// waits for the disk to have done it.
func (s *Store) Scrub() error {
	// An earlier process may have ended between writing zeros and flushing them.
	if err := s.step(s.flush); err != nil {
		return err
	}
	written := false
	for page, more := 0, true; more; {
		err := s.step(func() (err error) {
			var dirty []span
			if _, dirty, page, more, err = s.look(page); err != nil {
				return err
			}
			written = written || len(dirty) > 0
			return s.blank(dirty)
		})
		if err != nil {
			return err
		}
	}
	for page, more := 0, written; more; {
		err := s.step(func() (err error) {
			var blank []span
			if blank, _, page, more, err = s.look(page); err != nil {
				return err
			}
			s.punch(blank)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// step does something with free pages while there is no transaction.
func (s *Store) step(do func() error) error {
	s.closing.Lock()
	defer s.closing.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	if err := do(); err != nil {
		return s.fail(fmt.Errorf("overwriting free pages: %w", err))
	}
	return nil
}

// readAhead is how many pages are read at once.
const readAhead = 64

// look tells pages that nothing reaches and that are blank from those that are not, from a
// page on, as many as one step may look at or write. It reads the file and never the memory
// map: a page of the map that lies in a hole can need room on the disk to be read.
func (s *Store) look(page int) (blank, dirty []span, next int, more bool, err error) {
	size := s.db.Info().PageSize
	free, err := s.free()
	if err != nil {
		return nil, nil, 0, false, err
	}
	b, zeros := make([]byte, readAhead*size), make([]byte, size)
	write, read := 0, 0
	for _, f := range free {
		for at := max(f.first, page); at < f.end; {
			if write >= scrubWrites || read >= scrubReads {
				return blank, dirty, at, true, nil
			}
			run := b[:min(f.end-at, readAhead)*size]
			if _, err := s.file.ReadAt(run, int64(at)*int64(size)); err != nil {
				return nil, nil, 0, false, err
			}
			read += len(run)
			for ; len(run) > 0; run, at = run[size:], at+1 {
				if bytes.Equal(run[:size], zeros) {
					blank = extend(blank, at)
				} else {
					dirty = extend(dirty, at)
					write += size
				}
			}
		}
	}
	return blank, dirty, 0, false, nil
}

// extend adds a page behind all others.
func extend(list []span, page int) []span {
	if n := len(list); n > 0 && list[n-1].end == page {
		list[n-1].end++
		return list
	}
	return append(list, span{page, page + 1})
}

// free are the pages of the file that nothing reaches, in their order. While there is no
// transaction the list that the last update wrote names them all, those that bbolt still
// keeps for views that began earlier too; and so are those behind the newest state's end.
func (s *Store) free() (list []span, err error) {
	info, err := s.file.Stat()
	if err != nil {
		return nil, err
	}
	size := s.db.Info().PageSize
	ids, end, err := freePages(s.file, info.Size(), size)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		list = extend(list, int(id))
	}
	if behind := int(info.Size() / int64(size)); int(end) < behind {
		list = append(list, span{int(end), behind})
	}
	return list, nil
}

// fallocate's modes (fallocate(2)).
const (
	keepSize  = 0x01
	punchHole = 0x02
)

// blank overwrites pages, durably.
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
	return s.flush()
}

func (s *Store) flush() error { return syscall.Fdatasync(int(s.file.Fd())) }

// punch gives the space of blank pages back: of others, their blocks would be free with what
// is in them.
func (s *Store) punch(blank []span) {
	size := int64(s.db.Info().PageSize)
	for _, d := range blank {
		// A file system that cannot keeps the zeros.
		_ = syscall.Fallocate(int(s.file.Fd()), keepSize|punchHole, int64(d.first)*size, int64(d.end-d.first)*size)
	}
}
