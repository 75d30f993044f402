package hsm

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/wire"
)

// updating is a firmware update under way.
type updating struct {
	to          firmware.Level
	done, total atomic.Uint64 // objects that are rewritten, of how many
}

var errUpdating = cryptoki.Errorf(cryptoki.CKR_OPERATION_NOT_ALLOWED, "the HSM's firmware is being updated: try again when that is over")

// whileUpdating tells which calls are answered while the firmware is updated.
func whileUpdating(call wire.Call) bool {
	switch call {
	case wire.CallHello, wire.CallGoodbye, wire.CallHSMInfo, wire.CallFirmwareInfo, wire.CallFirmwareUpdate:
		return true
	}
	return false
}

// alone begins an update: calls that come are refused, and it returns when those under way
// have ended. resume ends it. Error: CKR_OPERATION_NOT_ALLOWED while there is another.
func (h *HSM) alone(to firmware.Level) (resume func(), err error) {
	if !h.updating.CompareAndSwap(nil, &updating{to: to}) {
		return nil, errUpdating
	}
	h.serving.Lock()
	return func() {
		h.serving.Unlock()
		h.updating.Store(nil)
	}, nil
}

// update takes the HSM to another firmware level. It is alone. Until the one update of the
// store that changes everything, the HSM is what it was; what was written before is in
// areas that count as erased, so the next start sweeps it.
func (h *HSM) update(to firmware.Level, by audit.Actor) error {
	h.acts.Lock()
	defer h.acts.Unlock()
	plan, err := h.state.Load().plan(to)
	if err != nil {
		return err
	}
	var converted []*partition.Conversion
	if plan.converts() {
		if converted, err = h.convert(plan); err != nil {
			if h.store.Failed() == nil {
				err = errors.Join(err, h.sweep())
			}
			return err
		}
	}
	return h.act(audit.Record{
		Event: audit.EventHSMFirmware, Actor: by, Detail: fmt.Sprintf("updated from %v to %v", plan.before.level, plan.after.level),
	}, func(w keystore.Writer, r *record) error { return plan.commit(w, r, converted) })
}

// convert rewrites the objects of every partition into areas of their own.
func (h *HSM) convert(p *plan) ([]*partition.Conversion, error) {
	progress := h.updating.Load()
	var areas []partition.ID
	err := h.store.Update(func(w keystore.Writer) error {
		return h.edit(w, func(r *record) error {
			areas = nil
			for range p.partitions {
				areas = append(areas, partition.Area(r.take()))
			}
			r.erased = append(r.erased, areas...)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	for _, one := range p.partitions {
		progress.total.Add(one.objects)
	}
	converted := make([]*partition.Conversion, len(p.partitions))
	for i, one := range p.partitions {
		c, err := one.Convert(p.after.level, areas[i])
		if err != nil {
			return nil, err
		}
		for done := false; !done; {
			var objects uint64
			if objects, done, err = c.Next(); err != nil {
				return nil, fmt.Errorf("partition %q: %w", one.Label(), err)
			}
			progress.done.Add(objects)
		}
		converted[i] = c
	}
	return converted, nil
}

// commit makes the record, and the partitions, what the plan says.
func (p *plan) commit(w keystore.Writer, r *record, converted []*partition.Conversion) error {
	if r.level != p.before.level || len(r.slots) != len(p.partitions) {
		return cryptoki.Errorf(cryptoki.CKR_GENERAL_ERROR, "the HSM was changed while its firmware was updated")
	}
	r.level, r.previous, r.memory, r.policies = p.after.level, p.after.previous, p.after.memory, p.after.policies
	for i, one := range p.partitions {
		if converted == nil {
			if err := one.SetIdentity(w, one.after); err != nil {
				return err
			}
			continue
		}
		old, err := converted[i].Commit(w, one.after)
		if err != nil {
			return err
		}
		j := slices.Index(r.erased, converted[i].Area())
		r.erased[j] = old
	}
	return nil
}

// rollback takes the HSM back to the firmware level before the last update, zeroized.
func (r *record) rollback(w keystore.Writer, administration *partition.Partition) error {
	target, err := r.firmware().RollbackTarget()
	if err != nil {
		return err
	}
	memory, err := firmware.MemoryAfter(r.level, target, r.memory)
	if err != nil {
		return err
	}
	if err := zeroize(w, r, administration); err != nil {
		return err
	}
	r.level, r.previous, r.memory = target, firmware.Level{}, memory
	r.policies = policy.HSM(target).Defaults(0)
	return nil
}
