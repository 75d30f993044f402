package partition_test

import (
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/object"
	"tidelock.dev/tidelock/partition"
)

// clear empties the partition, as a destructive change of a policy does.
func (w *world) clear(version uint8) (old partition.ID) {
	w.t.Helper()
	i := w.p.Identity()
	i.Version = version
	area := partition.Area(77)
	w.update(func(u keystore.Writer) (err error) {
		old, err = w.p.Clear(u, area, i)
		return err
	})
	w.p.Cleared(area, i)
	return old
}

// version makes the partition one of version 1 without taking anything away.
func (w *world) version1() {
	w.t.Helper()
	i := w.p.Identity()
	i.Version = 1
	w.update(func(u keystore.Writer) error { return w.p.SetIdentity(u, i) })
	w.p.Adopt(i)
}

// Clear takes every object, and leaves roles, logins and the key that opens private
// objects.
func TestClear(t *testing.T) {
	w := ready(t, 1<<20, nil)
	s := w.login(cryptoki.CKU_USER, ownerPIN)
	var last cryptoki.ObjectHandle
	for range 5 {
		h, err := s.Create(partition.Token{1}, data(true, 100))
		if err != nil {
			t.Fatal(err)
		}
		last = h
	}
	temporary := data(true, 10)
	temporary[1].Value = cryptoki.Bool(false)
	if _, err := s.Create(partition.Token{}, temporary); err != nil {
		t.Fatal(err)
	}
	old := w.clear(0)
	if found, _, err := s.Find(nil, 0, 0); err != nil || len(found) != 0 {
		t.Errorf("found %v (%v) after the partition was emptied", found, err)
	}
	if u, err := w.p.Usage(); err != nil || u != (partition.Usage{}) {
		t.Errorf("usage %+v, %v", u, err)
	}
	for done := false; !done; {
		var err error
		if done, err = partition.Sweep(w.config.Store, old); err != nil {
			t.Fatal(err)
		}
	}
	h, err := s.Create(partition.Token{1}, data(true, 100))
	if err != nil || h <= last {
		t.Errorf("a new object has handle %d (%v), the last was %d", h, err, last)
	}
	s.Close()
	w.open()
	again := w.login(cryptoki.CKU_USER, ownerPIN)
	if found, _, err := again.Find(nil, 0, 0); err != nil || len(found) != 1 || found[0] != h {
		t.Errorf("after a restart: %v, %v", found, err)
	}
	if left := records(t, w.config.Store, old); left != 0 {
		t.Errorf("%d records are left of what was erased", left)
	}
}

func records(t *testing.T, s keystore.Store, area partition.ID) (n int) {
	t.Helper()
	err := s.View(func(r keystore.Reader) error {
		for _, table := range []keystore.Table{keystore.TableObject, keystore.TableIndex} {
			prefix := []byte{byte(area >> 24), byte(area >> 16), byte(area >> 8), byte(area)}
			if err := r.Scan(table, prefix, nil, func(_, _ []byte) (bool, error) {
				n++
				return true, nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The Limited Crypto Officer comes with version 1 and goes with it.
func TestLimitedCryptoOfficer(t *testing.T) {
	w := ready(t, 1<<20, nil)
	co := w.login(cryptoki.CKU_USER, ownerPIN)
	code(t, co.InitRole(cryptoki.CKU_LIMITED_CRYPTO_OFFICER, bytes(userPIN)), cryptoki.CKR_USER_PIN_NOT_INITIALIZED)
	w.version1()
	_, err := w.session().Login(cryptoki.CKU_LIMITED_CRYPTO_OFFICER, bytes(userPIN))
	code(t, err, cryptoki.CKR_USER_PIN_NOT_INITIALIZED)
	code(t, co.InitRole(cryptoki.CKU_LIMITED_CRYPTO_OFFICER, bytes(userPIN)), cryptoki.CKR_OK)
	lco := w.login(cryptoki.CKU_LIMITED_CRYPTO_OFFICER, userPIN)
	h, err := lco.Create(partition.Token{}, data(true, 10))
	code(t, err, cryptoki.CKR_OK)
	code(t, lco.InitRole(cryptoki.CKU_CRYPTO_USER, bytes(initialPIN)), cryptoki.CKR_USER_NOT_LOGGED_IN)
	code(t, co.ResetRole(cryptoki.CKU_LIMITED_CRYPTO_OFFICER, bytes(initialPIN)), cryptoki.CKR_OK)
	if found, _, err := co.Find(nil, 0, 0); err != nil || len(found) != 1 || found[0] != h {
		t.Errorf("the Crypto Officer finds %v (%v)", found, err)
	}
	w.clear(0)
	if role := lco.Role(); role != partition.RoleNone {
		t.Errorf("still logged in as %v", role)
	}
	_, err = w.session().Login(cryptoki.CKU_LIMITED_CRYPTO_OFFICER, bytes(initialPIN))
	code(t, err, cryptoki.CKR_USER_PIN_NOT_INITIALIZED)
	w.version1()
	if s, err := w.p.RoleState(cryptoki.CKU_LIMITED_CRYPTO_OFFICER); err != nil || s.Initialized {
		t.Errorf("the officer of the time before is back: %+v, %v", s, err)
	}
}

// A partition of version 0 keeps the attributes of Per-Key Authorization to itself.
func TestPerKeyAttributes(t *testing.T) {
	w := ready(t, 1<<20, nil)
	s := w.login(cryptoki.CKU_USER, ownerPIN)
	key := cryptoki.Template{
		{Type: cryptoki.CKA_CLASS, Value: cryptoki.ULong(uint64(cryptoki.CKO_SECRET_KEY))},
		{Type: cryptoki.CKA_KEY_TYPE, Value: cryptoki.ULong(uint64(cryptoki.CKK_AES))},
		{Type: cryptoki.CKA_VALUE, Value: make([]byte, 32)},
		{Type: cryptoki.CKA_TOKEN, Value: cryptoki.Bool(true)},
	}
	assigned := append(key[:len(key):len(key)], cryptoki.Attribute{Type: cryptoki.CKA_ASSIGNED, Value: cryptoki.Bool(false)})
	authorized := append(key[:len(key):len(key)], cryptoki.Attribute{Type: cryptoki.CKA_AUTH_DATA, Value: []byte("12345678")})
	_, err := s.Create(partition.Token{}, assigned)
	code(t, err, cryptoki.CKR_ASSIGNED_KEY_NOT_ALLOWED)
	_, err = s.Create(partition.Token{}, authorized)
	code(t, err, cryptoki.CKR_AUTH_DATA_NOT_ALLOWED)
	h, err := s.Create(partition.Token{}, key)
	code(t, err, cryptoki.CKR_OK)
	status := []uint64{uint64(cryptoki.CKA_KEY_STATUS), uint64(cryptoki.CKA_ASSIGNED), uint64(cryptoki.CKA_FAILED_KEY_AUTH_COUNT)}
	read := func() (shown int, err error) {
		err = s.Attributes(h, status, func(st object.Status, _ []byte) {
			if st == object.Present {
				shown++
			}
		})
		return shown, err
	}
	n, err := read()
	code(t, err, cryptoki.CKR_ATTRIBUTE_TYPE_INVALID)
	if n != 0 {
		t.Errorf("version 0 shows %d of the attributes", n)
	}
	by := cryptoki.Template{{Type: cryptoki.CKA_KEY_STATUS, Value: []byte{0, 3, 0, 0}}}
	if found, _, err := s.Find(by, 0, 0); err != nil || len(found) != 0 {
		t.Errorf("version 0 finds %v by CKA_KEY_STATUS (%v)", found, err)
	}
	w.version1()
	if n, err := read(); n != 3 || err != nil {
		t.Errorf("version 1 shows %d of the attributes (%v)", n, err)
	}
	if found, _, err := s.Find(by, 0, 0); err != nil || len(found) != 1 {
		t.Errorf("version 1 finds %v by CKA_KEY_STATUS (%v)", found, err)
	}
}
