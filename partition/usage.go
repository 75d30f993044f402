package partition

import (
	"encoding/binary"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/object"
	"tidelock.dev/tidelock/seal"
)

// Usage is how full a partition is.
type Usage struct {
	// Used is the size of all token objects together, in bytes.
	Used uint64
	// Objects is their number.
	Objects uint64
	// area is where they are.
	area ID
}

// A usage record is both numbers in eight bytes each, the area in four, and a MAC. It
// moves in the transaction of the object, so nothing is ever counted twice or forgotten.
const usageSize = 8 + 8 + 4

func (p *Partition) usageContext(b []byte) seal.Context {
	return seal.NewContext("usage").Uint64(uint64(p.id)).Bytes(b)
}

func (p *Partition) putUsage(w keystore.Writer, u Usage) error {
	b := binary.BigEndian.AppendUint64(nil, u.Used)
	b = binary.BigEndian.AppendUint64(b, u.Objects)
	b = binary.BigEndian.AppendUint32(b, uint32(u.area))
	sum := p.config.Counters.Sum(p.usageContext(b))
	return w.Put(keystore.TableCounter, p.id.key(keyUsage), append(b, sum[:]...))
}

func (p *Partition) usage(r keystore.Reader) (Usage, error) {
	b, err := r.Get(keystore.TableCounter, p.id.key(keyUsage))
	if err != nil {
		return Usage{}, err
	}
	if b == nil {
		if err := p.exists(r); err != nil {
			return Usage{}, err
		}
	}
	if len(b) != usageSize+seal.MACSize || !p.config.Counters.Verify(p.usageContext(b[:usageSize]), b[usageSize:]) {
		return Usage{}, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "the usage of partition %d is missing or damaged", p.id)
	}
	return Usage{Used: binary.BigEndian.Uint64(b), Objects: binary.BigEndian.Uint64(b[8:]), area: ID(binary.BigEndian.Uint32(b[16:]))}, nil
}

// Usage is how full the partition is now.
func (p *Partition) Usage() (u Usage, err error) {
	err = p.config.Store.View(func(r keystore.Reader) error {
		u, err = p.usage(r)
		return err
	})
	u.area = 0 // nobody else's concern
	return u, storeError(err)
}

// present is the usage inside an update of objects, for occupy. Until the update ends the
// partition's area is where p.where says. Error: CKR_DEVICE_REMOVED after a Clear that has not
// been Cleared yet.
func (p *Partition) present(r keystore.Reader) (Usage, error) {
	u, err := p.usage(r)
	if err == nil && u.area != p.where() {
		err = cryptoki.Errorf(cryptoki.CKR_DEVICE_REMOVED, "the partition was emptied meanwhile")
	}
	return u, err
}

// occupy counts objects that come, go or change their size inside an update that found the
// usage u. Error: CKR_DEVICE_MEMORY when they do not fit.
func (p *Partition) occupy(w keystore.Writer, u Usage, come, gone []*object.Object) error {
	if len(come)+len(gone) == 0 {
		return nil
	}
	before := u.Used
	for _, o := range gone {
		u.Used -= o.Size()
		u.Objects--
	}
	for _, o := range come {
		u.Used += o.Size()
		u.Objects++
	}
	if size := p.Identity().Size; u.Used > size && u.Used > before {
		return cryptoki.Errorf(cryptoki.CKR_DEVICE_MEMORY, "the partition has %d bytes, and would need %d", size, u.Used)
	}
	return p.putUsage(w, u)
}
