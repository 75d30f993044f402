package hsm

import (
	"fmt"
	"slices"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/wire"
)

// maxAssigned bounds the users of one partition: the HSM's record has to stay small.
const maxAssigned = 1000

func (r *request) clientAssign(q *wire.ClientAssignRequest, _ *wire.ClientAssignReply) error {
	return r.assign(q.Slot, "assigned to", q.Uid, q.Everybody, func(s *slot) error {
		if q.Everybody {
			s.everybody = true
			return nil
		}
		i, there := slices.BinarySearch(s.uids, q.Uid)
		switch {
		case there:
			return nil
		case len(s.uids) >= maxAssigned:
			return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "a partition is assigned to at most %d users, or to everybody", maxAssigned)
		}
		s.uids = slices.Insert(s.uids, i, q.Uid)
		return nil
	})
}

// clientRevoke takes a partition away, and ends the sessions of those who do not see it
// any more.
func (r *request) clientRevoke(q *wire.ClientRevokeRequest, _ *wire.ClientRevokeReply) error {
	err := r.assign(q.Slot, "revoked from", q.Uid, q.Everybody, func(s *slot) error {
		if q.Everybody {
			s.everybody = false
			return nil
		}
		if i, there := slices.BinarySearch(s.uids, q.Uid); there {
			s.uids = slices.Delete(s.uids, i, i+1)
		}
		return nil
	})
	if err != nil {
		return err
	}
	now := r.hsm.state.Load()
	i, there := now.record.find(q.Slot)
	if !there {
		return nil
	}
	for _, app := range r.hsm.applications.all() {
		if !now.record.slots[i].sees(app.caller()) {
			app.expel(cryptoki.SlotID(q.Slot))
		}
	}
	return nil
}

func (r *request) assign(number uint64, what string, uid uint32, everybody bool, change func(*slot) error) error {
	if err := r.administer(); err != nil {
		return err
	}
	h := r.hsm
	defer h.acts.Unlock()
	part, err := r.application(number)
	if err != nil {
		return err
	}
	whom := fmt.Sprintf("uid %d", uid)
	if everybody {
		whom = "everybody"
	}
	entry := audit.Record{Event: audit.EventClient, Actor: r.as(), Partition: uint32(part.ID()), Detail: what + " " + whom}
	return h.act(entry, func(_ keystore.Writer, rec *record) error {
		s := rec.of(part.ID())
		if s == nil {
			return errGone
		}
		return change(s)
	})
}

func (r *request) clientList(_ *wire.ClientListRequest, p *wire.ClientListReply) error {
	if err := r.administer(); err != nil {
		return err
	}
	defer r.hsm.acts.Unlock()
	for _, s := range r.hsm.state.Load().record.slots {
		if s.everybody {
			p.Slots, p.Uids, p.Everybody = append(p.Slots, uint64(s.number)), append(p.Uids, 0), append(p.Everybody, 1)
		}
		for _, uid := range s.uids {
			p.Slots, p.Uids, p.Everybody = append(p.Slots, uint64(s.number)), append(p.Uids, uint64(uid)), append(p.Everybody, 0)
		}
	}
	return nil
}
