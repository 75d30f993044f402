package partition

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/object"
	"tidelock.dev/tidelock/seal"
)

// standing is what is kept of the authorizations of a family of keys.
type standing struct {
	tries
	// assigned says that a key of the family has an owner, so that a copy from before
	// gets no other data either.
	assigned bool
}

func (t standing) locked() bool { return t.failed >= object.AuthLimit }

// A standing is stored under its family: the number of wrong authorizations in a row,
// one byte; flags, one byte; and a MAC, so that only the HSM's key can write it. Where
// there is nothing to say there is no record.
const (
	standingOpen     = 1 // a try was begun and its outcome is not known
	standingAssigned = 2

	standingSize = 1 + 1
)

// It lies in the area of the keys, so that it goes with them when all go at once, and it
// goes with the last key of the family, or where a try meets the end of that, with the next
// Tend: there are no more standings than keys, which the partition's room bounds.
func standingKey(area ID, f object.Family) []byte { return area.key(keyStanding, f[:]...) }

func (p *Partition) standingContext(area ID, f object.Family, b []byte) seal.Context {
	return seal.NewContext("authorizations").Uint64(uint64(p.id)).Uint64(uint64(area)).Bytes(f[:]).Bytes(b)
}

func (p *Partition) putStanding(w keystore.Writer, f object.Family, t standing) error {
	area := p.where()
	key := standingKey(area, f)
	if t == (standing{}) {
		return w.Delete(keystore.TableCounter, key)
	}
	b := []byte{byte(t.failed), 0}
	if t.open {
		b[1] |= standingOpen
	}
	if t.assigned {
		b[1] |= standingAssigned
	}
	sum := p.config.Counters.Sum(p.standingContext(area, f, b))
	return w.Put(keystore.TableCounter, key, append(b, sum[:]...))
}

func (p *Partition) standing(r keystore.Reader, f object.Family) (standing, error) {
	area := p.where()
	b, err := r.Get(keystore.TableCounter, standingKey(area, f))
	if err != nil || b == nil {
		return standing{}, err
	}
	if len(b) != standingSize+seal.MACSize || !p.config.Counters.Verify(p.standingContext(area, f, b[:standingSize]), b[standingSize:]) {
		return standing{}, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "the count of a key's authorizations is damaged")
	}
	return standing{
		tries:    tries{failed: uint64(b[0]), open: b[1]&standingOpen != 0},
		assigned: b[1]&standingAssigned != 0,
	}, nil
}

// standingOf is the standing of a key's family, as it is now.
func (p *Partition) standingOf(f object.Family) (t standing, err error) {
	err = p.config.Store.View(func(r keystore.Reader) error {
		t, err = p.standing(r, f)
		return err
	})
	return t, storeError(err)
}
