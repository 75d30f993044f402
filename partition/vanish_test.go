package partition_test

import (
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/partition"
)

// meanwhile is a store that lets a test act before an update, and after it, once.
type meanwhile struct {
	keystore.Store
	act, after func()
}

func (s *meanwhile) Update(fn func(keystore.Writer) error) error {
	if act := s.act; act != nil {
		s.act = nil
		act()
	}
	err := s.Store.Update(fn)
	if after := s.after; after != nil {
		s.after = nil
		after()
	}
	return err
}

// What is made of a key does not come to be when the key goes before it is there, with the
// whole partition or alone: the erasure that goes with a change of a policy is for every
// key from before it.
func TestSourceVanishes(t *testing.T) {
	secretKey := func(pairs ...cryptoki.Attribute) cryptoki.Template {
		return append(cryptoki.Template{
			{Type: cryptoki.CKA_CLASS, Value: cryptoki.ULong(uint64(cryptoki.CKO_SECRET_KEY))},
			{Type: cryptoki.CKA_KEY_TYPE, Value: cryptoki.ULong(uint64(cryptoki.CKK_AES))},
		}, pairs...)
	}
	yes := func(types ...cryptoki.AttributeType) (t cryptoki.Template) {
		for _, typ := range types {
			t = append(t, cryptoki.Attribute{Type: typ, Value: cryptoki.Bool(true)})
		}
		return t
	}
	value := cryptoki.Attribute{Type: cryptoki.CKA_VALUE, Value: make([]byte, 32)}
	keyWrap := cryptoki.New(cryptoki.CKM_AES_KEY_WRAP)
	for _, c := range []struct {
		what string
		does func(s *partition.Session, source, other cryptoki.ObjectHandle, into cryptoki.Attribute) error
		want cryptoki.RV
	}{
		{"C_CopyObject", func(s *partition.Session, source, _ cryptoki.ObjectHandle, into cryptoki.Attribute) error {
			_, err := s.Copy(partition.Token{}, source, cryptoki.Template{into})
			return err
		}, cryptoki.CKR_OBJECT_HANDLE_INVALID},
		{"C_WrapKey", func(s *partition.Session, source, other cryptoki.ObjectHandle, _ cryptoki.Attribute) error {
			_, err := s.WrapKey(&keyWrap, other, source, 4096)
			return err
		}, cryptoki.CKR_KEY_HANDLE_INVALID},
		{"C_WrapKey, the wrapping key", func(s *partition.Session, source, other cryptoki.ObjectHandle, _ cryptoki.Attribute) error {
			_, err := s.WrapKey(&keyWrap, source, other, 4096)
			return err
		}, cryptoki.CKR_WRAPPING_KEY_HANDLE_INVALID},
		{"C_UnwrapKey", func(s *partition.Session, source, other cryptoki.ObjectHandle, into cryptoki.Attribute) error {
			wrapped, err := s.WrapKey(&keyWrap, source, other, 4096)
			if err != nil {
				return nil // it has gone already
			}
			_, err = s.UnwrapKey(partition.Token{}, &keyWrap, source, wrapped.Data, secretKey(into))
			return err
		}, cryptoki.CKR_UNWRAPPING_KEY_HANDLE_INVALID},
	} {
		for _, durable := range []bool{true, false} {
			for _, into := range []bool{true, false} {
				for _, how := range []string{"cleared", "destroyed"} {
					t.Run(c.what, func(t *testing.T) {
						w := ready(t, 1<<20, nil)
						store := &meanwhile{Store: w.config.Store}
						w.config.Store = store
						w.open()
						s := w.login(cryptoki.CKU_USER, ownerPIN)
						place := cryptoki.Attribute{Type: cryptoki.CKA_TOKEN, Value: cryptoki.Bool(durable)}
						key := func() cryptoki.ObjectHandle {
							h, err := s.Create(partition.Token{}, append(secretKey(value, place,
								cryptoki.Attribute{Type: cryptoki.CKA_SENSITIVE, Value: cryptoki.Bool(false)}),
								yes(cryptoki.CKA_EXTRACTABLE, cryptoki.CKA_WRAP, cryptoki.CKA_UNWRAP)...))
							if err != nil {
								t.Fatal(err)
							}
							return h
						}
						source, other := key(), key()
						vanish := func() {
							if how == "cleared" {
								w.clear(0)
							} else if err := s.Destroy(source); err != nil {
								t.Fatal(err)
							}
						}
						store.act = vanish
						if c.what == "C_UnwrapKey" {
							// Its first update is that of wrapping.
							store.act = func() { store.act = vanish }
						}
						want := c.want
						if c.what == "C_WrapKey" && how == "cleared" {
							want = cryptoki.CKR_WRAPPING_KEY_HANDLE_INVALID // which is looked for first
						}
						code(t, c.does(s, source, other, cryptoki.Attribute{Type: cryptoki.CKA_TOKEN, Value: cryptoki.Bool(into)}), want)
						found, _, err := s.Find(nil, 0, 0)
						if left := map[string]int{"cleared": 0, "destroyed": 1}[how]; err != nil || len(found) != left {
							t.Errorf("%s, durable %v into %v: found %v, %v", how, durable, into, found, err)
						}
					})
				}
			}
		}
	}
}
