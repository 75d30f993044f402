package partition

import (
	"encoding/binary"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/keystore"
)

// An area is where a partition's objects and their index lie in the store. The partition
// may move to another area, or to an empty one, with one small update; Sweep removes
// what the old one held. Areas have numbers of their own, among those of partitions and
// with the top bit set.
const areaBit ID = 1 << 31

// Area is the area of a number that was given out as a partition's.
func Area(id ID) ID { return id | areaBit }

// where is the area of the partition's objects.
func (p *Partition) where() ID { return ID(p.area.Load()) }

func (p *Partition) objectPrefix() []byte { return p.where().objectPrefix() }

func (id ID) objectPrefix() []byte { return binary.BigEndian.AppendUint32(nil, uint32(id)) }

// Clear leaves the partition without objects, inside an update, under an identity that
// Cleared makes the running partition's. It returns the area to sweep.
func (p *Partition) Clear(w keystore.Writer, area ID, i Identity) (old ID, err error) {
	u, err := p.usage(w)
	if err != nil {
		return 0, err
	}
	if err := p.putUsage(w, Usage{area: area}); err != nil {
		return 0, err
	}
	if i.Version == 0 {
		if err := p.Dismiss(w, RoleLimitedCryptoOfficer); err != nil {
			return 0, err
		}
	}
	return u.area, p.SetIdentity(w, i)
}

// Cleared makes a durable Clear seen. Logins and sessions stay, but for those of roles that
// the partition has no longer, whose end is recorded; session objects, which were the
// partition's too, are gone, and with the keys every operation.
func (p *Partition) Cleared(area ID, i Identity) error {
	ended := p.cleared(area, i)
	if len(ended) == 0 {
		return nil
	}
	return storeError(p.config.Store.Update(func(w keystore.Writer) error {
		for m, role := range ended {
			if err := m.record(w, role, audit.Record{Event: audit.EventLogout, Detail: "the partition became version 0"}); err != nil {
				return err
			}
		}
		return nil
	}))
}

// cleared is the part of Cleared that is in memory. It tells whose logins have ended.
func (p *Partition) cleared(area ID, i Identity) (ended map[*Member]Role) {
	ended = make(map[*Member]Role)
	p.area.Store(uint32(area))
	p.Adopt(i)
	p.cache.removeAll()
	p.budgets.Clear()
	p.mu.Lock()
	defer p.mu.Unlock()
	for m := range p.members {
		if role := m.Role(); role != RoleNone && !p.has(role) {
			ended[m] = p.exit(m)
		}
		m.epoch.Add(1)
		m.mu.Lock()
		m.dropLocked(func(*sessionObject) bool { return true })
		m.mu.Unlock()
	}
	return ended
}
