package partition

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/seal"
)

// Draft is a partition that has been thought out and not been written: what takes
// long, the password hashes, is done before the store is held.
type Draft struct {
	partition *Partition
	key       []byte
	roles     map[Role]*credential
	domain    []byte // sealed; nil while there is none
	// from is the partition that this one takes the place of, nil for a new one. Its
	// handles are not used again.
	from *Partition
}

// newDraft drafts an uninitialised partition with a key of its own.
func newDraft(c Config, id ID, kind Kind, i Identity) (*Draft, error) {
	if err := CheckLabel(i.Label); err != nil {
		return nil, err
	}
	pub := seal.NewPartPub()
	defer pub.Wipe()
	p, err := newPartition(c, id, kind, i, pub)
	if err != nil {
		return nil, err
	}
	return &Draft{
		partition: p,
		key:       c.Key.WrapPartPub(uint64(id), pub),
		roles:     make(map[Role]*credential),
	}, nil
}

// Create writes a new partition, which its Partition SO has to initialise.
func Create(w keystore.Writer, c Config, id ID, i Identity) error {
	d, err := newDraft(c, id, Application, i)
	if err != nil {
		return err
	}
	return d.Write(w)
}

// NewDraft drafts a partition with roles at once, whose PINs are not initial ones. The
// PINs remain the caller's.
func NewDraft(c Config, id ID, kind Kind, i Identity, pins map[Role]secret.Bytes) (*Draft, error) {
	d, err := newDraft(c, id, kind, i)
	if err != nil {
		return nil, err
	}
	var kek *seal.PartKEK
	if kind == Application {
		kek = seal.NewPartKEK()
		defer kek.Wipe()
	}
	for role, pin := range pins {
		held := kek
		if !role.usesPrivate() && !d.officerHolds(role) {
			held = nil
		}
		if d.roles[role], err = d.partition.newCredential(role, 1, held, pin); err != nil {
			return nil, fmt.Errorf("the %v: %w", role, err)
		}
	}
	if kind == Application {
		d.setDomain(randomDomain())
	}
	return d, nil
}

// officerHolds tells whether a Partition SO has a wrap of PartKEK: only where he may
// reset the Crypto Officer.
func (d *Draft) officerHolds(role Role) bool {
	return role == RolePartitionSO && d.partition.config.HSMPolicies().On(policy.ResetPIN)
}

func (d *Draft) setDomain(domain secret.Bytes) {
	d.domain = d.partition.records.Seal(nil, domain.Expose(), domainContext(d.partition.id))
	domain.Wipe()
}

// MaxDomain is the most that a domain string may have, in bytes.
const MaxDomain = 128

func randomDomain() secret.Bytes {
	const size = 32
	d := secret.New(size)
	rand.Read(d.Expose())
	return d
}

func domainContext(id ID) seal.Context { return seal.NewContext("domain").Uint64(uint64(id)) }

// Initialize drafts what C_InitToken makes of the partition: empty, under a new
// number, with this identity. On an initialised partition pin is its
// Partition SO's, and a wrong one counts; he and the domain stay. Otherwise pin makes
// him, and an empty domain a random one. PIN and domain remain the caller's.
//
// Errors: CKR_SESSION_EXISTS, CKR_ARGUMENTS_BAD, CKR_PIN_LEN_RANGE, CKR_PIN_INVALID,
// CKR_PIN_INCORRECT, CKR_PIN_LOCKED.
func (p *Partition) Initialize(by Actor, id ID, i Identity, pin, domain secret.Bytes) (*Draft, error) {
	if p.sessions.Load() != 0 {
		return nil, cryptoki.Errorf(cryptoki.CKR_SESSION_EXISTS, "%d sessions are open", p.sessions.Load())
	}
	if domain.Len() > MaxDomain {
		return nil, cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "a domain has at most %d bytes", MaxDomain)
	}
	d, err := newDraft(p.config, id, Application, i)
	if err != nil {
		return nil, err
	}
	d.from = p
	if p.initialized {
		attempt := p.roles[RolePartitionSO]
		attempt.Lock()
		defer attempt.Unlock()
		kek, _, err := p.authenticate(p.stranger(by), RolePartitionSO, pin)
		if err != nil {
			return nil, err
		}
		kek.Wipe()
		if err := p.forgive(RolePartitionSO, func(keystore.Writer) error { return nil }); err != nil {
			return nil, err
		}
	}
	var kek *seal.PartKEK
	if d.officerHolds(RolePartitionSO) {
		kek = seal.NewPartKEK()
		defer kek.Wipe()
	}
	if d.roles[RolePartitionSO], err = d.partition.newCredential(RolePartitionSO, 1, kek, pin); err != nil {
		return nil, err
	}
	return d, d.inherit(p, domain)
}

// inherit gives the draft the domain of the partition that it replaces; of one that
// was not initialised, the domain asked for, or a random one.
func (d *Draft) inherit(p *Partition, domain secret.Bytes) error {
	if !p.initialized {
		if domain.Len() == 0 {
			d.setDomain(randomDomain())
		} else {
			d.setDomain(secret.Copy(domain.Expose()))
		}
		return nil
	}
	if domain.Len() != 0 {
		return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "an initialised partition keeps its domain: name none")
	}
	return p.config.Store.View(func(r keystore.Reader) error {
		sealed, err := r.Get(keystore.TablePartition, p.id.key(keyDomain))
		if err != nil {
			return storeError(err)
		}
		kept, err := p.records.OpenSecret(sealed, domainContext(p.id))
		if err != nil {
			return cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "the domain of partition %d: %w", p.id, err)
		}
		d.setDomain(kept)
		return nil
	})
}

// Zeroized drafts the partition as it was created: uninitialised, under a new number.
func (p *Partition) Zeroized(id ID) (*Draft, error) {
	d, err := newDraft(p.config, id, p.kind, p.Identity())
	if err != nil {
		return nil, err
	}
	d.from = p
	return d, nil
}

// Write makes the partition. One that takes another's place is written before that one
// is erased.
func (d *Draft) Write(w keystore.Writer) error {
	p := d.partition
	if err := w.Put(keystore.TablePartition, p.id.key(keyKey), d.key); err != nil {
		return err
	}
	if err := p.SetIdentity(w, p.Identity()); err != nil {
		return err
	}
	if err := p.putUsage(w, Usage{area: Area(p.id)}); err != nil {
		return err
	}
	if d.domain != nil {
		if err := w.Put(keystore.TablePartition, p.id.key(keyDomain), d.domain); err != nil {
			return err
		}
	}
	for role, c := range d.roles {
		if err := p.putCredential(w, role, c); err != nil {
			return err
		}
	}
	if d.from == nil {
		return nil
	}
	last, err := d.from.lastHandle(w)
	if err != nil {
		return err
	}
	return w.Put(keystore.TableCounter, p.id.key(keyHandle), binary.BigEndian.AppendUint64(nil, uint64(last)))
}

// Erase removes the partition's key and all that is small. Nothing of the partition
// can be read any more; Sweep removes the rest, of the partition and of the area that is
// returned.
func Erase(w keystore.Writer, id ID) (area ID, err error) {
	usage, err := w.Get(keystore.TableCounter, id.key(keyUsage))
	if err != nil {
		return 0, err
	}
	if len(usage) < usageSize {
		return 0, errRecord
	}
	area = ID(binary.BigEndian.Uint32(usage[16:]))
	for _, table := range []keystore.Table{keystore.TablePartition, keystore.TableCounter} {
		if _, err := sweep(w, table, id, 0); err != nil {
			return 0, err
		}
	}
	return area, nil
}

// exists checks that the partition has not been erased since it was opened, which it may
// not have heard of. Error: CKR_DEVICE_REMOVED.
func (p *Partition) exists(r keystore.Reader) error {
	key, err := r.Get(keystore.TablePartition, p.id.key(keyKey))
	if err == nil && key == nil {
		err = cryptoki.Errorf(cryptoki.CKR_DEVICE_REMOVED, "the partition was erased")
	}
	return err
}

// sweepBatch is how many records Sweep removes in one transaction.
const sweepBatch = 2000

// Sweep removes some of what an erased partition or an area left, and tells whether that
// was all.
func Sweep(s keystore.Store, id ID) (done bool, err error) {
	err = s.Update(func(w keystore.Writer) error {
		left := sweepBatch
		for _, table := range []keystore.Table{keystore.TableObject, keystore.TableIndex, keystore.TableCounter, keystore.TablePartition} {
			n, err := sweep(w, table, id, left)
			if err != nil {
				return err
			}
			if left -= n; left == 0 {
				return nil
			}
		}
		done = true
		return nil
	})
	return done, storeError(err)
}

// sweep deletes a partition's records of one table, at most limit of them unless that
// is 0, and tells how many there were.
func sweep(w keystore.Writer, table keystore.Table, id ID, limit int) (int, error) {
	var keys [][]byte
	err := w.Scan(table, id.objectPrefix(), nil, func(key, _ []byte) (bool, error) {
		keys = append(keys, append([]byte(nil), key...))
		return limit == 0 || len(keys) < limit, nil
	})
	if err != nil {
		return 0, err
	}
	for _, key := range keys {
		if err := w.Delete(table, key); err != nil {
			return 0, err
		}
	}
	return len(keys), nil
}

// stranger is somebody who acts on the partition without being one of its members.
func (p *Partition) stranger(by Actor) *Member { return &Member{partition: p, actor: by} }

// Record writes an entry about the partition by somebody without a session.
func (p *Partition) Record(w keystore.Writer, by Actor, role Role, r audit.Record) error {
	return p.stranger(by).record(w, role, r)
}

// Succeed makes the permit epochs of the partition later than all of the one whose place in a
// slot it takes: an application that knows a later one would take no permit any more.
func (p *Partition) Succeed(before *Partition) {
	before.mu.Lock()
	defer before.mu.Unlock()
	var most uint64
	for m := range before.members {
		most = max(most, m.epoch.Load())
	}
	p.epoch.Store(before.epoch.Load() + most + lastEpochs)
}

// lastEpochs is more than what goes with a partition that retires can move an epoch on.
const lastEpochs = 1 << 24

// Retire ends every session and login for good: the partition has been erased, or its
// place is another's.
func (p *Partition) Retire() {
	p.retired.Store(true)
	p.mu.Lock()
	members := make([]*Member, 0, len(p.members))
	for m := range p.members {
		members = append(members, m)
	}
	p.mu.Unlock()
	for _, m := range members {
		m.Leave(false)
	}
	p.config.Verifier.ForgetPartition(uint64(p.id))
}

// ID is the number that the drafted partition is to have.
func (d *Draft) ID() ID { return d.partition.id }
