package partition

import (
	"bytes"
	"encoding/binary"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/object"
)

// storeError gives a failure of the store its code. A refusal that already has one
// keeps it.
func storeError(err error) error {
	if err == nil || cryptoki.Code(err) != cryptoki.CKR_GENERAL_ERROR {
		return err
	}
	return cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "the store: %w", err)
}

// store keeps the token objects among new objects, all or none, durably, gives them
// handles in order, and writes the entry about all of them to the audit log. Of the
// others, the session objects, temporary has the residents. With a token that an
// earlier call brought it returns that call's handles of token objects.
func (p *Partition) store(token Token, entry creation, objects []*object.Object, temporary []*resident) ([]cryptoki.ObjectHandle, error) {
	handles := make([]cryptoki.ObjectHandle, len(objects))
	err := p.config.Store.Update(func(w keystore.Writer) error {
		usage, err := p.present(w)
		if err != nil {
			return err
		}
		// The call and its repeat may be under way at once: the second finds the first's
		// objects only now.
		if repeated, err := p.repeats(w, token, handles, temporary); repeated || err != nil {
			return err
		}
		if err := entry.check(w); err != nil {
			return err
		}
		last, err := p.lastHandle(w)
		if err != nil {
			return err
		}
		var list []byte
		var stored []*object.Object
		for i, o := range objects {
			if temporary[i] != nil {
				handles[i] = temporary[i].handle
				continue
			}
			last++
			handles[i] = last
			stored = append(stored, o)
			list = binary.BigEndian.AppendUint64(list, uint64(last))
			if err := p.put(w, last, token, o); err != nil {
				return err
			}
			if err := p.putIVs(w, p.where(), last, entry.usedIVs); err != nil {
				return err
			}
		}
		if err := p.occupy(w, usage, stored, nil); err != nil {
			return err
		}
		if list != nil {
			if token.given() {
				if err := w.Put(keystore.TableIndex, p.where().tokenKey(token), list); err != nil {
					return err
				}
			}
			if err := w.Put(keystore.TableCounter, p.id.key(keyHandle), binary.BigEndian.AppendUint64(nil, uint64(last))); err != nil {
				return err
			}
		}
		return entry.record(w, handles, objects)
	})
	if err != nil {
		return nil, storeError(err)
	}
	return handles, nil
}

// holds checks inside an update that an object which the member has found is still there.
// Error: gone.
func (m *Member) holds(r keystore.Reader, h cryptoki.ObjectHandle, gone cryptoki.RV) error {
	there := false
	if h&cryptoki.SessionObject != 0 {
		there = m.find(h) != nil
	} else {
		if _, err := m.partition.present(r); err != nil {
			return err
		}
		record, err := r.Get(keystore.TableObject, m.partition.objectKey(h))
		if err != nil {
			return err
		}
		there = record != nil
	}
	if !there {
		return cryptoki.Errorf(gone, "object %d has gone meanwhile", h)
	}
	return nil
}

// repeats sets the handles of a call whose token objects an earlier call with the
// same token made, and tells whether there was one.
func (p *Partition) repeats(r keystore.Reader, token Token, handles []cryptoki.ObjectHandle, temporary []*resident) (bool, error) {
	made, err := p.tokenHandles(r, token)
	if err != nil || made == nil {
		return false, err
	}
	all := make([]cryptoki.ObjectHandle, len(handles))
	for i, t := range temporary {
		switch {
		case t != nil:
			all[i] = t.handle
		case len(made) == 0:
			return false, nil // the token of another call
		default:
			all[i], made = made[0], made[1:]
		}
	}
	if len(made) > 0 {
		return false, nil
	}
	copy(handles, all)
	return true, nil
}

// lastHandle reads the last handle given. Handles only grow, so that none is used
// again after its object is destroyed.
func (p *Partition) lastHandle(r keystore.Reader) (cryptoki.ObjectHandle, error) {
	b, err := r.Get(keystore.TableCounter, p.id.key(keyHandle))
	if err != nil || b == nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, errRecord
	}
	return cryptoki.ObjectHandle(binary.BigEndian.Uint64(b)), nil
}

func parseHandles(b []byte) ([]cryptoki.ObjectHandle, error) {
	if len(b)%8 != 0 || len(b) == 0 {
		return nil, errRecord
	}
	var out []cryptoki.ObjectHandle
	for ; len(b) > 0; b = b[8:] {
		out = append(out, cryptoki.ObjectHandle(binary.BigEndian.Uint64(b)))
	}
	return out, nil
}

// madeBy returns the token objects that a creating call with this token made. They
// are durable: a view could show what a power cut still takes back.
func (p *Partition) madeBy(token Token) (handles []cryptoki.ObjectHandle, err error) {
	err = p.config.Store.Update(func(w keystore.Writer) (err error) {
		handles, err = p.tokenHandles(w, token)
		return err
	})
	return handles, storeError(err)
}

// tokenHandles reads which token objects a creating call made; nil when there was no
// such call.
func (p *Partition) tokenHandles(r keystore.Reader, token Token) ([]cryptoki.ObjectHandle, error) {
	if !token.given() {
		return nil, nil
	}
	made, err := r.Get(keystore.TableIndex, p.where().tokenKey(token))
	if err != nil || made == nil {
		return nil, err
	}
	return parseHandles(made)
}

// put writes an object with its index entries.
func (p *Partition) put(w keystore.Writer, h cryptoki.ObjectHandle, token Token, o *object.Object) error {
	record, err := p.sealObject(h, token, o)
	if err != nil {
		return err
	}
	if v, guarded := o.Verifier(); guarded {
		if err := w.Put(keystore.TableIndex, p.familyKey(p.where(), v.Family, h), nil); err != nil {
			return err
		}
	}
	return p.putRecord(w, p.where(), h, record, o)
}

// putRecord writes an object's record into an area, with its index entries.
func (p *Partition) putRecord(w keystore.Writer, area ID, h cryptoki.ObjectHandle, record []byte, o *object.Object) error {
	if err := w.Put(keystore.TableObject, area.objectKey(h), record); err != nil {
		return err
	}
	for _, t := range indexed {
		if value := o.Value(t); value != nil {
			if err := w.Put(keystore.TableIndex, p.indexKey(area, t, value, h), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// load finds a token object, in memory or in the store; nil when there is none, or
// when it is private and m may not see it.
func (p *Partition) load(h cryptoki.ObjectHandle, m *Member) (*resident, error) {
	if r := p.cache.get(h); r != nil {
		return r, nil
	}
	// What is read may be outdated by the time it is kept; the epoch tells.
	epoch := p.epoch.Load()
	var o *object.Object
	err := p.config.Store.View(func(r keystore.Reader) error {
		record, err := r.Get(keystore.TableObject, p.objectKey(h))
		if err != nil || record == nil {
			return err
		}
		o, _, err = p.openObject(h, record)
		return err
	})
	if cryptoki.Code(err) == cryptoki.CKR_USER_NOT_LOGGED_IN {
		return nil, nil
	}
	if err != nil || o == nil {
		return nil, storeError(err)
	}
	r := &resident{handle: h, object: o}
	p.cache.put(r, func() bool { return p.epoch.Load() == epoch })
	return r, nil
}

// destroy erases a token object, durably, with the entry in the audit log.
func (p *Partition) destroy(h cryptoki.ObjectHandle, m *Member, entry audit.Record) error {
	err := p.config.Store.Update(func(w keystore.Writer) error {
		usage, err := p.present(w)
		if err != nil {
			return err
		}
		key := p.objectKey(h)
		record, err := w.Get(keystore.TableObject, key)
		if err != nil {
			return err
		}
		if record == nil {
			return cryptoki.CKR_OBJECT_HANDLE_INVALID
		}
		o, token, err := p.openMetadata(h, record)
		if err != nil {
			return err
		}
		for _, t := range indexed {
			if value := o.Value(t); value != nil {
				if err := w.Delete(keystore.TableIndex, p.indexKey(p.where(), t, value, h)); err != nil {
					return err
				}
			}
		}
		if token.given() {
			if err := w.Delete(keystore.TableIndex, p.where().tokenKey(token)); err != nil {
				return err
			}
		}
		if err := w.Delete(keystore.TableObject, key); err != nil {
			return err
		}
		if err := w.Delete(keystore.TableCounter, ivsKey(p.where(), h)); err != nil {
			return err
		}
		if o.Guarded() {
			whole, _, err := p.openObject(h, record)
			if err != nil {
				return err
			}
			if err := p.leave(w, h, whole); err != nil {
				return err
			}
		}
		if err := p.occupy(w, usage, nil, []*object.Object{o}); err != nil {
			return err
		}
		return m.record(w, m.Role(), entry)
	})
	if err == nil {
		p.budgets.Delete(h)
		p.changed(h)
	}
	return storeError(err)
}

// change puts a changed token object in the place of the old one, durably, with the entry
// in the audit log.
func (p *Partition) change(h cryptoki.ObjectHandle, alter alteration, m *Member, entry audit.Record) error {
	err := p.config.Store.Update(func(w keystore.Writer) error {
		usage, err := p.present(w)
		if err != nil {
			return err
		}
		record, err := w.Get(keystore.TableObject, p.objectKey(h))
		if err != nil {
			return err
		}
		if record == nil {
			return cryptoki.CKR_OBJECT_HANDLE_INVALID
		}
		old, token, err := p.openObject(h, record)
		if err != nil {
			return err
		}
		o, err := alter(w, old)
		if err != nil {
			return err
		}
		for _, t := range indexed {
			before, after := old.Value(t), o.Value(t)
			if before == nil || bytes.Equal(before, after) {
				continue
			}
			if err := w.Delete(keystore.TableIndex, p.indexKey(p.where(), t, before, h)); err != nil {
				return err
			}
		}
		if err := p.occupy(w, usage, []*object.Object{o}, []*object.Object{old}); err != nil {
			return err
		}
		if moves(old, o) {
			if err := p.leave(w, h, old); err != nil {
				return err
			}
		}
		if err := p.put(w, h, token, o); err != nil {
			return err
		}
		return m.record(w, m.Role(), entry)
	})
	if err == nil {
		p.changed(h)
	}
	return storeError(err)
}

// changed makes a committed change seen: permits made before it are void, and the
// object is read anew.
func (p *Partition) changed(h cryptoki.ObjectHandle) {
	p.epoch.Add(1)
	p.cache.remove(h)
}

// search calls take, in the order of handles, for the token objects above after
// that the template's most selective indexed attribute leaves, until take returns
// false. take decides whether an object matches: an index only narrows.
func (p *Partition) search(t cryptoki.Template, after cryptoki.ObjectHandle, take func(*resident) bool) error {
	area := p.where()
	table, prefix := keystore.TableObject, area.objectPrefix()
	for _, attribute := range indexed {
		if value, given := t.Find(attribute); given {
			table, prefix = keystore.TableIndex, p.indexPrefix(area, attribute, value)
			break
		}
	}
	from := binary.BigEndian.AppendUint64(bytes.Clone(prefix), uint64(after))
	return storeError(p.config.Store.View(func(r keystore.Reader) error {
		return r.Scan(table, prefix, from, func(key, record []byte) (bool, error) {
			h, err := handleAt(key)
			if err != nil {
				return false, err
			}
			if known := p.cache.get(h); known != nil {
				return take(known), nil
			}
			if table == keystore.TableIndex {
				if record, err = r.Get(keystore.TableObject, area.objectKey(h)); err != nil {
					return false, err
				}
			}
			if record == nil {
				// The area is being swept, or the store is damaged.
				if u, err := p.usage(r); err != nil || u.area != area {
					return false, err
				}
			}
			o, err := p.openFor(h, record, t)
			if err != nil {
				return false, err
			}
			return take(&resident{handle: h, object: o}), nil
		})
	}))
}

// openFor reads an object for a comparison with a template: without its value part
// unless the template asks for something in it.
func (p *Partition) openFor(h cryptoki.ObjectHandle, record []byte, t cryptoki.Template) (*object.Object, error) {
	o, _, err := p.openMetadata(h, record)
	if err != nil {
		return nil, err
	}
	for _, a := range t {
		if _, status := o.Read(a.Type); status != object.Sensitive {
			continue
		}
		whole, _, err := p.openObject(h, record)
		if cryptoki.Code(err) == cryptoki.CKR_USER_NOT_LOGGED_IN {
			return o, nil // nobody sees it now
		}
		return whole, err
	}
	return o, nil
}
