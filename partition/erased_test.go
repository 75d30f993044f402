package partition_test

import (
	"encoding/binary"
	"testing"
	"time"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/partition"
)

// erasing erases the partition after a number of further updates, as a zeroization
// does that overtakes a call.
type erasing struct {
	keystore.Store
	id    partition.ID
	after int
}

func (s *erasing) Update(fn func(keystore.Writer) error) error {
	if s.after--; s.after == 0 {
		err := s.Store.Update(func(w keystore.Writer) error {
			_, err := partition.Erase(w, s.id)
			return err
		})
		if err != nil {
			return err
		}
	}
	return s.Store.Update(fn)
}

func TestErasedMeanwhile(t *testing.T) {
	for _, test := range []struct {
		name  string
		after int
		call  func(w *world) error
	}{
		{"login", 2, func(w *world) error {
			_, err := w.session().Login(cryptoki.CKU_USER, bytes(ownerPIN))
			return err
		}},
		{"change of a PIN", 2, func(w *world) error { return w.session().SetPIN(bytes(ownerPIN), bytes(userPIN)) }},
		{"making of a role", 3, func(w *world) error { // two updates are the login's
			return w.login(cryptoki.CKU_USER, ownerPIN).InitRole(cryptoki.CKU_CRYPTO_USER, bytes(initialPIN))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := ready(t, 1<<20, forced)
			w.config.TicketLife = func() time.Duration { return time.Hour }
			store := w.config.Store
			w.config.Store = &erasing{Store: store, id: w.p.ID(), after: test.after}
			w.open()
			code(t, test.call(w), cryptoki.CKR_DEVICE_REMOVED)
			left := 0
			err := store.View(func(r keystore.Reader) error {
				for _, table := range []keystore.Table{keystore.TablePartition, keystore.TableCounter} {
					err := r.Scan(table, binary.BigEndian.AppendUint32(nil, uint32(w.p.ID())), nil, func(_, _ []byte) (bool, error) {
						left++
						return true, nil
					})
					if err != nil {
						return err
					}
				}
				return nil
			})
			if left != 0 || err != nil {
				t.Errorf("%d records of an erased partition, %v", left, err)
			}
		})
	}
}
