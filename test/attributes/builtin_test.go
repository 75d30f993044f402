package attributes

import (
	"slices"
	"testing"

	"github.com/miekg/pkcs11"
)

const (
	ckoMechanism = 7
	ckoProfile   = 9
	ckaMechanism = 0x500
	ckaProfile   = 0x601
)

// TestBuiltin reads, changes and makes the objects that say what the token does.
func TestBuiltin(t *testing.T) {
	s := open(t)
	find := func(t *testing.T, search template) []pkcs11.ObjectHandle {
		t.Helper()
		if err := hsm.FindObjectsInit(s, search); err != nil {
			t.Fatal(err)
		}
		found, _, err := hsm.FindObjects(s, 1000)
		if err == nil {
			err = hsm.FindObjectsFinal(s)
		}
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	mechanisms, err := hsm.GetMechanismList(slot)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		class     int
		attribute int
		count     int
	}{
		{"profiles", ckoProfile, ckaProfile, 2},
		{"mechanisms", ckoMechanism, ckaMechanism, len(mechanisms)},
	} {
		t.Run(c.name, func(t *testing.T) {
			class := attributes(pkcs11.CKA_CLASS, c.class)
			found := find(t, class)
			if len(found) != c.count {
				t.Fatalf("%d objects, want %d", len(found), c.count)
			}
			has := []uint{pkcs11.CKA_CLASS, pkcs11.CKA_TOKEN, pkcs11.CKA_PRIVATE, pkcs11.CKA_MODIFIABLE, pkcs11.CKA_COPYABLE,
				pkcs11.CKA_DESTROYABLE, pkcs11.CKA_LABEL, ckaUniqueID}
			for _, r := range table {
				v, err := hsm.GetAttributeValue(s, found[0], template{pkcs11.NewAttribute(r.attribute, nil)})
				if slices.Contains(has, r.attribute) {
					if err != nil {
						t.Errorf("%s: %v", r.name, err)
					} else if again := find(t, append(slices.Clone(class), v...)); !slices.Contains(again, found[0]) {
						t.Errorf("a search by %s does not find it", r.name)
					}
				} else if err != pkcs11.Error(pkcs11.CKR_ATTRIBUTE_TYPE_INVALID) {
					t.Errorf("%s reads %v", r.name, err)
				}
				change := template{pkcs11.NewAttribute(r.attribute, "")}
				if err := hsm.SetAttributeValue(s, found[0], change); err != pkcs11.Error(pkcs11.CKR_ACTION_PROHIBITED) {
					t.Errorf("%s changes: %v", r.name, err)
				}
				if _, err := hsm.CopyObject(s, found[0], change); err != pkcs11.Error(pkcs11.CKR_ACTION_PROHIBITED) {
					t.Errorf("%s in a copy: %v", r.name, err)
				}
			}
			for _, h := range found {
				v, err := hsm.GetAttributeValue(s, h, attributes(c.attribute, nil))
				if err != nil {
					t.Fatal(err)
				}
				if one := find(t, append(slices.Clone(class), v...)); !slices.Equal(one, []pkcs11.ObjectHandle{h}) {
					t.Errorf("%x finds %v, not %v", v[0].Value, one, h)
				}
			}
			if _, err := create(s, append(slices.Clone(class), attributes(c.attribute, 1)...)); err != pkcs11.Error(pkcs11.CKR_ATTRIBUTE_VALUE_INVALID) {
				t.Errorf("C_CreateObject: %v", err)
			}
		})
	}
}

// TestValues gives templates values that are wrong, or right, for one object.
func TestValues(t *testing.T) {
	s := open(t)
	list := subjects(t)
	least := func(name string) template {
		return list[slices.IndexFunc(list, func(s subject) bool { return s.name == name })].ways[0].least
	}
	info := func(name string) []byte {
		h, err := create(s, least(name))
		if err != nil {
			t.Fatal(err)
		}
		v, err := hsm.GetAttributeValue(s, h, attributes(ckaPublicInfo, nil))
		if err != nil {
			t.Fatal(err)
		}
		return v[0].Value
	}
	for _, c := range []struct {
		what, of string
		more     template
		want     pkcs11.Error
	}{
		{"its public half", "EC private key", attributes(ckaPublicInfo, info("EC public key")), pkcs11.CKR_OK},
		{"another's public half", "EC private key", attributes(ckaPublicInfo, info("RSA public key")), pkcs11.CKR_ATTRIBUTE_VALUE_INVALID},
		{"another's public half", "RSA public key", attributes(ckaPublicInfo, info("EC public key")), pkcs11.CKR_ATTRIBUTE_VALUE_INVALID},
		{"a wrong check value", "AES key", attributes(pkcs11.CKA_CHECK_VALUE, "abc"), pkcs11.CKR_ATTRIBUTE_VALUE_INVALID},
		{"a wrong check value", "X.509 certificate", attributes(pkcs11.CKA_CHECK_VALUE, "abc"), pkcs11.CKR_ATTRIBUTE_VALUE_INVALID},
		{"no date", "AES key", attributes(pkcs11.CKA_START_DATE, "20301301"), pkcs11.CKR_ATTRIBUTE_VALUE_INVALID},
		{"an end before the start", "AES key", attributes(pkcs11.CKA_START_DATE, "20300102", pkcs11.CKA_END_DATE, "20300101"), pkcs11.CKR_TEMPLATE_INCONSISTENT},
		{"a place without hashes", "X.509 certificate", attributes(pkcs11.CKA_URL, "http://example.org"), pkcs11.CKR_TEMPLATE_INCOMPLETE},
		{"a place with hashes", "X.509 certificate", attributes(pkcs11.CKA_URL, "http://example.org", ckaHashOfOwn, "a", ckaHashOfIssuer, "b"), pkcs11.CKR_OK},
		{"trust", "X.509 certificate", attributes(pkcs11.CKA_TRUSTED, true), pkcs11.CKR_ATTRIBUTE_READ_ONLY},
		{"a PIN for each use of a public object", "EC private key", attributes(pkcs11.CKA_ALWAYS_AUTHENTICATE, true, pkcs11.CKA_PRIVATE, false), pkcs11.CKR_TEMPLATE_INCONSISTENT},
	} {
		t.Run(c.of+" with "+c.what, func(t *testing.T) {
			_, err := create(s, append(slices.Clone(least(c.of)), c.more...))
			if got, _ := err.(pkcs11.Error); got != c.want || err != nil && got == pkcs11.CKR_OK {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// TestHistory reads what a key tells of where it comes from (4.7, 4.9 and 4.10).
func TestHistory(t *testing.T) {
	s := open(t)
	for _, subject := range subjects(t) {
		for _, w := range subject.ways {
			if subject.kind&keys == 0 {
				continue
			}
			t.Run(subject.name+" "+w.name, func(t *testing.T) {
				h, err := w.call(s, w.least)
				if err != nil {
					t.Fatal(err)
				}
				made := w.name == "generate"
				flags := []uint{pkcs11.CKA_LOCAL}
				if subject.kind&confidential != 0 {
					flags = append(flags, pkcs11.CKA_ALWAYS_SENSITIVE, pkcs11.CKA_NEVER_EXTRACTABLE)
				}
				for _, flag := range flags {
					if v, err := hsm.GetAttributeValue(s, h, template{pkcs11.NewAttribute(flag, nil)}); err != nil || (v[0].Value[0] == 1) != made {
						t.Errorf("%#x: %v (%v), want %t", flag, v, err, made)
					}
				}
				none := pkcs11.NewAttribute(pkcs11.CKA_KEY_GEN_MECHANISM, unavailable).Value
				if v, err := hsm.GetAttributeValue(s, h, attributes(pkcs11.CKA_KEY_GEN_MECHANISM, nil)); err != nil || slices.Equal(v[0].Value, none) == made {
					t.Errorf("CKA_KEY_GEN_MECHANISM: %v (%v)", v, err)
				}
			})
		}
	}
}
