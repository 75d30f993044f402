package partition

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/seal"
)

// A key encrypts at most 2^32 messages under IVs that are made here at random (SP 800-38D,
// 8.3). What a token key may use is reserved durably, block by block, before it is used: a
// message costs no I/O but for one in a block, and a server that ends loses at most a block.
const (
	mostRandomIVs  = 1 << 32
	randomIVsBlock = 1 << 16
)

// budget gives a key's random IVs. It stays with the key when the object is changed, or is
// read again.
type budget struct {
	left atomic.Int64 // of what is reserved; below 0 when it is used up

	partition *Partition            // nil for a session object, which has all of it reserved
	handle    cryptoki.ObjectHandle // of a token object

	mu    sync.Mutex
	spent bool // guarded by mu; nothing is left to be reserved
}

// Take is mech.Budget's. Errors: CKR_KEY_EXHAUSTED; CKR_KEY_HANDLE_INVALID when the key has
// been destroyed meanwhile.
func (b *budget) Take() error {
	if b.left.Add(-1) >= 0 {
		return nil
	}
	return b.more()
}

// more takes from the next block. Others that want one wait, and nobody else.
func (b *budget) more() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left.Add(-1) >= 0 {
		return nil // the block of somebody who came first
	}
	if b.spent {
		return errExhausted
	}
	n, err := b.partition.reserveIVs(b.handle)
	if err != nil {
		b.spent = cryptoki.Code(err) == cryptoki.CKR_KEY_EXHAUSTED
		return err
	}
	b.left.Store(int64(n) - 1)
	return nil
}

var errExhausted = cryptoki.Errorf(cryptoki.CKR_KEY_EXHAUSTED, "the key has encrypted all the messages that it may under random IVs: take a new one; it still decrypts")

// temporaryBudget is that of a session object, of which a part may be used already.
func (p *Partition) temporaryBudget(used uint64) *budget {
	b := &budget{spent: true}
	b.left.Store(int64(p.mostIVs - min(used, p.mostIVs)))
	return b
}

// budgetOf is the budget of a key.
func (p *Partition) budgetOf(r *resident) *budget {
	if b := r.budget.Load(); b != nil {
		return b
	}
	b := &budget{partition: p, handle: r.handle}
	if r.handle&cryptoki.SessionObject != 0 {
		b = p.temporaryBudget(0)
	} else if kept, there := p.budgets.LoadOrStore(r.handle, b); there {
		b = kept.(*budget)
	}
	if !r.budget.CompareAndSwap(nil, b) {
		b = r.budget.Load()
	}
	return b
}

// usedIVs is how much of a key's budget is used: of a token key's, all that was ever
// reserved. A copy of the key begins with that.
func (p *Partition) usedIVs(r *resident) (used uint64, err error) {
	if r.object.KeyType() != cryptoki.CKK_AES {
		return 0, nil
	}
	if r.handle&cryptoki.SessionObject != 0 {
		return p.mostIVs - uint64(max(p.budgetOf(r).left.Load(), 0)), nil
	}
	err = p.config.Store.View(func(s keystore.Reader) error {
		used, err = p.ivs(s, p.where(), r.handle)
		return err
	})
	return used, storeError(err)
}

// reserveIVs gives the next block of a token key's random IVs, durably.
// Errors: CKR_KEY_EXHAUSTED, CKR_KEY_HANDLE_INVALID.
func (p *Partition) reserveIVs(h cryptoki.ObjectHandle) (n uint64, err error) {
	err = p.config.Store.Update(func(w keystore.Writer) error {
		if _, err := p.present(w); err != nil {
			return err
		}
		record, err := w.Get(keystore.TableObject, p.objectKey(h))
		if err != nil {
			return err
		}
		if record == nil {
			return cryptoki.CKR_KEY_HANDLE_INVALID
		}
		used, err := p.ivs(w, p.where(), h)
		if err != nil {
			return err
		}
		if used >= p.mostIVs {
			return errExhausted
		}
		n = min(p.blockIVs, p.mostIVs-used)
		return p.putIVs(w, p.where(), h, used+n)
	})
	if cryptoki.Code(err) == cryptoki.CKR_KEY_HANDLE_INVALID {
		p.budgets.Delete(h)
	}
	return n, storeError(err)
}

// How much of a token key's budget is reserved is a number of eight bytes and a MAC, so that
// only the HSM's key can write it; where there is none it is 0. It lies in the key's area
// and goes with the key. A key has one record at most, which takes nothing of the room.
const ivsSize = 8

func ivsKey(area ID, h cryptoki.ObjectHandle) []byte {
	return area.key(keyIVs, binary.BigEndian.AppendUint64(nil, uint64(h))...)
}

func (p *Partition) ivsContext(h cryptoki.ObjectHandle, b []byte) seal.Context {
	return seal.NewContext("random IVs").Uint64(uint64(p.id)).Uint64(uint64(h)).Bytes(b)
}

func (p *Partition) putIVs(w keystore.Writer, area ID, h cryptoki.ObjectHandle, used uint64) error {
	if used == 0 {
		return nil
	}
	b := binary.BigEndian.AppendUint64(nil, used)
	sum := p.config.Counters.Sum(p.ivsContext(h, b))
	return w.Put(keystore.TableCounter, ivsKey(area, h), append(b, sum[:]...))
}

func (p *Partition) ivs(r keystore.Reader, area ID, h cryptoki.ObjectHandle) (used uint64, err error) {
	b, err := r.Get(keystore.TableCounter, ivsKey(area, h))
	if err != nil || b == nil {
		return 0, err
	}
	if len(b) != ivsSize+seal.MACSize || !p.config.Counters.Verify(p.ivsContext(h, b[:ivsSize]), b[ivsSize:]) {
		return 0, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "the count of the messages of object %d is damaged", h)
	}
	return binary.BigEndian.Uint64(b), nil
}
