package vectors

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"runtime"
	"testing"

	"github.com/miekg/pkcs11"
)

// session is a session of the token, used by one goroutine. What it is asked to do
// fails with a pkcs11.Error, or with errDiffers.
type session struct {
	handle pkcs11.SessionHandle
	// made are the objects since the last call of forget.
	made []pkcs11.ObjectHandle
	// pinned is the memory that parameters of mechanisms point to.
	pinned runtime.Pinner
}

// errDiffers says that the token did what it was asked to, and something else came out.
var errDiffers = errors.New("the output is not the vector's")

// newSession opens a session that ends with the test.
func newSession(t *testing.T) *session {
	t.Helper()
	handle, err := hsm.OpenSession(hsm.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		t.Fatal(err)
	}
	s := &session{handle: handle}
	t.Cleanup(func() {
		s.pinned.Unpin()
		if err := hsm.CloseSession(handle); err != nil {
			t.Error(err)
		}
	})
	return s
}

// mark tells what forget returns to.
func (s *session) mark() int { return len(s.made) }

// forget destroys the objects that were made since the mark.
func (s *session) forget(mark int) error {
	s.pinned.Unpin()
	var first error
	for _, object := range s.made[mark:] {
		if err := hsm.DestroyObject(s.handle, object); err != nil && first == nil {
			first = err
		}
	}
	s.made = s.made[:mark]
	return first
}

func (s *session) keep(object pkcs11.ObjectHandle, err error) (pkcs11.ObjectHandle, error) {
	if err == nil {
		s.made = append(s.made, object)
	}
	return object, err
}

func attribute(typ uint, value any) *pkcs11.Attribute { return pkcs11.NewAttribute(typ, value) }

// readable are the attributes of a secret key that may be read and wrapped.
func readable() []*pkcs11.Attribute {
	return []*pkcs11.Attribute{
		attribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
		attribute(pkcs11.CKA_SENSITIVE, false),
		attribute(pkcs11.CKA_EXTRACTABLE, true),
	}
}

func permit(template []*pkcs11.Attribute, uses []uint) []*pkcs11.Attribute {
	for _, use := range uses {
		template = append(template, attribute(use, true))
	}
	return template
}

// secret brings in a secret key for the uses (CKA_ENCRYPT, ...) named.
func (s *session) secret(keyType uint, value []byte, uses ...uint) (pkcs11.ObjectHandle, error) {
	template := append(readable(), attribute(pkcs11.CKA_KEY_TYPE, keyType), attribute(pkcs11.CKA_VALUE, value))
	return s.keep(hsm.CreateObject(s.handle, permit(template, uses)))
}

// public brings in a public key that verifies.
func (s *session) public(keyType uint, values ...*pkcs11.Attribute) (pkcs11.ObjectHandle, error) {
	return s.keep(hsm.CreateObject(s.handle, append(values,
		attribute(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY), attribute(pkcs11.CKA_KEY_TYPE, keyType), attribute(pkcs11.CKA_VERIFY, true))))
}

// private brings in a private key for one use. What is derived of it may be read, and
// so it may itself leave the token.
func (s *session) private(keyType, use uint, values ...*pkcs11.Attribute) (pkcs11.ObjectHandle, error) {
	return s.keep(hsm.CreateObject(s.handle, append(values,
		attribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY), attribute(pkcs11.CKA_KEY_TYPE, keyType),
		attribute(pkcs11.CKA_SENSITIVE, false), attribute(pkcs11.CKA_EXTRACTABLE, true), attribute(use, true))))
}

// value reads a secret key.
func (s *session) value(key pkcs11.ObjectHandle) ([]byte, error) {
	values, err := hsm.GetAttributeValue(s.handle, key, []*pkcs11.Attribute{attribute(pkcs11.CKA_VALUE, nil)})
	if err != nil {
		return nil, err
	}
	return values[0].Value, nil
}

func single(m *pkcs11.Mechanism) []*pkcs11.Mechanism { return []*pkcs11.Mechanism{m} }

func (s *session) digest(m *pkcs11.Mechanism, data []byte) ([]byte, error) {
	if err := hsm.DigestInit(s.handle, single(m)); err != nil {
		return nil, err
	}
	return hsm.Digest(s.handle, data)
}

func (s *session) sign(m *pkcs11.Mechanism, key pkcs11.ObjectHandle, data []byte) ([]byte, error) {
	if err := hsm.SignInit(s.handle, single(m), key); err != nil {
		return nil, err
	}
	return hsm.Sign(s.handle, data)
}

func (s *session) verify(m *pkcs11.Mechanism, key pkcs11.ObjectHandle, data, sig []byte) error {
	if err := hsm.VerifyInit(s.handle, single(m), key); err != nil {
		return err
	}
	return hsm.Verify(s.handle, data, sig)
}

func (s *session) encrypt(m *pkcs11.Mechanism, key pkcs11.ObjectHandle, data []byte) ([]byte, error) {
	if err := hsm.EncryptInit(s.handle, single(m), key); err != nil {
		return nil, err
	}
	return hsm.Encrypt(s.handle, data)
}

func (s *session) decrypt(m *pkcs11.Mechanism, key pkcs11.ObjectHandle, data []byte) ([]byte, error) {
	if err := hsm.DecryptInit(s.handle, single(m), key); err != nil {
		return nil, err
	}
	return hsm.Decrypt(s.handle, data)
}

// derive derives a generic secret of size bytes, or of the mechanism's own length where
// size is 0, and reads it.
func (s *session) derive(m *pkcs11.Mechanism, base pkcs11.ObjectHandle, size int) ([]byte, error) {
	template := append(readable(), attribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET))
	if size > 0 {
		template = append(template, attribute(pkcs11.CKA_VALUE_LEN, size))
	}
	key, err := s.keep(hsm.DeriveKey(s.handle, single(m), base, template))
	if err != nil {
		return nil, err
	}
	return s.value(key)
}

// wrap wraps a key of these bytes.
func (s *session) wrap(m *pkcs11.Mechanism, wrapping pkcs11.ObjectHandle, plain []byte) ([]byte, error) {
	key, err := s.secret(pkcs11.CKK_GENERIC_SECRET, plain)
	if err != nil {
		return nil, err
	}
	return hsm.WrapKey(s.handle, single(m), wrapping, key)
}

// unwrap unwraps a generic secret and compares it with what it should be, nil for not at
// all. It cannot be read, so its HMAC is compared.
func (s *session) unwrap(m *pkcs11.Mechanism, unwrapping pkcs11.ObjectHandle, wrapped, want []byte) error {
	key, err := s.keep(hsm.UnwrapKey(s.handle, single(m), unwrapping, wrapped, []*pkcs11.Attribute{
		attribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
		attribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET),
		attribute(pkcs11.CKA_SIGN, true),
	}))
	if err != nil || want == nil {
		return err
	}
	const message = "the unwrapped key is the one that was wrapped"
	mac := hmac.New(sha256.New, want)
	mac.Write([]byte(message))
	return same(mac.Sum(nil))(s.sign(pkcs11.NewMechanism(pkcs11.CKM_SHA256_HMAC, nil), key, []byte(message)))
}

// same turns an output into the verdict whether it is the vector's.
func same(want []byte) func(got []byte, err error) error {
	return func(got []byte, err error) error {
		if err == nil && !bytes.Equal(got, want) {
			return errDiffers
		}
		return err
	}
}
