package partition_test

import (
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/object"
	"tidelock.dev/tidelock/partition"
)

func TestInitialize(t *testing.T) {
	w := ready(t, 1<<20, forced)
	if w.p.Label() != "ready" || !w.p.Initialized() || w.p.Serial() != "0000000000001" {
		t.Errorf("%+v", w.p.Identity())
	}
	co := w.login(cryptoki.CKU_USER, ownerPIN)
	first, err := co.Create(partition.Token{}, data(true, 20))
	if err != nil {
		t.Fatal(err)
	}
	code(t, w.initialize("again", officerPIN), cryptoki.CKR_SESSION_EXISTS)
	co.Close()
	code(t, w.initialize("again", wrongPIN), cryptoki.CKR_PIN_INCORRECT)
	if state, _ := w.p.RoleState(cryptoki.CKU_SO); state.AttemptsLeft != 9 {
		t.Errorf("a wrong PIN did not count: %+v", state)
	}
	code(t, w.initialize("what?", officerPIN), cryptoki.CKR_ARGUMENTS_BAD)
	erased := w.p
	code(t, w.initialize("again", officerPIN), cryptoki.CKR_OK)
	if w.p.Label() != "again" || w.p.Serial() != "0000000000001" {
		t.Errorf("%+v", w.p.Identity())
	}
	if usage, err := w.p.Usage(); err != nil || usage != (partition.Usage{}) {
		t.Errorf("usage %+v, %v", usage, err)
	}
	if state, _ := w.p.RoleState(cryptoki.CKU_USER); state.Initialized {
		t.Error("the Crypto Officer is still there")
	}
	// The Partition SO is; and no new object gets the number of an old one.
	po := w.login(cryptoki.CKU_SO, officerPIN)
	code(t, po.InitRole(cryptoki.CKU_USER, bytes(initialPIN)), cryptoki.CKR_OK)
	po.Close()
	co = w.login(cryptoki.CKU_USER, initialPIN)
	code(t, co.SetPIN(bytes(initialPIN), bytes(ownerPIN)), cryptoki.CKR_OK)
	second, err := co.Create(partition.Token{}, data(true, 20))
	if err != nil || second <= first {
		t.Errorf("handle %d after %d, %v", second, first, err)
	}
	for done := false; !done; {
		if done, err = partition.Sweep(w.config.Store, erased.ID()); err != nil {
			t.Fatal(err)
		}
	}
	w.update(func(u keystore.Writer) error {
		for _, table := range []keystore.Table{keystore.TablePartition, keystore.TableObject, keystore.TableIndex, keystore.TableCounter} {
			prefix := []byte{0, 0, 0, byte(erased.ID())}
			if err := u.Scan(table, prefix, nil, func(key, _ []byte) (bool, error) {
				t.Errorf("%v still has %x", table, key)
				return true, nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Whoever was in a partition when it was emptied finds nothing of the new one.
func TestRetire(t *testing.T) {
	w := ready(t, 1<<20, forced)
	co := w.login(cryptoki.CKU_USER, ownerPIN)
	member := w.p.Join(partition.Actor{Application: 99})
	w.p.Retire()
	if !co.Closed() || co.Role() != partition.RoleNone {
		t.Error("the session goes on")
	}
	if _, err := w.p.Open(member, 99, 0, true, func() {}); cryptoki.Code(err) != cryptoki.CKR_DEVICE_REMOVED {
		t.Errorf("a session on an erased partition: %v", err)
	}
}

// A partition takes objects to its last byte and gives their room back.
func TestQuota(t *testing.T) {
	const room = 5
	w := ready(t, room*object.MinSize, forced)
	co := w.login(cryptoki.CKU_USER, ownerPIN)
	var handles []cryptoki.ObjectHandle
	for range room {
		h, err := co.Create(partition.Token{}, data(true, 9))
		if err != nil {
			t.Fatal(err)
		}
		handles = append(handles, h)
	}
	_, err := co.Create(partition.Token{}, data(true, 9))
	code(t, err, cryptoki.CKR_DEVICE_MEMORY)
	long := cryptoki.Template{{Type: cryptoki.CKA_VALUE, Value: make([]byte, 200)}}
	code(t, co.SetAttributes(handles[0], long), cryptoki.CKR_DEVICE_MEMORY)
	if _, err := co.Copy(partition.Token{}, handles[0], nil); cryptoki.Code(err) != cryptoki.CKR_DEVICE_MEMORY {
		t.Errorf("a copy: %v", err)
	}
	if usage, err := w.p.Usage(); err != nil || usage != (partition.Usage{Used: room * object.MinSize, Objects: room}) {
		t.Errorf("usage %+v, %v", usage, err)
	}
	code(t, co.Destroy(handles[1]), cryptoki.CKR_OK)
	code(t, co.Destroy(handles[2]), cryptoki.CKR_OK)
	code(t, co.SetAttributes(handles[0], long), cryptoki.CKR_OK)
	w.open()
	if usage, err := w.p.Usage(); err != nil || usage != (partition.Usage{Used: 2*object.MinSize + 64 + 4 + 200, Objects: 3}) {
		t.Errorf("usage after a restart %+v, %v", usage, err)
	}
	list, more, err := w.login(cryptoki.CKU_USER, ownerPIN).Contents(0, 2)
	if err != nil || !more || len(list) != 2 || list[0].Handle != handles[0] || list[0].Size != 268 {
		t.Errorf("contents %+v, more %v, %v", list, more, err)
	}
}
