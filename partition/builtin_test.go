package partition_test

import (
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/object"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
)

var profileClass = cryptoki.Attribute{Type: cryptoki.CKA_CLASS, Value: cryptoki.ULong(uint64(cryptoki.CKO_PROFILE))}

// attribute reads one attribute of an object.
func attribute(t *testing.T, s *partition.Session, h cryptoki.ObjectHandle, a cryptoki.AttributeType) (value []byte, status object.Status) {
	t.Helper()
	_ = s.Attributes(h, []uint64{uint64(a)}, func(got object.Status, v []byte) { value, status = v, got })
	return value, status
}

func TestProfileObjects(t *testing.T) {
	w := ready(t, 1<<20, nil)
	s := w.session()
	find := func(limit int, after cryptoki.ObjectHandle, t cryptoki.Template) ([]cryptoki.ObjectHandle, bool) {
		found, more, err := s.Find(t, after, limit)
		if err != nil {
			w.t.Fatal(err)
		}
		return found, more
	}
	all, more := find(0, 0, cryptoki.Template{profileClass})
	if len(all) != 2 || more || !slices.IsSorted(all) {
		t.Fatalf("found %v, more %v", all, more)
	}
	for i, want := range []uint64{cryptoki.CKP_BASELINE_PROVIDER, cryptoki.CKP_EXTENDED_PROVIDER} {
		if id, _ := attribute(t, s, all[i], cryptoki.CKA_PROFILE_ID); !slices.Equal(id, cryptoki.ULong(want)) {
			t.Errorf("profile %x, want %d", id, want)
		}
		one, _ := find(0, 0, cryptoki.Template{profileClass, {Type: cryptoki.CKA_PROFILE_ID, Value: cryptoki.ULong(want)}})
		if !slices.Equal(one, all[i:i+1]) {
			t.Errorf("profile %d: found %v", want, one)
		}
	}

	// Page by page.
	first, more := find(1, 0, cryptoki.Template{profileClass})
	second, end := find(1, first[0], cryptoki.Template{profileClass})
	if !slices.Equal(slices.Concat(first, second), all) || !more || end {
		t.Errorf("found %v, then %v", first, second)
	}

	// Nothing else finds them.
	for _, other := range []cryptoki.Template{
		nil,
		{{Type: cryptoki.CKA_TOKEN, Value: cryptoki.Bool(true)}},
		{{Type: cryptoki.CKA_PROFILE_ID, Value: cryptoki.ULong(uint64(cryptoki.CKP_BASELINE_PROVIDER))}},
		{profileClass, {Type: cryptoki.CKA_PRIVATE, Value: cryptoki.Bool(true)}},
		{profileClass, {Type: cryptoki.CKA_KEY_TYPE, Value: cryptoki.ULong(uint64(cryptoki.CKK_AES))}},
		{profileClass, {Type: cryptoki.CKA_PROFILE_ID, Value: cryptoki.ULong(uint64(cryptoki.CKP_AUTHENTICATION_TOKEN))}},
	} {
		if found, _ := find(0, 0, other); len(found) > 0 {
			t.Errorf("%v finds %v", other, found)
		}
	}

	h := all[0]
	if _, status := attribute(t, s, h, cryptoki.CKA_VALUE); status != object.Absent {
		t.Errorf("CKA_VALUE has status %d", status)
	}
	for a, want := range map[cryptoki.AttributeType][]byte{
		cryptoki.CKA_TOKEN: {1}, cryptoki.CKA_PRIVATE: {0}, cryptoki.CKA_MODIFIABLE: {0}, cryptoki.CKA_COPYABLE: {0}, cryptoki.CKA_DESTROYABLE: {0},
		cryptoki.CKA_CLASS: profileClass.Value, cryptoki.CKA_LABEL: {},
	} {
		if got, status := attribute(t, s, h, a); status != object.Present || !slices.Equal(got, want) {
			t.Errorf("%v is %x with status %d", a, got, status)
		}
	}
	if size, err := s.Size(h); size != 0 || err != nil {
		t.Errorf("the size is %d, %v", size, err)
	}
	user := w.login(cryptoki.CKU_USER, ownerPIN)
	label := cryptoki.Template{{Type: cryptoki.CKA_LABEL, Value: []byte("x")}}
	code(t, user.Destroy(h), cryptoki.CKR_ACTION_PROHIBITED)
	code(t, user.SetAttributes(h, label), cryptoki.CKR_ACTION_PROHIBITED)
	_, err := user.Copy(partition.Token{}, h, label)
	code(t, err, cryptoki.CKR_ACTION_PROHIBITED)
	_, err = user.Create(partition.Token{}, cryptoki.Template{profileClass, {Type: cryptoki.CKA_PROFILE_ID, Value: cryptoki.ULong(uint64(1))}})
	code(t, err, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID)
	m := cryptoki.New(cryptoki.CKM_AES_GCM)
	code(t, user.MessageInit(1, &m, h), cryptoki.CKR_KEY_HANDLE_INVALID)
	code(t, user.Destroy(h+100), cryptoki.CKR_OBJECT_HANDLE_INVALID)
	code(t, user.Destroy(h&0xff), cryptoki.CKR_OBJECT_HANDLE_INVALID)
}

// TestMechanismObjects compares them with the mechanisms of the partition, before and after
// a policy takes one away.
func TestMechanismObjects(t *testing.T) {
	class := cryptoki.Attribute{Type: cryptoki.CKA_CLASS, Value: cryptoki.ULong(cryptoki.CKO_MECHANISM)}
	w := ready(t, 1<<20, nil)
	s := w.session()
	find := func(t cryptoki.Template) []cryptoki.ObjectHandle {
		// Page by page, as the library does.
		var all []cryptoki.ObjectHandle
		for after := cryptoki.ObjectHandle(0); ; after = all[len(all)-1] {
			found, more, err := s.Find(t, after, 7)
			if err != nil {
				w.t.Fatal(err)
			}
			if all = append(all, found...); !more {
				return all
			}
		}
	}
	var types []cryptoki.MechanismType
	handles := find(cryptoki.Template{class})
	for _, h := range handles {
		value, _ := attribute(t, s, h, cryptoki.CKA_MECHANISM_TYPE)
		n, _ := cryptoki.ParseULong(value)
		m := cryptoki.MechanismType(n)
		types = append(types, m)
		if one := find(cryptoki.Template{class, {Type: cryptoki.CKA_MECHANISM_TYPE, Value: value}}); !slices.Equal(one, []cryptoki.ObjectHandle{h}) {
			t.Errorf("%v: found %v", m, one)
		}
		id, _ := attribute(t, s, h, cryptoki.CKA_UNIQUE_ID)
		if one := find(cryptoki.Template{class, {Type: cryptoki.CKA_UNIQUE_ID, Value: id}}); !slices.Equal(one, []cryptoki.ObjectHandle{h}) {
			t.Errorf("%v: found %v by its CKA_UNIQUE_ID", m, one)
		}
	}
	if !slices.Equal(types, w.p.Mechanisms()) || len(types) == 0 {
		t.Fatalf("the objects are of %v, the mechanisms are %v", types, w.p.Mechanisms())
	}
	for _, other := range []cryptoki.Template{
		nil,
		{{Type: cryptoki.CKA_MECHANISM_TYPE, Value: cryptoki.ULong(cryptoki.CKM_AES_GCM)}},
		{class, {Type: cryptoki.CKA_MECHANISM_TYPE, Value: cryptoki.ULong(cryptoki.CKM_DSA)}},
		{class, profileClass},
		{class, {Type: cryptoki.CKA_PROFILE_ID, Value: cryptoki.ULong(uint64(cryptoki.CKP_BASELINE_PROVIDER))}},
	} {
		if found := find(other); len(found) > 0 {
			t.Errorf("%v finds %v", other, found)
		}
	}

	raw := handles[slices.Index(types, cryptoki.CKM_RSA_X_509)]
	user := w.login(cryptoki.CKU_USER, ownerPIN)
	label := cryptoki.Template{{Type: cryptoki.CKA_LABEL, Value: []byte("x")}}
	code(t, user.Destroy(raw), cryptoki.CKR_ACTION_PROHIBITED)
	code(t, user.SetAttributes(raw, label), cryptoki.CKR_ACTION_PROHIBITED)
	_, err := user.Copy(partition.Token{}, raw, label)
	code(t, err, cryptoki.CKR_ACTION_PROHIBITED)
	_, err = user.Create(partition.Token{}, cryptoki.Template{class, {Type: cryptoki.CKA_MECHANISM_TYPE, Value: cryptoki.ULong(cryptoki.CKM_DSA)}})
	code(t, err, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID)
	code(t, user.Destroy(raw|cryptoki.SessionObject), cryptoki.CKR_OBJECT_HANDLE_INVALID)
	code(t, user.Destroy(raw|1<<31), cryptoki.CKR_OBJECT_HANDLE_INVALID)

	w.set(map[policy.ID]uint64{policy.RawRSA: 0})
	code(t, user.Destroy(raw), cryptoki.CKR_OBJECT_HANDLE_INVALID)
	if now := find(cryptoki.Template{class}); !slices.Equal(now, slices.DeleteFunc(slices.Clone(handles), func(h cryptoki.ObjectHandle) bool { return h == raw })) {
		t.Errorf("without raw RSA there are %v, before %v", now, handles)
	}
}
