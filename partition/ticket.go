package partition

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/seal"
)

// A ticket lets an application's login outlive the server (docs/wire.md,
// "Tickets"). The application has the ticket, 32 random bytes, in its memory; the
// store has the partition's key sealed under what the HSM's key and the ticket give
// together. Neither is of use without the other.
//
// A ticket record, one for each application and partition, is
//
//	version 1 · role 1 · uid 4 · credential epoch 8 · expiry 8 (Unix seconds) · MAC 32 · sealed key
//
// The MAC is over all but the sealed key. The sealed key is bound to the
// application's secret and to all but the expiry, which the server moves on while the
// application lives, without the ticket.
const (
	ticketVersion = 1
	ticketSize    = 32
	ticketHead    = 1 + 1 + 4 + 8
)

// ticketRecord is a parsed record.
type ticketRecord struct {
	role   Role
	uid    uint32
	epoch  uint64
	expiry time.Time
	sealed []byte
}

func (p *Partition) ticketKey(application [16]byte) []byte {
	return p.id.key(keyTicket, application[:]...)
}

func (t ticketRecord) head() []byte {
	b := []byte{ticketVersion, byte(t.role)}
	b = binary.BigEndian.AppendUint32(b, t.uid)
	return binary.BigEndian.AppendUint64(b, t.epoch)
}

func (p *Partition) ticketContext(application [16]byte, t ticketRecord) seal.Context {
	return seal.NewContext("ticket").Uint64(uint64(p.id)).Bytes(application[:]).Bytes(t.head())
}

// sealedContext is what the member's sealed key is bound to.
func (m *Member) sealedContext(t ticketRecord) seal.Context {
	return m.partition.ticketContext(m.actor.ID, t).Bytes(m.actor.Secret[:])
}

func (p *Partition) encodeTicket(application [16]byte, t ticketRecord) []byte {
	expiry := uint64(t.expiry.Unix())
	sum := p.config.Counters.Sum(p.ticketContext(application, t).Uint64(expiry))
	b := binary.BigEndian.AppendUint64(t.head(), expiry)
	return append(append(b, sum[:]...), t.sealed...)
}

func (p *Partition) parseTicket(application [16]byte, b []byte) (ticketRecord, error) {
	const fixed = ticketHead + 8 + seal.MACSize
	if len(b) < fixed || b[0] != ticketVersion {
		return ticketRecord{}, errRecord
	}
	expiry := binary.BigEndian.Uint64(b[ticketHead:])
	t := ticketRecord{
		role: Role(b[1]), uid: binary.BigEndian.Uint32(b[2:]), epoch: binary.BigEndian.Uint64(b[6:]),
		expiry: time.Unix(int64(expiry), 0), sealed: b[fixed:],
	}
	if !p.config.Counters.Verify(p.ticketContext(application, t).Uint64(expiry), b[ticketHead+8:fixed]) {
		return ticketRecord{}, errRecord
	}
	return t, nil
}

// issue writes a ticket for a login inside an update; the ticket is the caller's.
// It makes none where tickets are off, or where there is no key to keep.
func (p *Partition) issue(w keystore.Writer, m *Member, role Role, epoch uint64, kek *seal.PartKEK, ticket secret.Bytes) error {
	t := ticketRecord{role: role, uid: m.actor.UID, epoch: epoch, expiry: p.config.Now().Add(p.ticketLife())}
	t.sealed = kek.Seal(p.config.Key.Ticket(ticket), m.sealedContext(t))
	return w.Put(keystore.TableCounter, p.ticketKey(m.actor.ID), p.encodeTicket(m.actor.ID, t))
}

// ticketLife is how long a ticket outlives the server now.
func (p *Partition) ticketLife() time.Duration {
	if p.config.TicketLife == nil {
		return 0
	}
	return p.config.TicketLife()
}

// newTicket draws a ticket for a login as role; none where it would be of no use.
func (p *Partition) newTicket(role Role, c *credential) (ticket secret.Bytes, wanted bool) {
	if p.ticketLife() <= 0 || !role.usesPrivate() || c.empty || c.initial {
		return secret.Bytes{}, false
	}
	ticket = secret.New(ticketSize)
	rand.Read(ticket.Expose())
	return ticket, true
}

// Resume logs the member in with a ticket of an earlier server, if that is still
// good: made for this application and user, not expired, the PIN not changed and the
// role not locked since. It tells whether the member is logged in afterwards. Only a
// failure of the store is an error: a ticket that is void is an everyday matter.
func (m *Member) Resume(ticket secret.Bytes) (bool, error) {
	if m.Role() != RoleNone {
		return true, nil
	}
	m.mu.Lock()
	sessions := len(m.sessions)
	m.mu.Unlock()
	p := m.partition
	// A login without a session would outlive the application's last one. Turning
	// tickets off is also for those that were made before.
	if p.ticketLife() <= 0 || ticket.Len() != ticketSize || sessions == 0 {
		return false, nil
	}
	var kek *seal.PartKEK
	var t ticketRecord
	err := p.config.Store.View(func(r keystore.Reader) error {
		b, err := r.Get(keystore.TableCounter, p.ticketKey(m.actor.ID))
		if err != nil || b == nil {
			return err
		}
		if t, err = p.parseTicket(m.actor.ID, b); err != nil {
			return nil // somebody wrote into the store: no login from that
		}
		if _, mine := p.roles[t.role]; !mine {
			return nil
		}
		c, err := p.credentialOf(r, t.role)
		if err != nil || c == nil {
			return err
		}
		tries, err := p.tries(r, t.role)
		if err != nil {
			return err
		}
		if p.locked(t.role, tries) || c.wrap.Epoch != t.epoch || t.uid != m.actor.UID || !p.config.Now().Before(t.expiry) {
			return nil
		}
		kek, _ = seal.OpenPartKEK(p.config.Key.Ticket(ticket), t.sealed, m.sealedContext(t))
		return nil
	})
	if err != nil || kek == nil {
		return false, storeError(err)
	}
	defer kek.Wipe()
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.Role() == RoleNone && p.has(t.role) {
		p.enter(m, t.role, kek, false)
		m.ticketed = true // a logout voids the ticket that was used
	}
	return m.Role() != RoleNone, nil
}

// voidTickets removes the tickets of a role inside an update. The epochs of credentials begin
// anew when the role is made again, so that a ticket could be good for its successor.
func (p *Partition) voidTickets(w keystore.Writer, role Role) error {
	return w.Scan(keystore.TableCounter, p.id.key(keyTicket), nil, func(key, value []byte) (bool, error) {
		// The role is read without a look at the MAC: what somebody has tampered with may go.
		if len(value) > 1 && Role(value[1]) != role {
			return true, nil
		}
		return true, w.Delete(keystore.TableCounter, key)
	})
}

// Tend moves the expiry of the tickets of those who are logged in, and removes the
// tickets that have expired and the counts of keys that ended with an earlier server. The HSM calls it now and then; how often bounds how much
// earlier than configured a ticket may expire.
func (p *Partition) Tend() error {
	p.mu.Lock()
	live := make(map[[16]byte]bool, len(p.members))
	for m := range p.members {
		live[m.actor.ID] = m.Role() != RoleNone
	}
	p.mu.Unlock()
	if err := p.reapLost(); err != nil {
		return err
	}
	now := p.config.Now()
	return storeError(p.config.Store.Update(func(w keystore.Writer) error {
		prefix := p.id.key(keyTicket)
		return w.Scan(keystore.TableCounter, prefix, nil, func(key, value []byte) (bool, error) {
			var application [16]byte
			if copy(application[:], key[len(prefix):]) != len(application) {
				return true, w.Delete(keystore.TableCounter, key)
			}
			t, err := p.parseTicket(application, value)
			switch {
			case err != nil || !live[application] && !now.Before(t.expiry):
				return true, w.Delete(keystore.TableCounter, key)
			case live[application]:
				t.expiry = now.Add(p.ticketLife())
				return true, w.Put(keystore.TableCounter, key, p.encodeTicket(application, t))
			}
			return true, nil
		})
	}))
}
