package secret

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// smallest and largest bound the size classes, each of which is twice the one
	// below, in bytes. A larger secret has a mapping of its own.
	smallest, largest = 32, 4096
	classCount        = 8
	// chunkSize is how many bytes a class maps at once. The least that RLIMIT_MEMLOCK
	// is set to anywhere, 64 KiB, has room for some of them.
	chunkSize = 16 << 10
	// grace is the time between the loss of the last reference to a secret and the
	// reuse of its memory. A call that was given Expose's slice may still run when
	// nothing refers to the secret itself any more, and the garbage collector does not
	// see the slice. The longest such call is a password hash of a few seconds.
	grace = time.Minute
)

// Arena is memory for secrets: kept out of core dumps, out of the swap space as
// far as RLIMIT_MEMLOCK allows, and out of forked children, with a page without access
// before and behind each mapping. It is safe for concurrent use.
//
// It never gives memory of a class back to the system, so its size is that of the
// most secrets that there were at once.
type Arena struct {
	notice func(error)
	once   sync.Once // for notice
	lock   func([]byte) error
	grace  time.Duration

	classes [classCount]class

	mapped, locked, secrets, used, dropped atomic.Int64
}

// class holds the free pieces of one size.
type class struct {
	mu   sync.Mutex
	free []slot // guarded by mu
	all  int    // guarded by mu; pieces there are
}

// slot is a piece of the arena, in its whole length; all zeros while it is free.
type slot []byte

// NewArena makes an arena. The first time that memory cannot be locked or mapped it
// calls notice and goes on: without the lock, or with memory of the Go heap.
func NewArena(notice func(error)) *Arena { return newArena(notice, lockPages, grace) }

func newArena(notice func(error), lock func([]byte) error, grace time.Duration) *Arena {
	a := &Arena{notice: notice, lock: lock, grace: grace}
	// A limit that is too small shows at the start, not at the first login.
	for i := range a.classes {
		a.classes[i].mu.Lock()
		a.grow(i)
		a.classes[i].mu.Unlock()
	}
	return a
}

// Usage is the state of an arena.
type Usage struct {
	// Secrets are those that live now, Bytes their sizes together.
	Secrets, Bytes int64
	// Mapped and Locked are bytes of memory.
	Mapped, Locked int64
	// Dropped counts secrets that were lost without Wipe.
	Dropped int64
}

// Usage counts what the arena holds.
func (a *Arena) Usage() Usage {
	return Usage{a.secrets.Load(), a.used.Load(), a.mapped.Load(), a.locked.Load(), a.dropped.Load()}
}

// current is where New allocates; nil is the Go heap.
var current atomic.Pointer[Arena]

// SetArena makes New allocate from a, or from the Go heap when a is nil. Secrets
// that exist stay where they are.
func SetArena(a *Arena) { current.Store(a) }

// classOf is the index of the class that n bytes go into.
func classOf(n int) int {
	i := 0
	for size := smallest; size < n; size *= 2 {
		i++
	}
	return i
}

// loan is a piece of the arena that a secret has.
type loan struct {
	arena *Arena
	slot  slot
	size  int      // of the secret
	own   *mapping // nil for a piece of a class
	ended atomic.Bool
}

// take lends a piece for n bytes, all zeros; nil when there is no memory.
func (a *Arena) take(n int) *loan {
	l := &loan{arena: a, size: n}
	if n <= largest {
		l.slot = a.piece(classOf(n))
	} else if l.own = a.pages(n); l.own != nil {
		// The end is where the guard page begins.
		l.slot = slot(l.own.usable[len(l.own.usable)-n:])
	}
	if l.slot == nil {
		return nil
	}
	a.secrets.Add(1)
	a.used.Add(int64(n))
	return l
}

// end wipes the piece and gives it back, once: two wipes at a time are a fault of the
// caller, but not one that gives two secrets the same memory.
func (l *loan) end() {
	if l.ended.Swap(true) {
		return
	}
	a := l.arena
	Wipe(l.slot)
	a.secrets.Add(-1)
	a.used.Add(-int64(l.size))
	if l.own != nil {
		a.drop(l.own)
		return
	}
	c := &a.classes[classOf(len(l.slot))]
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free = append(c.free, l.slot)
}

// lost is called when nothing refers to the secret any more though it was not wiped.
func (l *loan) lost() {
	l.arena.dropped.Add(1)
	time.AfterFunc(l.arena.grace, l.end)
}

func (a *Arena) piece(i int) slot {
	c := &a.classes[i]
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.free) == 0 && !a.grow(i) {
		return nil
	}
	last := len(c.free) - 1
	s := c.free[last]
	c.free = c.free[:last]
	return s
}

// grow gives a class another chunk; false when there is no memory. The class's
// mutex is held.
func (a *Arena) grow(i int) bool {
	m := a.pages(chunkSize)
	if m == nil {
		return false
	}
	c, size := &a.classes[i], smallest<<i
	c.all += len(m.usable) / size
	// Room for all pieces: giving one back does not allocate.
	free := make([]slot, len(c.free), c.all)
	copy(free, c.free)
	for rest := m.usable; len(rest) >= size; rest = rest[size:] {
		free = append(free, rest[:size:size])
	}
	c.free = free
	return true
}

// mapping is memory from the system.
type mapping struct {
	whole  []byte // with the guard pages
	usable []byte
	locked bool
}

// pages maps and locks memory for n bytes.
func (a *Arena) pages(n int) *mapping {
	m, err := newMapping(n)
	if err != nil {
		a.once.Do(func() { a.notice(fmt.Errorf("secrets have no memory of their own: %w", err)) })
		return nil
	}
	a.mapped.Add(int64(len(m.usable)))
	if err := a.lock(m.usable); err != nil {
		a.once.Do(func() { a.notice(fmt.Errorf("memory for secrets cannot be locked: %w", err)) })
		return m
	}
	m.locked = true
	a.locked.Add(int64(len(m.usable)))
	return m
}

func (a *Arena) drop(m *mapping) {
	a.mapped.Add(-int64(len(m.usable)))
	if m.locked {
		a.locked.Add(-int64(len(m.usable)))
	}
	m.unmap()
}
