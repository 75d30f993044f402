package partition_test

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/partition"
)

// counted has a partition whose keys encrypt so many messages, in blocks of so many.
func counted(t *testing.T, most, block uint64) *budgets {
	t.Helper()
	w := ready(t, 1<<20, nil)
	c := &cut{Store: w.config.Store, left: -1}
	w.config.Store = c
	b := &budgets{world: w, cut: c, most: most, block: block}
	b.restart()
	return b
}

type budgets struct {
	*world
	cut         *cut
	most, block uint64
	s           *partition.Session
}

// restart is a server that ends without a word, and the next.
func (b *budgets) restart() {
	b.t.Helper()
	b.cut.after(-1)
	b.open()
	b.p.LimitIVs(b.most, b.block)
	b.s = b.login(cryptoki.CKU_USER, ownerPIN)
}

// aes makes a key that encrypts.
func (b *budgets) aes(durable bool) cryptoki.ObjectHandle {
	b.t.Helper()
	h, err := b.s.Create(partition.Token{}, cryptoki.Template{
		{Type: cryptoki.CKA_CLASS, Value: cryptoki.ULong(uint64(cryptoki.CKO_SECRET_KEY))},
		{Type: cryptoki.CKA_KEY_TYPE, Value: cryptoki.ULong(uint64(cryptoki.CKK_AES))},
		{Type: cryptoki.CKA_VALUE, Value: make([]byte, 32)},
		{Type: cryptoki.CKA_TOKEN, Value: cryptoki.Bool(durable)},
		{Type: cryptoki.CKA_ENCRYPT, Value: cryptoki.Bool(true)},
		{Type: cryptoki.CKA_DECRYPT, Value: cryptoki.Bool(true)},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return h
}

func (b *budgets) encrypt(h cryptoki.ObjectHandle, generator uint64) (mech.Sealed, error) {
	m := cryptoki.New(cryptoki.CKM_AES_GCM)
	return b.s.Message(mech.Encrypt, &m, h, &mech.Message{IV: make([]byte, 12), TagBits: 128, Generator: generator})
}

// until encrypts until that is refused, and tells how often it was not.
func (b *budgets) until(h cryptoki.ObjectHandle, refused cryptoki.RV) (n uint64) {
	b.t.Helper()
	for ; n <= b.most; n++ {
		if _, err := b.encrypt(h, cryptoki.CKG_GENERATE); err != nil {
			code(b.t, err, refused)
			return n
		}
	}
	b.t.Errorf("a key encrypted %d messages of %d", n, b.most)
	return n
}

// wants uses a key up and compares how much there was.
func (b *budgets) wants(what string, h cryptoki.ObjectHandle, n uint64) {
	b.t.Helper()
	if got := b.until(h, cryptoki.CKR_KEY_EXHAUSTED); got != n {
		b.t.Errorf("%s encrypted %d messages, want %d", what, got, n)
	}
}

// A key encrypts as many messages under random IVs as it may, and no more; what else it is
// good for stays.
func TestBudget(t *testing.T) {
	for name, durable := range map[string]bool{"token": true, "session": false} {
		t.Run(name, func(t *testing.T) {
			b := counted(t, 10, 4)
			h := b.aes(durable)
			sealed, err := b.encrypt(h, cryptoki.CKG_GENERATE)
			code(t, err, cryptoki.CKR_OK)
			// A changed key is the same key.
			code(t, b.s.SetAttributes(h, cryptoki.Template{{Type: cryptoki.CKA_LABEL, Value: []byte("changed")}}), cryptoki.CKR_OK)
			_, err = b.encrypt(h, cryptoki.CKG_NO_GENERATE)
			code(t, err, cryptoki.CKR_OK)
			b.wants("the key", h, 9)
			code(t, b.s.SetAttributes(h, cryptoki.Template{{Type: cryptoki.CKA_LABEL, Value: []byte("again")}}), cryptoki.CKR_OK)
			b.wants("the key that is used up", h, 0)
			_, err = b.encrypt(h, cryptoki.CKG_NO_GENERATE)
			code(t, err, cryptoki.CKR_OK)
			m := cryptoki.New(cryptoki.CKM_AES_GCM)
			_, err = b.s.Message(mech.Decrypt, &m, h, &mech.Message{IV: sealed.IV, TagBits: 128, Tag: sealed.Tag})
			code(t, err, cryptoki.CKR_OK)
			b.wants("another key", b.aes(durable), 10)
		})
	}
}

// A server that ends loses what is left of a block. One that keeps running does not, whatever
// falls out of its memory.
func TestBudgetAfterARestart(t *testing.T) {
	b := counted(t, 10, 4)
	h := b.aes(true)
	_, err := b.encrypt(h, cryptoki.CKG_GENERATE)
	code(t, err, cryptoki.CKR_OK)
	code(t, b.s.Logout(), cryptoki.CKR_OK) // private objects leave the memory
	_, err = b.s.Login(cryptoki.CKU_USER, bytes(ownerPIN))
	code(t, err, cryptoki.CKR_OK)
	_, err = b.encrypt(h, cryptoki.CKG_GENERATE)
	code(t, err, cryptoki.CKR_OK)
	b.restart()
	b.wants("the key", h, 6)
	b.restart()
	b.wants("the key that is used up", h, 0)
}

// Whenever the server ends, a key never encrypts more than it may, and what is lost is no
// more than a block each time.
func TestBudgetIsCut(t *testing.T) {
	const most, block = 40, 4
	for updates := range 4 {
		b := counted(t, most, block)
		h := b.aes(true)
		var all, restarts uint64
		for {
			b.cut.after(updates)
			n := uint64(0)
			var err error
			for err == nil && n <= most {
				if _, err = b.encrypt(h, cryptoki.CKG_GENERATE); err == nil {
					n++
				}
			}
			all += n
			if cryptoki.Code(err) == cryptoki.CKR_KEY_EXHAUSTED {
				break
			}
			code(t, err, cryptoki.CKR_DEVICE_ERROR)
			if n%block != 0 || n != uint64(updates)*block {
				t.Fatalf("%d updates of the store gave %d messages", updates, n)
			}
			if updates == 0 {
				break // it is never more than none
			}
			// One more block is begun and lost.
			b.restart()
			if _, err := b.encrypt(h, cryptoki.CKG_GENERATE); err == nil {
				all++
			}
			b.restart()
			restarts++
		}
		if all > most || updates > 0 && all+restarts*(block-1) < most {
			t.Errorf("cut after %d updates: %d messages, %d restarts", updates, all, restarts)
		}
	}
}

// Many at once take no more than there is, from blocks that come meanwhile.
func TestBudgetConcurrently(t *testing.T) {
	for name, durable := range map[string]bool{"token": true, "session": false} {
		t.Run(name, func(t *testing.T) {
			b := counted(t, 500, 7)
			h := b.aes(durable)
			var n atomic.Uint64
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for {
						if _, err := b.encrypt(h, cryptoki.CKG_GENERATE); err != nil {
							code(t, err, cryptoki.CKR_KEY_EXHAUSTED)
							return
						}
						if n.Add(1) > 500 {
							return
						}
					}
				})
			}
			wg.Go(func() {
				for i := range 50 {
					err := b.s.SetAttributes(h, cryptoki.Template{{Type: cryptoki.CKA_LABEL, Value: []byte{byte(i)}}})
					code(t, err, cryptoki.CKR_OK)
				}
			})
			wg.Wait()
			if n.Load() != 500 {
				t.Errorf("%d messages of 500", n.Load())
			}
		})
	}
}

// A copy begins where its original is.
func TestBudgetOfCopies(t *testing.T) {
	token := func(durable bool) cryptoki.Template {
		return cryptoki.Template{{Type: cryptoki.CKA_TOKEN, Value: cryptoki.Bool(durable)}}
	}
	for _, test := range []struct {
		name     string
		from, to bool // token objects
		fresh    uint64
		left     uint64
	}{
		{"token to token", true, true, 10, 6},
		{"token to session", true, false, 10, 6},
		{"session to token", false, true, 10, 9},
		{"session to session", false, false, 10, 9},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := counted(t, 10, 4)
			h := b.aes(test.from)
			fresh, err := b.s.Copy(partition.Token{}, h, token(test.to))
			code(t, err, cryptoki.CKR_OK)
			b.wants("a copy of an unused key", fresh, test.fresh)
			_, err = b.encrypt(h, cryptoki.CKG_GENERATE)
			code(t, err, cryptoki.CKR_OK)
			later, err := b.s.Copy(partition.Token{}, h, token(test.to))
			code(t, err, cryptoki.CKR_OK)
			b.wants("a copy", later, test.left)
			b.wants("the original", h, 9)
			last, err := b.s.Copy(partition.Token{}, h, token(test.to))
			code(t, err, cryptoki.CKR_OK)
			b.wants("a copy of a key that is used up", last, 0)
		})
	}
}

// ivRecords counts the records of random IVs, of every area.
func ivRecords(t *testing.T, s keystore.Store) (n int) {
	t.Helper()
	err := s.View(func(r keystore.Reader) error {
		return r.Scan(keystore.TableCounter, nil, nil, func(key, _ []byte) (bool, error) {
			if key[4] == 'g' {
				n++
			}
			return true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The count goes with its key: destroyed, or erased with its area.
func TestBudgetGoesWithItsKey(t *testing.T) {
	b := counted(t, 10, 4)
	h, other := b.aes(true), b.aes(true)
	for _, key := range []cryptoki.ObjectHandle{h, other} {
		_, err := b.encrypt(key, cryptoki.CKG_GENERATE)
		code(t, err, cryptoki.CKR_OK)
	}
	if n := ivRecords(t, b.config.Store); n != 2 {
		t.Fatalf("%d records for two keys", n)
	}
	code(t, b.s.Destroy(h), cryptoki.CKR_OK)
	if n := ivRecords(t, b.config.Store); n != 1 {
		t.Errorf("%d records for one key", n)
	}
	old := b.clear(0)
	for done := false; !done; {
		var err error
		if done, err = partition.Sweep(b.config.Store, old); err != nil {
			t.Fatal(err)
		}
	}
	if n := ivRecords(t, b.config.Store); n != 0 {
		t.Errorf("%d records after the partition was emptied", n)
	}
}

// A message that meets the destruction of its key leaves no count behind.
func TestBudgetOfADestroyedKey(t *testing.T) {
	b := counted(t, 100, 1)
	m := &meanwhile{Store: b.cut}
	b.config.Store = m
	b.restart()
	h := b.aes(true)
	m.act = func() { code(t, b.s.Destroy(h), cryptoki.CKR_OK) }
	_, err := b.encrypt(h, cryptoki.CKG_GENERATE)
	code(t, err, cryptoki.CKR_KEY_HANDLE_INVALID)
	if n := ivRecords(t, b.config.Store); n != 0 {
		t.Errorf("%d records of a key that is gone", n)
	}
}

// An update of the firmware takes the counts along.
func TestBudgetAfterAConversion(t *testing.T) {
	b := counted(t, 10, 4)
	used, unused := b.aes(true), b.aes(true)
	b.wants("a key", used, 10)
	c, err := b.p.Convert(firmware.Newest, partition.Area(99))
	if err != nil {
		t.Fatal(err)
	}
	for done := false; !done; {
		if _, done, err = c.Next(); err != nil {
			t.Fatal(err)
		}
	}
	var old partition.ID
	b.update(func(w keystore.Writer) error {
		old, err = c.Commit(w, b.p.Identity())
		return err
	})
	if _, err := partition.Sweep(b.config.Store, old); err != nil {
		t.Fatal(err)
	}
	b.restart()
	b.wants("the key that was used up", used, 0)
	b.wants("a key that was not used", unused, 10)
}

// A count that somebody else has written is not believed.
func TestBudgetIsAuthentic(t *testing.T) {
	for name, change := range map[string]func(record []byte) []byte{
		"lower":  func(b []byte) []byte { return append(binary.BigEndian.AppendUint64(nil, 0), b[8:]...) },
		"longer": func(b []byte) []byte { return append(b, 0) },
		"short":  func(b []byte) []byte { return b[:7] },
	} {
		t.Run(name, func(t *testing.T) {
			b := counted(t, 10, 4)
			h := b.aes(true)
			_, err := b.encrypt(h, cryptoki.CKG_GENERATE)
			code(t, err, cryptoki.CKR_OK)
			b.update(func(w keystore.Writer) error {
				return w.Scan(keystore.TableCounter, nil, nil, func(key, record []byte) (bool, error) {
					if key[4] == 'g' {
						return true, w.Put(keystore.TableCounter, key, change(append([]byte(nil), record...)))
					}
					return true, nil
				})
			})
			b.restart()
			_, err = b.encrypt(h, cryptoki.CKG_GENERATE)
			code(t, err, cryptoki.CKR_DEVICE_ERROR)
		})
	}
}
