package attack

import (
	"bytes"
	"slices"
	"testing"

	"github.com/miekg/pkcs11"
)

// C04, C06, C07, A37, A40: what the parsers of the server get to see of a caller who
// means it badly. The server must live on, which attack looks at after each case.
func TestMalformedInput(t *testing.T) {
	bad := []uint{
		pkcs11.CKR_ATTRIBUTE_VALUE_INVALID, pkcs11.CKR_TEMPLATE_INCONSISTENT, pkcs11.CKR_ARGUMENTS_BAD, pkcs11.CKR_ATTRIBUTE_TYPE_INVALID,
		pkcs11.CKR_CURVE_NOT_SUPPORTED, pkcs11.CKR_DOMAIN_PARAMS_INVALID, pkcs11.CKR_TEMPLATE_INCOMPLETE, pkcs11.CKR_DEVICE_MEMORY,
		pkcs11.CKR_MECHANISM_PARAM_INVALID, pkcs11.CKR_HOST_MEMORY,
	}
	attack(t, func(t *testing.T, l *lab) {
		ec := attributes(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY, pkcs11.CKA_KEY_TYPE, pkcs11.CKK_EC)
		point := append([]byte{4, 65, 4}, make([]byte, 64)...)
		for name, template := range map[string][]*pkcs11.Attribute{
			"given twice":       append(imported(make([]byte, 32)), pkcs11.NewAttribute(pkcs11.CKA_LABEL, "a"), pkcs11.NewAttribute(pkcs11.CKA_LABEL, "b")),
			"unknown attribute": imported(make([]byte, 32), 0x40000001, true),
			"long label":        imported(make([]byte, 32), pkcs11.CKA_LABEL, bytes.Repeat([]byte{'x'}, 1<<16)),
			"half a boolean":    imported(make([]byte, 32), pkcs11.CKA_ENCRYPT, []byte{1, 1}),
			"5,000 attributes":  many(5_000),
			"point of zeros":    with(ec, pkcs11.CKA_EC_PARAMS, oidP256, pkcs11.CKA_EC_POINT, point),
			"point at infinity": with(ec, pkcs11.CKA_EC_PARAMS, oidP256, pkcs11.CKA_EC_POINT, []byte{4, 1, 0}),
			"endless DER":       with(ec, pkcs11.CKA_EC_PARAMS, oidP256, pkcs11.CKA_EC_POINT, []byte{4, 0x84, 0xff, 0xff, 0xff, 0xff, 4}),
			"indefinite DER":    with(ec, pkcs11.CKA_EC_PARAMS, []byte{0x30, 0x80, 0, 0}, pkcs11.CKA_EC_POINT, point),
			"huge OID":          with(ec, pkcs11.CKA_EC_PARAMS, append([]byte{6, 0x7f}, bytes.Repeat([]byte{0xff}, 0x7f)...), pkcs11.CKA_EC_POINT, point),
			"own parameters":    with(ec, pkcs11.CKA_EC_PARAMS, append([]byte{0x30, 0x10}, make([]byte, 16)...), pkcs11.CKA_EC_POINT, point),
		} {
			h, err := l.CreateObject(l.session, template)
			refused(t, name, err, bad...)
			if err == nil {
				l.drop(h)
			}
		}
		h, err := l.generate(pkcs11.CKA_ENCRYPT, true)
		key := l.made(t, h, err)
		for name, c := range map[string]struct {
			m         uint
			parameter any
		}{
			"GCM without a parameter":  {pkcs11.CKM_AES_GCM, []byte{}},
			"GCM of 7 bytes":           {pkcs11.CKM_AES_GCM, make([]byte, 7)},
			"CBC with a short IV":      {pkcs11.CKM_AES_CBC, make([]byte, 15)},
			"CBC with a long IV":       {pkcs11.CKM_AES_CBC, make([]byte, 1<<16)},
			"CTR that counts no bits":  {pkcs11.CKM_AES_CTR, make([]byte, 24)},
			"ECB with a parameter":     {pkcs11.CKM_AES_ECB, make([]byte, 16)},
			"a mechanism of all ones":  {^uint(0), []byte{}},
			"an RSA mechanism":         {pkcs11.CKM_RSA_PKCS_OAEP, make([]byte, 40)},
			"a signature's parameters": {pkcs11.CKM_RSA_PKCS_PSS, pkcs11.NewPSSParams(pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256, 1<<40)},
		} {
			err := l.EncryptInit(l.session, mechanism(c.m, c.parameter), key)
			refused(t, name, err, pkcs11.CKR_MECHANISM_PARAM_INVALID, pkcs11.CKR_MECHANISM_INVALID, pkcs11.CKR_KEY_TYPE_INCONSISTENT, pkcs11.CKR_ARGUMENTS_BAD)
		}
		for _, iv := range []int{0, 1, 12, 16, 256, 1 << 16} {
			for _, tag := range []int{0, 8, 32, 95, 96, 128, 129, 1 << 30} {
				p := pkcs11.NewGCMParams(make([]byte, iv), nil, tag)
				err := l.EncryptInit(l.session, mechanism(pkcs11.CKM_AES_GCM, p), key)
				if sound := iv >= 1 && iv <= 256 && (tag == 96 || tag == 128); err == nil {
					if !sound {
						t.Errorf("A40: GCM with an IV of %d bytes and a tag of %d bits", iv, tag)
					}
					if _, err := l.Encrypt(l.session, nil); err != nil {
						t.Error(err)
					}
				}
				p.Free()
			}
		}
	})
}

func many(n int) (t []*pkcs11.Attribute) {
	for i := range n {
		t = append(t, pkcs11.NewAttribute(uint(0x40000000+i), []byte{1}))
	}
	return t
}

// C10, A45: operations in a wrong order, and operations whose ground is taken away.
func TestOperationStates(t *testing.T) {
	attack(t, func(t *testing.T, l *lab) {
		h, err := l.generate(pkcs11.CKA_ENCRYPT, true)
		key := l.made(t, h, err)
		none := pkcs11.Error(pkcs11.CKR_OPERATION_NOT_INITIALIZED)
		for name, call := range map[string]func() error{
			"Encrypt":       func() error { _, err := l.Encrypt(l.session, zeroIV); return err },
			"EncryptUpdate": func() error { _, err := l.EncryptUpdate(l.session, zeroIV); return err },
			"EncryptFinal":  func() error { _, err := l.EncryptFinal(l.session); return err },
			"Sign":          func() error { _, err := l.Sign(l.session, zeroIV); return err },
			"DigestFinal":   func() error { _, err := l.DigestFinal(l.session); return err },
			"FindObjects":   func() error { _, _, err := l.FindObjects(l.session, 1); return err },
		} {
			if err := call(); err != none {
				t.Errorf("%s without Init: %v", name, err)
			}
		}
		if err := l.EncryptInit(l.session, mechanism(pkcs11.CKM_AES_ECB), key); err != nil {
			t.Fatal(err)
		}
		refused(t, "Init twice", l.EncryptInit(l.session, mechanism(pkcs11.CKM_AES_ECB), key), pkcs11.CKR_OPERATION_ACTIVE)
		if _, err := l.EncryptUpdate(l.session, zeroIV); err != nil {
			t.Fatal(err)
		}
		_, err = l.Encrypt(l.session, zeroIV)
		refused(t, "one part after a part", err, pkcs11.CKR_OPERATION_ACTIVE, pkcs11.CKR_OPERATION_NOT_INITIALIZED)
		l.EncryptFinal(l.session)

		// The key goes while an operation holds it.
		doomed, err := l.generate(pkcs11.CKA_ENCRYPT, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.EncryptInit(l.session, mechanism(pkcs11.CKM_AES_ECB), doomed); err != nil {
			t.Fatal(err)
		}
		if err := l.DestroyObject(l.session, doomed); err != nil {
			t.Fatal(err)
		}
		_, err = l.Encrypt(l.session, zeroIV)
		refused(t, "with a destroyed key", err, pkcs11.CKR_KEY_HANDLE_INVALID, pkcs11.CKR_OPERATION_NOT_INITIALIZED)
	})
}

// C15, D09: handles of another slot, and such as nobody has.
func TestForeignHandles(t *testing.T) {
	attack(t, func(t *testing.T, l *lab) {
		// Session objects count from the same number in each slot: the other's newest is one
		// that this slot does not have yet.
		mine := l.objects(t)
		for _, other := range labs {
			if other == l {
				continue
			}
			h, err := other.generate()
			for err == nil && slices.Contains(mine, h) {
				other.drop(h)
				h, err = other.generate()
			}
			other.made(t, h, err)
			_, err = l.read(h, pkcs11.CKA_LABEL)
			refused(t, "a key of the other slot", err, pkcs11.CKR_OBJECT_HANDLE_INVALID)
			other.clean(t)
		}
		for _, h := range []pkcs11.ObjectHandle{0, 1 << 62, ^pkcs11.ObjectHandle(0)} {
			_, err := l.read(h, pkcs11.CKA_LABEL)
			refused(t, "no object", err, pkcs11.CKR_OBJECT_HANDLE_INVALID)
			refused(t, "no key", l.SignInit(l.session, mechanism(pkcs11.CKM_SHA256_HMAC), h), pkcs11.CKR_KEY_HANDLE_INVALID)
		}
		for _, s := range []pkcs11.SessionHandle{0, 1, ^pkcs11.SessionHandle(0)} {
			_, err := l.GetSessionInfo(s)
			refused(t, "no session", err, pkcs11.CKR_SESSION_HANDLE_INVALID)
		}
	})
}
