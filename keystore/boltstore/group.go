package boltstore

import (
	bolt "go.etcd.io/bbolt"

	"tidelock.dev/tidelock/keystore"
)

// maxGroup bounds the updates of one group, so that a stream of updates that never
// pauses is flushed all the same.
const maxGroup = 256

// group is the updates that are flushed together, in one bbolt transaction. Each
// caller runs its function itself, in turn, and the one behind whom nobody waits
// commits: while it flushes, the next group gathers at the lock. A caller alone
// waits for nobody.
type group struct {
	bolt  *bolt.Tx
	size  int
	dirty bool          // something was written
	done  chan struct{} // closed when the group's fate is known
	err   error         // that fate; valid when done is closed
}

// Update implements keystore.Store. It calls fn once.
func (s *Store) Update(fn func(keystore.Writer) error) error {
	s.closing.RLock()
	defer s.closing.RUnlock()

	g, err := s.join(fn)
	if g == nil {
		return err
	}
	<-g.done
	// An error of fn can rest on what it read of the group's other updates, and so it
	// counts only when those were committed.
	if g.err != nil {
		return g.err
	}
	return err
}

// join runs fn in the open group, and closes the group when it is its turn to. The
// group is nil when the store takes no updates.
func (s *Store) join(fn func(keystore.Writer) error) (g *group, err error) {
	s.waiting.Add(1)
	s.mu.Lock()
	// Deferred, because fn may panic: the others of the group must not wait for ever.
	defer func() {
		if last := s.waiting.Add(-1) == 0; s.group != nil && (last || s.group.size >= maxGroup) {
			s.commit()
		}
		s.mu.Unlock()
	}()

	if err := s.usable(); err != nil {
		return nil, err
	}
	if s.group == nil {
		btx, err := s.db.Begin(true)
		if err != nil {
			return nil, s.fail(err)
		}
		s.group = &group{bolt: btx, done: make(chan struct{})}
	}
	g = s.group
	g.size++
	return g, g.run(s, fn)
}

// run executes one function, and undoes its writes unless it succeeds.
func (g *group) run(s *Store, fn func(keystore.Writer) error) (err error) {
	w := &tx{store: s, bolt: g.bolt}
	ok := false
	defer func() {
		if !ok {
			w.rollback()
		} else if len(w.undo) > 0 {
			g.dirty = true
		}
	}()
	if err = fn(w); err == nil {
		err = s.Failed() // a write met a damaged page, and fn overlooked its error
	}
	ok = err == nil
	return err
}

// commit flushes the open group and tells its members. The caller holds mu.
func (s *Store) commit() {
	g := s.group
	s.group = nil
	defer close(g.done)
	if g.err = s.Failed(); g.err != nil || !g.dirty {
		giveUp(g.bolt)
		return
	}
	if err := guarded(g.bolt.Commit); err != nil {
		g.err = s.fail(err)
		giveUp(g.bolt)
	}
}

// giveUp gives bbolt's lock back, which Close would wait for. After a failed commit
// there is mostly nothing left to do, which bbolt reports as an error.
func giveUp(btx *bolt.Tx) { _ = guarded(btx.Rollback) }
