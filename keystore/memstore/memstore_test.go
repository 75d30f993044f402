package memstore

import (
	"errors"
	"testing"

	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/keystore/storetest"
)

func TestSuite(t *testing.T) {
	storetest.RunSuite(t, func(*testing.T) storetest.Open {
		d := new(Disk)
		return func() (keystore.Store, error) { return Open(d), nil }
	})
}

func TestFail(t *testing.T) {
	d := new(Disk)
	s := Open(d)
	cause := errors.New("no space")
	key := []byte("key")
	err := s.Update(func(w keystore.Writer) error {
		s.Fail(cause)
		return w.Put(keystore.TableHSM, key, nil)
	})
	for name, err := range map[string]error{
		"the update under way": err,
		"Update":               s.Update(func(keystore.Writer) error { return nil }),
		"View":                 s.View(func(keystore.Reader) error { return nil }),
		"Failed":               s.Failed(),
	} {
		if !errors.Is(err, keystore.ErrFailed) || !errors.Is(err, cause) {
			t.Errorf("%s returned %v", name, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := Open(d).View(func(r keystore.Reader) error {
		if got, err := r.Get(keystore.TableHSM, key); err != nil || got != nil {
			t.Errorf("a failed update left %q, %v", got, err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
