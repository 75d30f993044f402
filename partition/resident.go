package partition

import (
	"sync"
	"sync/atomic"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/object"
)

// resident is an object in memory with its value opened. It does not change: an
// object that is changed becomes another resident.
type resident struct {
	handle cryptoki.ObjectHandle
	object *object.Object

	key    atomic.Pointer[mech.Key] // parsed at the first use
	budget atomic.Pointer[budget]   // found at the first use: budgetOf
	used   atomic.Bool              // a first use is in the audit log
}

// parsedKey returns the key in its mechanisms' form. Two callers may parse at
// once, which costs less than a lock that every later use would take.
func (r *resident) parsedKey() (mech.Key, error) {
	if k := r.key.Load(); k != nil {
		return *k, nil
	}
	k, err := mech.ParseKey(r.object.Class(), r.object.KeyType(), r.object.Value)
	if err != nil {
		return nil, err
	}
	r.key.Store(&k)
	return k, nil
}

// cache keeps the token objects that are in use. Its bound keeps a partition of
// any size within the same memory; what falls out is read again.
type cache struct {
	mu      sync.RWMutex
	entries map[cryptoki.ObjectHandle]*resident
}

// maxResident is how many token objects a partition keeps in memory.
const maxResident = 16384

func (c *cache) get(h cryptoki.ObjectHandle) *resident {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.entries[h]
}

// put keeps r unless valid says, under the cache's lock, that what r was read
// from has changed meanwhile.
func (c *cache) put(r *resident, valid func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !valid() {
		return
	}
	if len(c.entries) >= maxResident {
		// Go's map order is random enough: an eighth goes, hot objects come back.
		n := maxResident / 8
		for h := range c.entries {
			delete(c.entries, h)
			if n--; n == 0 {
				break
			}
		}
	}
	c.entries[r.handle] = r
}

func (c *cache) remove(h cryptoki.ObjectHandle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, h)
}

func (c *cache) removeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.entries)
}

// removePrivate forgets the private objects, when nobody is logged in any more.
func (c *cache) removePrivate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for h, r := range c.entries {
		if r.object.Private() {
			delete(c.entries, h)
		}
	}
}
