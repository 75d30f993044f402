package hsm

import (
	"errors"
	"slices"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/wire"
)

// state is the record with what it speaks of, running. It is not changed: refresh puts
// another in its place.
type state struct {
	record         record
	administration *partition.Partition
	partitions     map[uint16]*partition.Partition
}

// policies are the HSM's policies now, level its firmware level. Partitions that are
// being opened see them before the state does.
func (h *HSM) policies() policy.Set { return h.newest.Load().policies }

func (h *HSM) level() firmware.Level { return h.newest.Load().level }

// readRecord reads the record as a transaction sees it.
func (h *HSM) readRecord(r keystore.Reader) (record, error) {
	sealed, err := r.Get(keystore.TableHSM, keyRecord)
	if err != nil {
		return record{}, err
	}
	plain, err := h.key.Records().Open(nil, sealed, recordContext())
	if err != nil {
		return record{}, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "the HSM's record: %w", err)
	}
	return parseRecord(plain)
}

// edit changes the record inside an update.
func (h *HSM) edit(w keystore.Writer, fn func(r *record) error) error {
	r, err := h.readRecord(w)
	if err != nil {
		return err
	}
	if err := fn(&r); err != nil {
		return err
	}
	return w.Put(keystore.TableHSM, keyRecord, h.key.Records().Seal(nil, r.encode(), recordContext()))
}

// act changes the record in an update of its own, together with its entry in the audit
// log, and makes the running HSM follow.
func (h *HSM) act(entry audit.Record, fn func(w keystore.Writer, r *record) error) error {
	err := h.store.Update(func(w keystore.Writer) error {
		if err := h.edit(w, func(r *record) error { return fn(w, r) }); err != nil {
			return err
		}
		return h.audit.Append(w, entry)
	})
	if err != nil {
		return err
	}
	return h.refresh()
}

// refresh makes the running HSM what the record says: partitions that are new, or of
// another firmware level, are opened, those that are gone are retired, which ends their
// sessions.
func (h *HSM) refresh() error {
	h.refreshing.Lock()
	defer h.refreshing.Unlock()
	next := &state{partitions: make(map[uint16]*partition.Partition)}
	err := h.store.View(func(r keystore.Reader) (err error) {
		next.record, err = h.readRecord(r)
		return err
	})
	if err != nil {
		return err
	}
	h.newest.Store(&next.record)
	var gone []*partition.Partition
	last := h.state.Load()
	if last == nil {
		last = new(state)
	}
	if a := last.administration; a != nil && last.record.officer == next.record.officer && a.Level() == next.record.level {
		next.administration = last.administration
	} else {
		if next.administration, err = partition.Open(h.config, partition.AdministrationID); err != nil {
			return err
		}
		if last.administration != nil {
			gone = append(gone, last.administration)
		}
	}
	for _, s := range next.record.slots {
		if p := last.partitions[s.number]; p != nil && p.ID() == s.partition && p.Level() == next.record.level {
			next.partitions[s.number] = p
			continue
		}
		p, err := partition.Open(h.config, s.partition)
		if err != nil {
			return err
		}
		if before := last.partitions[s.number]; before != nil {
			p.Succeed(before)
		}
		next.partitions[s.number] = p
	}
	for number, p := range last.partitions {
		if next.partitions[number] != p {
			gone = append(gone, p)
		}
	}
	h.state.Store(next)
	for _, p := range gone {
		p.Retire()
	}
	return nil
}

// lost is what the last wrong PIN of an officer costs, in the update that counts it.
func (h *HSM) lost(w keystore.Writer, p *partition.Partition, role partition.Role) (after func(), err error) {
	entry := audit.Record{Event: audit.EventPartitionInit, Partition: uint32(p.ID()), Detail: "zeroized: too many wrong PINs of the Partition SO"}
	change := func(r *record) error { return zeroizePartition(w, r, p, p.Identity()) }
	if role == partition.RoleHSMSO {
		entry = audit.Record{Event: audit.EventHSMReset, Detail: "zeroized: too many wrong PINs of the HSM SO"}
		change = func(r *record) error { return zeroize(w, r, p) }
	}
	if err := h.edit(w, change); err != nil {
		return nil, err
	}
	if err := h.audit.Append(w, entry); err != nil {
		return nil, err
	}
	return func() {
		if err := errors.Join(h.refresh(), h.sweep()); err != nil {
			h.log.Error("following a zeroization", "cause", err.Error())
		}
	}, nil
}

// zeroizePartition makes the partition as it was created, with an identity.
func zeroizePartition(w keystore.Writer, r *record, p *partition.Partition, i partition.Identity) error {
	s := r.of(p.ID())
	if s == nil {
		return nil // it was erased meanwhile
	}
	draft, err := p.Zeroized(r.take())
	if err != nil {
		return err
	}
	draft.SetIdentity(i)
	return r.replace(w, s, draft)
}

// replace puts a draft in the place of a slot's partition.
func (r *record) replace(w keystore.Writer, s *slot, draft *partition.Draft) error {
	if err := draft.Write(w); err != nil {
		return err
	}
	if err := r.erase(w, s.partition); err != nil {
		return err
	}
	s.partition = draft.ID()
	return nil
}

// zeroize destroys every partition and the HSM SO. The Auditor, the audit log and the
// policies stay.
func zeroize(w keystore.Writer, r *record, administration *partition.Partition) error {
	if err := r.eraseAll(w); err != nil {
		return err
	}
	r.state = StateZeroized
	r.officer++
	return administration.Dismiss(w, partition.RoleHSMSO)
}

// sees tells whether the caller may know of a slot.
func (s *slot) sees(c Caller) bool {
	if c.Administrator || c.Owner || s.everybody {
		return true
	}
	_, assigned := slices.BinarySearch(s.uids, c.UID)
	return assigned
}

// partition finds the partition of a slot that the caller may see. Error:
// CKR_SLOT_ID_INVALID, for the others as for those that are not there.
func (r *request) partition(number uint64) (*partition.Partition, error) {
	now := r.hsm.state.Load()
	if number == wire.AdminSlot && r.caller.Administrator {
		return now.administration, nil
	}
	if i, there := now.record.find(number); there && now.record.slots[i].sees(r.caller) {
		return now.partitions[uint16(number)], nil
	}
	return nil, cryptoki.Errorf(cryptoki.CKR_SLOT_ID_INVALID, "slot %d", number)
}

// usable is partition for calls that do more than look at the slot. Errors: those of
// partition, and CKR_ACCESS_ID_INVALID for an application whose client does not know the
// partition's version.
func (r *request) usable(number uint64) (*partition.Partition, error) {
	p, err := r.partition(number)
	if err != nil {
		return nil, err
	}
	return p, firmware.ClientAccess(r.app.level, p.Version())
}

// visible are the slots of partitions that the caller may see, in their order.
func (r *request) visible() (numbers []uint64) {
	for _, s := range r.hsm.state.Load().record.slots {
		if s.sees(r.caller) {
			numbers = append(numbers, uint64(s.number))
		}
	}
	return numbers
}
