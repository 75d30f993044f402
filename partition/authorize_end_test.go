package partition_test

import (
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/partition"
)

// standings is how many counts of wrong authorizations the store has.
func (w *world) standings() (n int) {
	w.t.Helper()
	err := w.config.Store.View(func(r keystore.Reader) error {
		return r.Scan(keystore.TableCounter, nil, nil, func(key, _ []byte) (bool, error) {
			if key[4] == 'f' {
				n++
			}
			return true, nil
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// A count of wrong authorizations lives as long as a key that it is for, and no longer.
func TestStandingsEnd(t *testing.T) {
	const right, wrong = "12345678", "87654321"
	temporary := cryptoki.Template{{Type: cryptoki.CKA_TOKEN, Value: cryptoki.Bool(false)}}
	for _, test := range []struct {
		name    string
		session bool // the key is a session object
		act     func(w *world, s *partition.Session, h cryptoki.ObjectHandle)
		left    int
	}{
		{name: "a key that is there", act: func(w *world, _ *partition.Session, _ cryptoki.ObjectHandle) {
			code(t, w.p.Tend(), cryptoki.CKR_OK)
		}, left: 1},
		{name: "destroyed", act: func(_ *world, s *partition.Session, h cryptoki.ObjectHandle) {
			code(t, s.Destroy(h), cryptoki.CKR_OK)
		}},
		{name: "a copy is left", act: func(_ *world, s *partition.Session, h cryptoki.ObjectHandle) {
			twin, err := s.Copy(partition.Token{}, h, nil)
			code(t, err, cryptoki.CKR_OK)
			code(t, s.Destroy(h), cryptoki.CKR_OK)
			if _, failed := status(t, s, twin); failed != 1 {
				t.Errorf("the copy has %d failures", failed)
			}
		}, left: 1},
		{name: "the copy goes too", act: func(_ *world, s *partition.Session, h cryptoki.ObjectHandle) {
			twin, err := s.Copy(partition.Token{}, h, nil)
			code(t, err, cryptoki.CKR_OK)
			code(t, s.Destroy(h), cryptoki.CKR_OK)
			code(t, s.Destroy(twin), cryptoki.CKR_OK)
		}},
		{name: "a copy is left in a session", act: func(_ *world, s *partition.Session, h cryptoki.ObjectHandle) {
			twin, err := s.Copy(partition.Token{}, h, temporary)
			code(t, err, cryptoki.CKR_OK)
			code(t, s.Destroy(h), cryptoki.CKR_OK)
			if _, failed := status(t, s, twin); failed != 1 {
				t.Errorf("the copy has %d failures", failed)
			}
		}, left: 1},
		{name: "the session goes too", act: func(_ *world, s *partition.Session, h cryptoki.ObjectHandle) {
			_, err := s.Copy(partition.Token{}, h, temporary)
			code(t, err, cryptoki.CKR_OK)
			code(t, s.Destroy(h), cryptoki.CKR_OK)
			s.Close()
		}},
		{name: "a session object is destroyed", session: true, act: func(_ *world, s *partition.Session, h cryptoki.ObjectHandle) {
			code(t, s.Destroy(h), cryptoki.CKR_OK)
		}},
		{name: "its session ends", session: true, act: func(_ *world, s *partition.Session, _ cryptoki.ObjectHandle) { s.Close() }},
		{name: "its login ends", session: true, act: func(_ *world, s *partition.Session, _ cryptoki.ObjectHandle) {
			code(t, s.Logout(), cryptoki.CKR_OK)
		}},
		{name: "a session object is there", session: true, act: func(w *world, _ *partition.Session, _ cryptoki.ObjectHandle) {
			code(t, w.p.Tend(), cryptoki.CKR_OK)
		}, left: 1},
		{name: "its server ends", session: true, act: func(w *world, _ *partition.Session, _ cryptoki.ObjectHandle) {
			w.open()
			code(t, w.p.Tend(), cryptoki.CKR_OK)
		}},
		{name: "the server of a token object ends", act: func(w *world, _ *partition.Session, _ cryptoki.ObjectHandle) {
			w.open()
			code(t, w.p.Tend(), cryptoki.CKR_OK)
		}, left: 1},
		{name: "other data", act: func(_ *world, s *partition.Session, h cryptoki.ObjectHandle) {
			code(t, s.ResetAuthorizationData(h, bytes("another one")), cryptoki.CKR_OK)
		}},
		{name: "other data of a session object", session: true, act: func(_ *world, s *partition.Session, h cryptoki.ObjectHandle) {
			code(t, s.ResetAuthorizationData(h, bytes("another one")), cryptoki.CKR_OK)
		}},
		{name: "other data, and a copy keeps the old", act: func(_ *world, s *partition.Session, h cryptoki.ObjectHandle) {
			_, err := s.Copy(partition.Token{}, h, nil)
			code(t, err, cryptoki.CKR_OK)
			code(t, s.ResetAuthorizationData(h, bytes("another one")), cryptoki.CKR_OK)
		}, left: 1},
		{name: "another label", act: func(_ *world, s *partition.Session, h cryptoki.ObjectHandle) {
			code(t, s.SetAttributes(h, cryptoki.Template{{Type: cryptoki.CKA_LABEL, Value: []byte("other")}}), cryptoki.CKR_OK)
			if _, failed := status(t, s, h); failed != 1 {
				t.Errorf("the key has %d failures", failed)
			}
		}, left: 1},
		{name: "the partition is emptied", act: func(w *world, _ *partition.Session, _ cryptoki.ObjectHandle) {
			old := w.clear(1)
			for done := false; !done; {
				var err error
				if done, err = partition.Sweep(w.config.Store, old); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := ready(t, 1<<20, nil)
			w.version1()
			s := w.login(cryptoki.CKU_USER, ownerPIN)
			template := guardedTemplate(right)
			if test.session {
				template[3].Value = cryptoki.Bool(false)
			}
			h, err := s.Create(partition.Token{}, template)
			code(t, err, cryptoki.CKR_OK)
			code(t, s.AuthorizeKey(h, bytes(wrong)), cryptoki.CKR_AUTH_DATA_INCORRECT)
			if n := w.standings(); n != 1 {
				t.Fatalf("%d counts in the store", n)
			}
			test.act(w, s, h)
			if n := w.standings(); n != test.left {
				t.Errorf("%d counts are left, not %d", n, test.left)
			}
		})
	}
}

// A session takes the counts of its keys along while the application goes on in another.
func TestStandingsEndWithOneSession(t *testing.T) {
	w := ready(t, 1<<20, nil)
	w.version1()
	m := w.p.Join(partition.Actor{Application: 100})
	var sessions [2]*partition.Session
	for i := range sessions {
		var err error
		sessions[i], err = w.p.Open(m, cryptoki.SessionHandle(100+i), 0, true, func() {})
		code(t, err, cryptoki.CKR_OK)
	}
	_, err := sessions[0].Login(cryptoki.CKU_USER, bytes(ownerPIN))
	code(t, err, cryptoki.CKR_OK)
	template := guardedTemplate("12345678")
	template[3].Value = cryptoki.Bool(false)
	h, err := sessions[0].Create(partition.Token{}, template)
	code(t, err, cryptoki.CKR_OK)
	code(t, sessions[0].AuthorizeKey(h, bytes("87654321")), cryptoki.CKR_AUTH_DATA_INCORRECT)
	sessions[0].Close()
	if n := w.standings(); n != 0 || sessions[1].Role() != partition.RoleCryptoOfficer {
		t.Errorf("%d counts are left, and the application is %v", n, sessions[1].Role())
	}
}

// A copy of what a key was before its data was changed is not made: the count of the old data
// is gone, and would begin anew.
func TestCopyMeetsOtherData(t *testing.T) {
	for _, from := range []bool{true, false} {
		for _, into := range []bool{true, false} {
			w := ready(t, 1<<20, nil)
			w.version1()
			store := &meanwhile{Store: w.config.Store}
			w.config.Store = store
			w.open()
			s := w.login(cryptoki.CKU_USER, ownerPIN)
			template := guardedTemplate("12345678")
			template[3].Value = cryptoki.Bool(from)
			h, err := s.Create(partition.Token{}, template)
			code(t, err, cryptoki.CKR_OK)
			code(t, s.AuthorizeKey(h, bytes("87654321")), cryptoki.CKR_AUTH_DATA_INCORRECT)
			store.act = func() { code(t, s.ResetAuthorizationData(h, bytes("another one")), cryptoki.CKR_OK) }
			_, err = s.Copy(partition.Token{}, h, cryptoki.Template{{Type: cryptoki.CKA_TOKEN, Value: cryptoki.Bool(into)}})
			code(t, err, cryptoki.CKR_FUNCTION_FAILED)
			if found, _, err := s.Find(nil, 0, 0); err != nil || len(found) != 1 {
				t.Errorf("durable %v into %v: found %v, %v", from, into, found, err)
			}
		}
	}
}

// A try that meets the end of its key leaves no count for long.
func TestStandingOfADestroyedKey(t *testing.T) {
	const right, wrong = "12345678", "87654321"
	for name, try := range map[string]func(s *partition.Session, h cryptoki.ObjectHandle) error{
		"wrong data":   func(s *partition.Session, h cryptoki.ObjectHandle) error { return s.AuthorizeKey(h, bytes(wrong)) },
		"right data":   func(s *partition.Session, h cryptoki.ObjectHandle) error { return s.AuthorizeKey(h, bytes(right)) },
		"counted once": func(s *partition.Session, h cryptoki.ObjectHandle) error { return s.IncrementFailedAuthCount(h) },
	} {
		t.Run(name, func(t *testing.T) {
			w := ready(t, 1<<20, nil)
			w.version1()
			store := &meanwhile{Store: w.config.Store}
			w.config.Store = store
			w.open()
			s := w.login(cryptoki.CKU_USER, ownerPIN)
			h, err := s.Create(partition.Token{}, append(guardedTemplate(right), cryptoki.Attribute{Type: cryptoki.CKA_MODIFIABLE, Value: cryptoki.Bool(false)}))
			code(t, err, cryptoki.CKR_OK)
			code(t, s.AssignKey(h), cryptoki.CKR_OK)
			destroy := func() { code(t, s.Destroy(h), cryptoki.CKR_OK) }
			if name == "counted once" {
				store.act = destroy
			} else {
				store.after = destroy // the try was begun
			}
			_ = try(s, h)
			code(t, w.p.Tend(), cryptoki.CKR_OK)
			if n := w.standings(); n != 0 {
				t.Errorf("%d counts are left", n)
			}
		})
	}
}

// Nor does a copy in a session that is taken back, since its original has gone.
func TestStandingOfACopyTakenBack(t *testing.T) {
	w := ready(t, 1<<20, nil)
	w.version1()
	store := &meanwhile{Store: w.config.Store}
	w.config.Store = store
	w.open()
	s := w.login(cryptoki.CKU_USER, ownerPIN)
	h, err := s.Create(partition.Token{}, guardedTemplate("12345678"))
	code(t, err, cryptoki.CKR_OK)
	code(t, s.AuthorizeKey(h, bytes("87654321")), cryptoki.CKR_AUTH_DATA_INCORRECT)
	store.act = func() { code(t, s.Destroy(h), cryptoki.CKR_OK) }
	_, err = s.Copy(partition.Token{}, h, cryptoki.Template{{Type: cryptoki.CKA_TOKEN, Value: cryptoki.Bool(false)}})
	code(t, err, cryptoki.CKR_OBJECT_HANDLE_INVALID)
	if n := w.standings(); n != 0 {
		t.Errorf("%d counts are left", n)
	}
}

// A session that makes, authorizes and destroys keys for years keeps nothing of them.
func TestAuthorizationGoesWithItsKey(t *testing.T) {
	for _, durable := range []bool{true, false} {
		w := ready(t, 1<<20, nil)
		w.version1()
		s := w.login(cryptoki.CKU_USER, ownerPIN)
		template := guardedTemplate("12345678")
		template[3].Value = cryptoki.Bool(durable)
		h, err := s.Create(partition.Token{}, template)
		code(t, err, cryptoki.CKR_OK)
		code(t, s.AuthorizeKey(h, bytes("12345678")), cryptoki.CKR_OK)
		code(t, s.Destroy(h), cryptoki.CKR_OK)
		if n := s.KeysAuthorized(); n != 0 {
			t.Errorf("durable %v: the session keeps %d", durable, n)
		}
	}
}
