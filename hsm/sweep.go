package hsm

import (
	"fmt"
	"slices"

	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/partition"
)

// sweep removes what erased partitions left in the store, in batches, and lets the store
// overwrite it. What was swept counts as erased until it is overwritten, so a server that
// ends in between leaves the rest to the next one.
func (h *HSM) sweep() error {
	for {
		var erased []partition.ID
		err := h.store.View(func(r keystore.Reader) error {
			now, err := h.readRecord(r)
			erased = now.erased
			return err
		})
		if err != nil || len(erased) == 0 {
			return err
		}
		for _, id := range erased {
			for done := false; !done; {
				if done, err = partition.Sweep(h.store, id); err != nil {
					return fmt.Errorf("sweeping partition %d: %w", id, err)
				}
			}
		}
		if err := h.store.Scrub(); err != nil {
			return err
		}
		err = h.store.Update(func(w keystore.Writer) error {
			return h.edit(w, func(r *record) error {
				r.erased = slices.DeleteFunc(r.erased, func(id partition.ID) bool { return slices.Contains(erased, id) })
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
}

// sweepAfter is deferred by an act that erases, before it takes h.acts: the caller hears of
// it when nothing is left in the store, and nobody else waits for that.
func (h *HSM) sweepAfter(err *error) {
	if *err == nil {
		*err = h.sweep()
	}
}
