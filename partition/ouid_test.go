package partition_test

import (
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/object"
	"tidelock.dev/tidelock/partition"
)

// Every object has a CKA_OUID of its own, a copy too, and keeps it over a restart.
func TestOUID(t *testing.T) {
	w := ready(t, 1<<20, nil)
	s := w.login(cryptoki.CKU_USER, ownerPIN)
	ouid := func(s *partition.Session, h cryptoki.ObjectHandle) (id string) {
		t.Helper()
		err := s.Attributes(h, []uint64{uint64(cryptoki.CKA_OUID)}, func(_ object.Status, v []byte) { id = string(v) })
		if err != nil || len(id) != object.OUIDSize {
			t.Fatalf("CKA_OUID of %d is %x: %v", h, id, err)
		}
		return id
	}
	h, err := s.Create(partition.Token{}, data(true, 10))
	code(t, err, cryptoki.CKR_OK)
	size, err := s.Size(h)
	if err != nil || size != object.MinSize {
		t.Errorf("size %d (%v): the number is in the head that every object has", size, err)
	}
	copied, err := s.Copy(partition.Token{}, h, nil)
	code(t, err, cryptoki.CKR_OK)
	pub, priv := pair(t, s, 1024)
	seen := map[string]bool{}
	for _, o := range []cryptoki.ObjectHandle{h, copied, pub, priv} {
		seen[ouid(s, o)] = true
	}
	if len(seen) != 4 {
		t.Errorf("%d numbers for 4 objects", len(seen))
	}
	_, err = s.Create(partition.Token{}, append(data(true, 10), cryptoki.Attribute{Type: cryptoki.CKA_OUID, Value: make([]byte, object.OUIDSize)}))
	code(t, err, cryptoki.CKR_ATTRIBUTE_READ_ONLY)
	before := ouid(s, h)
	s.Close()
	w.open()
	if after := ouid(w.login(cryptoki.CKU_USER, ownerPIN), h); after != before {
		t.Errorf("%x became %x", before, after)
	}
}
