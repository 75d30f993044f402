package partition

import (
	"bytes"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/object"
)

// A Conversion rewrites a partition's objects in the format of another firmware level,
// into an area of its own. Until Commit the partition is what it was, and what has been
// written is for Sweep. Nobody may change the partition's objects meanwhile. It is used by
// one goroutine.
//
// Nobody has to be logged in: values of private objects are carried as they are, since
// they are sealed to the object's handle and its security attributes, which stay.
type Conversion struct {
	partition *Partition
	format    object.Format
	to        Usage  // of the new area, so far
	after     []byte // key of the last record that was read; nil before the first
	done      bool
}

// Convert begins a conversion into an area. Error: CKR_ARGUMENTS_BAD for a level that does
// not exist.
func (p *Partition) Convert(level firmware.Level, area ID) (*Conversion, error) {
	d, err := firmware.Describe(level)
	if err != nil {
		return nil, err
	}
	return &Conversion{partition: p, format: object.Format(d.Format), to: Usage{area: area}}, nil
}

// A batch is bounded by its records and by their bytes, so that a conversion takes the same
// memory whatever the partition holds.
const (
	convertRecords = 500
	convertBytes   = 4 << 20
)

// Next rewrites some more objects in one update. It tells how many there were, and whether
// they were the last.
func (c *Conversion) Next() (objects uint64, done bool, err error) {
	var next Conversion
	err = c.partition.config.Store.Update(func(w keystore.Writer) error {
		next = *c
		return next.batch(w)
	})
	if err != nil {
		return 0, false, storeError(err)
	}
	objects = next.to.Objects - c.to.Objects
	*c = next
	return objects, c.done, nil
}

func (c *Conversion) batch(w keystore.Writer) error {
	records, size := 0, 0
	c.done = true
	return w.Scan(keystore.TableObject, c.partition.objectPrefix(), c.after, func(key, record []byte) (bool, error) {
		if records == convertRecords || size > convertBytes {
			c.done = false
			return false, nil
		}
		records++
		size += len(record)
		c.after = bytes.Clone(key)
		h, err := handleAt(key)
		if err != nil {
			return false, err
		}
		return true, c.rewrite(w, h, record)
	})
}

// rewrite puts one object into the new area, with its index entries and what the call that
// made it is found by.
func (c *Conversion) rewrite(w keystore.Writer, h cryptoki.ObjectHandle, record []byte) error {
	p := c.partition
	old, token, err := p.openMetadata(h, record)
	if err != nil {
		return err
	}
	_, value, err := splitRecord(record)
	if err != nil {
		return err
	}
	o := old.Upgraded(c.format)
	c.to.Objects++
	c.to.Used += o.Size()
	if err := p.putRecord(w, c.to.area, h, append(p.sealMetadata(h, token, o), value...), o); err != nil {
		return err
	}
	used, err := p.ivs(w, p.where(), h)
	if err != nil {
		return err
	}
	if err := p.putIVs(w, c.to.area, h, used); err != nil {
		return err
	}
	if !token.given() {
		return nil
	}
	// It is gone when another object of the call was destroyed.
	made, err := w.Get(keystore.TableIndex, p.where().tokenKey(token))
	if err != nil || made == nil {
		return err
	}
	return w.Put(keystore.TableIndex, c.to.area.tokenKey(token), made)
}

// Commit makes the rewritten objects the partition's, and its identity i, inside an update.
// It returns the area to sweep. The partition has to be opened anew when that is durable.
// Errors: CKR_DEVICE_ERROR when an object is missing, CKR_DEVICE_MEMORY when they are more
// than the new size.
func (c *Conversion) Commit(w keystore.Writer, i Identity) (old ID, err error) {
	p := c.partition
	u, err := p.usage(w)
	switch {
	case err != nil:
		return 0, err
	case !c.done || u.Objects != c.to.Objects:
		return 0, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "partition %d has %d objects, %d were converted", p.id, u.Objects, c.to.Objects)
	case c.to.Used > i.Size:
		return 0, cryptoki.Errorf(cryptoki.CKR_DEVICE_MEMORY, "the objects of partition %d take %d bytes, it would have %d", p.id, c.to.Used, i.Size)
	}
	if err := p.putUsage(w, c.to); err != nil {
		return 0, err
	}
	return u.area, p.SetIdentity(w, i)
}

// Area is where the rewritten objects are.
func (c *Conversion) Area() ID { return c.to.area }
