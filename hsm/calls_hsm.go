package hsm

import (
	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/wire"
)

// mayErase refuses what destroys the HSM's contents without a login to whom the
// administrator's socket is closed.
func (r *request) mayErase() error {
	if !r.caller.Administrator || !r.caller.Owner {
		return cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "this is for the server's owner, on the administrator's socket")
	}
	return nil
}

// hsmInit makes the HSM operational. One that is operational already is emptied by its
// HSM SO, whose PIN comes with the call and counts as in a login; he and the policies
// stay.
func (r *request) hsmInit(q *wire.HSMInitRequest, _ *wire.HSMInitReply) (err error) {
	pin := secret.Take(q.PIN)
	defer pin.Wipe()
	if !r.caller.Administrator {
		return cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "this is for the administrator's socket")
	}
	if err := partition.CheckLabel(q.Label); err != nil {
		return err
	}
	h := r.hsm
	now := h.state.Load()
	var appoint func(keystore.Writer) error
	// Whoever administers does not wait for the password hash of this.
	if now.record.state == StateOperational {
		err = now.administration.Confirm(r.actor(), partition.RoleHSMSO, pin)
	} else {
		appoint, err = now.administration.Appoint(partition.RoleHSMSO, pin)
	}
	if err != nil {
		return err
	}
	defer h.sweepAfter(&err)
	h.acts.Lock()
	defer h.acts.Unlock()
	entry := audit.Record{Event: audit.EventHSMCreate, Actor: r.as(), Detail: "initialised"}
	return h.act(entry, func(w keystore.Writer, rec *record) error {
		if rec.officer != now.record.officer {
			return cryptoki.Errorf(cryptoki.CKR_USER_NOT_LOGGED_IN, "the HSM was initialised or zeroized meanwhile")
		}
		if err := rec.eraseAll(w); err != nil {
			return err
		}
		rec.label, rec.state = q.Label, StateOperational
		// The administration is opened anew, with its label and its officer.
		rec.officer++
		if err := now.administration.SetIdentity(w, rec.administration()); err != nil {
			return err
		}
		if appoint == nil {
			return nil
		}
		return appoint(w)
	})
}

func (r *request) hsmZeroize(*wire.HSMZeroizeRequest, *wire.HSMZeroizeReply) (err error) {
	if err := r.mayErase(); err != nil {
		return err
	}
	h := r.hsm
	defer h.sweepAfter(&err)
	h.acts.Lock()
	defer h.acts.Unlock()
	now := h.state.Load()
	return h.act(audit.Record{Event: audit.EventHSMReset, Actor: r.by(), Detail: "zeroized"}, func(w keystore.Writer, rec *record) error {
		if rec.state == StateFactory {
			return nil // there is less than that
		}
		return zeroize(w, rec, now.administration)
	})
}

// hsmFactoryReset leaves firmware, licences and the audit log, which tells of it; what the
// Auditor has set there goes with him.
func (r *request) hsmFactoryReset(*wire.HSMFactoryResetRequest, *wire.HSMFactoryResetReply) (err error) {
	if err := r.mayErase(); err != nil {
		return err
	}
	h := r.hsm
	defer h.sweepAfter(&err)
	h.acts.Lock()
	defer h.acts.Unlock()
	rec := h.state.Load().record
	rec.label = ""
	draft, err := partition.NewDraft(h.config, partition.AdministrationID, partition.Administration, rec.administration(), nil)
	if err != nil {
		return err
	}
	err = h.act(audit.Record{Event: audit.EventHSMReset, Actor: r.by(), Detail: "factory reset"}, func(w keystore.Writer, rec *record) error {
		if err := rec.eraseAll(w); err != nil {
			return err
		}
		if err := h.audit.Reset(w); err != nil {
			return err
		}
		rec.label, rec.state = "", StateFactory
		rec.policies = policy.HSM(rec.level).Defaults(0)
		rec.officer++
		if _, err := partition.Erase(w, partition.AdministrationID); err != nil {
			return err
		}
		return draft.Write(w)
	})
	if err != nil {
		return err
	}
	return h.store.View(h.audit.Load)
}
