package policy

import (
	"slices"

	"tidelock.dev/tidelock/cryptoki"
)

// A Change asks for a new value of a policy.
type Change struct {
	ID    ID
	Value uint64
}

// Change makes all of the changes or none. above are the HSM's policies when the
// table is a partition's, else the zero Set. The order of the changes does not
// matter. destructive tells whether the next set may be taken only together with
// erasing what the policies govern.
//
// Errors: CKR_POLICY_ID_INVALID for a policy that the level does not have,
// CKR_CONFIG_CHANGE_ILLEGAL for a capability without a policy, CKR_CONFIG_ILLEGAL for
// a value beyond the capability, CKR_ARGUMENTS_BAD for a policy named twice,
// CKR_CONFIG_FAILS_DEPENDENCIES for values that do not go together and
// CKR_FUNCTION_NOT_SUPPORTED for one that promises what this release does not have.
func (t *Table) Change(current, above Set, changes []Change) (next Set, destructive bool, err error) {
	next = current
	named := make(map[ID]bool, len(changes))
	for _, c := range changes {
		e, has := t.Entry(c.ID)
		switch {
		case !has || !current.Has(c.ID):
			return current, false, cryptoki.Errorf(cryptoki.CKR_POLICY_ID_INVALID, "there is no policy %d at this firmware level", c.ID)
		case named[c.ID]:
			return current, false, cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "policy %d is named twice", c.ID)
		case e.Fixed():
			return current, false, cryptoki.Errorf(cryptoki.CKR_CONFIG_CHANGE_ILLEGAL, "%d (%s) is a capability and cannot be changed", c.ID, e.Name)
		case c.Value == current.Value(c.ID): // no change: a development HSM's PINs may be shorter than the range says
		case c.Value < e.Min || c.Value > e.Capability:
			return current, false, cryptoki.Errorf(cryptoki.CKR_CONFIG_ILLEGAL, "policy %d (%s) takes %d to %d, not %d", c.ID, e.Name, e.Min, e.Capability, c.Value)
		}
		named[c.ID] = true
		next = next.With(c.ID, c.Value)
	}
	if t.versions() && next.Value(Version) != current.Value(Version) {
		next = move(next, named)
	}
	if err := t.Check(next, above); err != nil {
		return current, false, err
	}
	for _, c := range changes {
		e, _ := t.Entry(c.ID)
		id, from, to := c.ID, current.Value(c.ID), c.Value
		if e.Effect == Refused && from != to {
			return current, false, cryptoki.Errorf(cryptoki.CKR_FUNCTION_NOT_SUPPORTED, "policy %d (%s) stays %d: nothing in this release would obey another value", id, e.Name, from)
		}
		if t.versions() && (moved(id) || id == PerKeyAuth) && next.Value(Version) != current.Value(Version) {
			continue // whether that erases is the version's to say
		}
		destructive = destructive || e.destructive(from, to)
	}
	return next, destructive, nil
}

// move gives the policies that follow the partition version its value, unless the
// caller has named another one, which Check then judges.
func move(s Set, named map[ID]bool) Set {
	version := s.Value(Version)
	for _, id := range append(follow[:], PerKeyAuth) {
		if !named[id] {
			s = s.With(id, version)
		}
	}
	return s
}

// Check tells whether the values of a set go together, and under those above. Its
// error is CKR_CONFIG_FAILS_DEPENDENCIES and names the policies. Before an HSM's policy
// changes without erasing, every partition's set must pass under the new values: HSM
// policy 30 cannot go off above a partition of version 1.
func (t *Table) Check(s, above Set) error {
	for _, r := range t.rules {
		if !r.holds(s, above) {
			return cryptoki.Errorf(cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES, "%s", r.text)
		}
	}
	return nil
}

// Rules tells people what a policy depends on.
func (t *Table) Rules(id ID) []string {
	var texts []string
	for _, r := range t.rules {
		if slices.Contains(r.ids, id) {
			texts = append(texts, r.text)
		}
	}
	return texts
}

// Capability is the largest value of a policy that the HSM's policies leave; 0 when the
// level does not have it.
func (t *Table) Capability(id ID, above Set) uint64 {
	e, has := t.Entry(id)
	if !has || t.kind == OfPartition && capped(id, above) {
		return 0
	}
	return e.Capability
}
