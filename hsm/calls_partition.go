package hsm

import (
	"encoding/hex"
	"slices"
	"strings"
	"sync"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/wire"
)

// administer checks that the session is the HSM SO's, and keeps other acts out until the
// caller releases h.acts.
func (r *request) administer() error {
	r.hsm.acts.Lock()
	if err := r.session.Authorized(partition.RoleHSMSO); err != nil {
		r.hsm.acts.Unlock()
		return err
	}
	return nil
}

// as is the session's caller for the audit log, as the HSM SO.
func (r *request) as() audit.Actor {
	by := r.by()
	by.Role = audit.RoleHSMSO
	return by
}

// actor is the caller as partitions know him.
func (r *request) actor() partition.Actor {
	return partition.Actor{
		Application: r.app.number, ID: r.app.id, Secret: r.app.secret, UID: r.caller.UID, PID: r.caller.PID, Program: r.app.program,
	}
}

var errGone = cryptoki.Errorf(cryptoki.CKR_DEVICE_REMOVED, "the partition was erased meanwhile")

func (r *request) partitionInit(q *wire.PartitionInitRequest, p *wire.PartitionInitReply) (err error) {
	pin, domain := secret.Take(q.PIN), secret.Take(q.Domain)
	defer pin.Wipe()
	defer domain.Wipe()
	h := r.hsm
	part, identity, err := r.initial(q, p)
	if err != nil || q.DryRun {
		return err
	}
	id, err := h.reserve()
	if err != nil {
		return err
	}
	// Whoever administers does not wait for the password hashes of this.
	draft, err := part.Initialize(r.actor(), id, identity, pin, domain)
	if err != nil {
		h.numbers.unused(id)
		return err
	}
	defer h.sweepAfter(&err)
	h.acts.Lock()
	defer h.acts.Unlock()
	// What was administered meanwhile holds.
	now, identity, err := r.initial(q, p)
	switch {
	case err != nil:
		return err
	case now != part:
		return errGone
	}
	draft.SetIdentity(identity)
	by := r.by()
	by.Role = audit.RolePartitionSO
	entry := audit.Record{
		Event: audit.EventPartitionInit, Actor: by, Partition: uint32(id), Detail: changed(part.Identity().Policies.To(identity.Policies)),
	}
	return h.act(entry, func(w keystore.Writer, rec *record) error {
		s := rec.of(part.ID())
		if s == nil {
			return errGone
		}
		return rec.replace(w, s, draft)
	})
}

// initial is the partition that a request initialises, with the identity that it is to have.
func (r *request) initial(q *wire.PartitionInitRequest, p *wire.PartitionInitReply) (*partition.Partition, partition.Identity, error) {
	part, err := r.usable(q.Slot)
	if err != nil {
		return nil, partition.Identity{}, err
	}
	if q.Slot == wire.AdminSlot {
		return nil, partition.Identity{}, cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "the administration's slot is initialised with the HSM (`tidelock hsm init`)")
	}
	i := part.Identity()
	i.Label = q.Label
	if len(q.Policies) > 0 {
		if err := r.applyTemplate(q.Slot, part, &i, q.Policies); err != nil {
			return nil, partition.Identity{}, refused(&p.Fault, err)
		}
	}
	return part, i, nil
}

// numbers are partition numbers that were reserved and not used. They are used next, since
// anybody who is assigned to a partition may try to initialise it.
type numbers struct {
	mu   sync.Mutex
	list []partition.ID // guarded by mu
}

func (n *numbers) unused(id partition.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, id)
}

func (n *numbers) take() (id partition.ID, there bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	last := len(n.list) - 1
	if last < 0 {
		return 0, false
	}
	id, n.list = n.list[last], n.list[:last]
	return id, true
}

// reserve gives out a partition number ahead of its use. One that is neither used nor given
// back is lost, which costs nothing.
func (h *HSM) reserve() (id partition.ID, err error) {
	if id, there := h.numbers.take(); there {
		return id, nil
	}
	err = h.store.Update(func(w keystore.Writer) error {
		return h.edit(w, func(r *record) error {
			id = r.take()
			return nil
		})
	})
	return id, err
}

// unnamed is the version of a creation that names none.
const unnamed = ^uint8(0)

// Sizes that a creation may ask for beside a number of bytes.
const (
	sizeShare = 0
	sizeFree  = ^uint64(0)
)

// room is the size that a request means. free is what there is for size and overhead.
func (r *record) room(asked, free uint64) (uint64, error) {
	if free < r.overhead() {
		return 0, cryptoki.Errorf(cryptoki.CKR_DEVICE_MEMORY, "the HSM has %d bytes left, a partition takes %d beside its size", free, r.overhead())
	}
	free -= r.overhead()
	switch asked {
	case sizeShare:
		asked = r.share()
	case sizeFree:
		asked = free
	}
	if asked > free {
		return 0, cryptoki.Errorf(cryptoki.CKR_DEVICE_MEMORY, "the HSM has room for a partition of %d bytes, not of %d", free, asked)
	}
	return asked, nil
}

// mayHave is how many partitions there may be: as many as are licensed, or as the HSM SO
// lets there be.
func (r *record) mayHave() uint64 {
	most := uint64(r.licences)
	if r.policies.Has(policy.MaxPartitions) {
		most = min(most, r.policies.Value(policy.MaxPartitions))
	}
	return most
}

func (r *request) partitionCreate(q *wire.PartitionCreateRequest, p *wire.PartitionCreateReply) error {
	if err := r.administer(); err != nil {
		return err
	}
	h := r.hsm
	defer h.acts.Unlock()
	now := h.state.Load()
	var named *uint8
	if q.Version != unnamed {
		named = &q.Version
	}
	version, err := version(now.record.level, named)
	if err != nil {
		return err
	}
	if err := firmware.ClientAccess(r.app.level, version); err != nil {
		return err
	}
	if err := partition.CheckLabel(q.Label); err != nil {
		return err
	}
	for _, other := range now.partitions {
		if other.Label() == q.Label {
			return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "there is a partition %q already", q.Label)
		}
	}
	if most := now.record.mayHave(); uint64(len(now.record.slots)) >= most {
		return cryptoki.Errorf(cryptoki.CKR_LICENSE_CAPACITY_EXCEEDED, "the HSM may have %d partitions", most)
	}
	size, err := now.record.room(q.Size, now.free())
	if err != nil {
		return err
	}
	table := policy.Partition(now.record.level)
	policies := now.record.defaults(version)
	if err := table.Check(policies, now.record.policies); err != nil {
		return err
	}
	identity := partition.Identity{Label: q.Label, Serial: newSerial(), Size: size, Version: version, Policies: policies}
	id, err := h.reserve()
	if err != nil {
		return err
	}
	entry := audit.Record{
		Event: audit.EventPartitionCreate, Actor: r.as(), Partition: uint32(id), Detail: changed(now.record.defaults(0).To(policies)),
	}
	return h.act(entry, func(w keystore.Writer, rec *record) error {
		if rec.state != StateOperational {
			return cryptoki.Errorf(cryptoki.CKR_USER_NOT_LOGGED_IN, "the HSM was zeroized meanwhile")
		}
		number := rec.free()
		i, _ := rec.find(uint64(number))
		rec.slots = slices.Insert(rec.slots, i, slot{number: number, partition: id})
		*p = wire.PartitionCreateReply{Slot: uint64(number), Serial: identity.Serial}
		return partition.Create(w, h.config, id, identity)
	})
}

// application finds a partition of applications for the HSM SO. Error:
// CKR_SLOT_ID_INVALID.
func (r *request) application(number uint64) (*partition.Partition, error) {
	if number == wire.AdminSlot {
		return nil, cryptoki.Errorf(cryptoki.CKR_SLOT_ID_INVALID, "slot %d is the administration's", number)
	}
	return r.partition(number)
}

func (r *request) partitionDelete(q *wire.PartitionDeleteRequest, _ *wire.PartitionDeleteReply) (err error) {
	defer r.hsm.sweepAfter(&err)
	if err := r.administer(); err != nil {
		return err
	}
	h := r.hsm
	defer h.acts.Unlock()
	part, err := r.application(q.Slot)
	if err != nil {
		return err
	}
	entry := audit.Record{Event: audit.EventPartitionDelete, Actor: r.as(), Partition: uint32(part.ID())}
	return h.act(entry, func(w keystore.Writer, rec *record) error {
		i, there := rec.find(q.Slot)
		if !there {
			return errGone
		}
		id := rec.slots[i].partition
		rec.slots = slices.Delete(rec.slots, i, i+1)
		return rec.erase(w, id)
	})
}

func (r *request) partitionResize(q *wire.PartitionResizeRequest, _ *wire.PartitionResizeReply) error {
	if err := r.administer(); err != nil {
		return err
	}
	h := r.hsm
	defer h.acts.Unlock()
	part, err := r.application(q.Slot)
	if err != nil {
		return err
	}
	now := h.state.Load()
	size, err := now.record.room(q.Size, now.free()+part.Identity().Size+part.Overhead())
	if err != nil {
		return err
	}
	entry := audit.Record{Event: audit.EventPartitionPolicy, Actor: r.as(), Partition: uint32(part.ID()), Detail: "resized"}
	return h.act(entry, func(w keystore.Writer, rec *record) error {
		if rec.of(part.ID()) == nil {
			return errGone
		}
		return part.Resize(w, size)
	})
}

func (r *request) partitionInfo(q *wire.PartitionInfoRequest, p *wire.PartitionInfoReply) error {
	part, err := r.usable(q.Slot)
	if err != nil {
		return err
	}
	u, err := part.Usage()
	if err != nil {
		return err
	}
	i := part.Identity()
	sessions, _ := part.SessionCounts()
	*p = wire.PartitionInfoReply{
		Label: i.Label, Serial: i.Serial, State: "uninitialised", Version: i.Version,
		TotalBytes: i.Size, UsedBytes: u.Used, FreeBytes: i.Size - min(i.Size, u.Used), OverheadBytes: part.Overhead(),
		Objects: u.Objects, Sessions: sessions,
	}
	if part.Initialized() {
		p.State = "initialised"
	}
	for _, role := range part.Roles() {
		s, err := part.RoleState(role.User())
		if err != nil {
			return err
		}
		p.Users = append(p.Users, uint64(role.User()))
		p.RoleFlags = append(p.RoleFlags, uint64(s.Flags()))
		p.AttemptsLeft = append(p.AttemptsLeft, s.AttemptsLeft)
	}
	return nil
}

// maxContents bounds the list of one reply: with labels and ids of the usual lengths it
// fits a frame many times over.
const maxContents = 256

func (r *request) contents(q *wire.ContentsRequest, p *wire.ContentsReply) error {
	limit := int(q.Limit)
	if limit < 1 || limit > maxContents {
		limit = maxContents
	}
	list, more, err := r.session.Contents(cryptoki.ObjectHandle(q.After), limit)
	if err != nil {
		return err
	}
	p.More = more
	for _, c := range list {
		p.Objects = append(p.Objects, uint64(c.Handle))
		p.Classes = append(p.Classes, uint64(c.Class))
		p.KeyTypes = append(p.KeyTypes, uint64(c.KeyType))
		p.Sizes = append(p.Sizes, c.Size)
		// A label is what a program says it is, an id is any bytes; both go out as text.
		p.Labels = append(p.Labels, strings.ToValidUTF8(string(shorten(c.Label)), "\ufffd"))
		p.Ids = append(p.Ids, hex.EncodeToString(shorten(c.ID)))
	}
	return nil
}

// shorten cuts what is for people's eyes, so that a page of it fits a frame.
func shorten(b []byte) []byte {
	const most = 256
	return b[:min(len(b), most)]
}
