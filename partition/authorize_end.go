package partition

import (
	"bytes"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/object"
)

// A family's standing ends with its last key. Token objects with authorization data are in
// the index by a keyed hash of their family, as if CKA_AUTH_DATA could be searched for;
// session objects are in memory.

func (p *Partition) familyPrefix(area ID, f object.Family) []byte {
	return p.indexPrefix(area, cryptoki.CKA_AUTH_DATA, f[:])
}

func (p *Partition) familyKey(area ID, f object.Family, h cryptoki.ObjectHandle) []byte {
	return p.indexKey(area, cryptoki.CKA_AUTH_DATA, f[:], h)
}

// moves tells whether a key changes into one of another family, or gets its first.
func moves(from, to *object.Object) bool {
	before, _ := from.Verifier()
	after, _ := to.Verifier()
	return before.Family != after.Family
}

// leave takes a token object, which is open, out of its family.
func (p *Partition) leave(w keystore.Writer, h cryptoki.ObjectHandle, o *object.Object) error {
	v, guarded := o.Verifier()
	if !guarded {
		return nil
	}
	if err := w.Delete(keystore.TableIndex, p.familyKey(p.where(), v.Family, h)); err != nil {
		return err
	}
	return p.forget(w, v.Family)
}

// forget removes a family's standing where no key of the family is left.
func (p *Partition) forget(w keystore.Writer, f object.Family) error {
	key := standingKey(p.where(), f)
	if standing, err := w.Get(keystore.TableCounter, key); err != nil || standing == nil {
		return err
	}
	if lives, err := p.lives(w, f); err != nil || lives {
		return err
	}
	return w.Delete(keystore.TableCounter, key)
}

// lives tells whether there is a key of the family. In an update that holds: a copy is
// looked for in the update that makes it, session objects are there before that.
func (p *Partition) lives(r keystore.Reader, f object.Family) (lives bool, err error) {
	err = r.Scan(keystore.TableIndex, p.familyPrefix(p.where(), f), nil, func(_, _ []byte) (bool, error) {
		lives = true
		return false, nil
	})
	if err != nil || lives {
		return lives, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for m := range p.members {
		if m.hasFamily(f) {
			return true, nil
		}
	}
	return false, nil
}

func (m *Member) hasFamily(f object.Family) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range m.objects {
		if v, guarded := o.object.Verifier(); guarded && v.Family == f {
			return true
		}
	}
	return false
}

// inFamily tells inside an update whether a key that the member has found is of a family
// still: the standing of one that it has left may be gone, and is not to begin anew.
func (m *Member) inFamily(r keystore.Reader, h cryptoki.ObjectHandle, f object.Family) (bool, error) {
	if h&cryptoki.SessionObject != 0 {
		o := m.find(h)
		if o == nil {
			return false, nil
		}
		v, guarded := o.object.Verifier()
		return guarded && v.Family == f, nil
	}
	p := m.partition
	entry, err := r.Get(keystore.TableIndex, p.familyKey(p.where(), f, h))
	return entry != nil, err
}

// reap forgets the families of session objects that the member has lost.
func (m *Member) reap() error {
	m.mu.Lock()
	families := m.orphans
	m.orphans = nil
	m.mu.Unlock()
	if len(families) == 0 {
		return nil
	}
	p := m.partition
	return storeError(p.config.Store.Update(func(w keystore.Writer) error {
		for _, f := range families {
			if err := p.forget(w, f); err != nil {
				return err
			}
		}
		return nil
	}))
}

// reapLost forgets the families of keys that ended with an earlier server.
func (p *Partition) reapLost() error {
	var lost []object.Family
	prefix := p.where().key(keyStanding)
	err := p.config.Store.View(func(r keystore.Reader) error {
		return r.Scan(keystore.TableCounter, prefix, nil, func(key, _ []byte) (bool, error) {
			var f object.Family
			copy(f[:], bytes.TrimPrefix(key, prefix))
			lives, err := p.lives(r, f)
			if err == nil && !lives {
				lost = append(lost, f)
			}
			return true, err
		})
	})
	if err != nil || len(lost) == 0 {
		return storeError(err)
	}
	return storeError(p.config.Store.Update(func(w keystore.Writer) error {
		for _, f := range lost {
			if err := p.forget(w, f); err != nil {
				return err
			}
		}
		return nil
	}))
}
