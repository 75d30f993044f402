package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/pkcs11"

	"tidelock.dev/tidelock/test/token"
)

// oidP256 is CKA_EC_PARAMS of NIST P-256.
var oidP256 = []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}

// device is the module loaded into the test's own process, with the user logged
// in to a fresh token.
type device struct {
	*pkcs11.Ctx
	t       *testing.T
	slot    uint
	session pkcs11.SessionHandle
	token   *token.Token
}

// load ends what it began when the test ends. Tests that use it do not run in
// parallel, for the module finds its token by the process's environment.
func load(t *testing.T) *device {
	t.Helper()
	tok := newToken(t)
	for _, variable := range tok.Env {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	d := &device{Ctx: pkcs11.New(tok.Module), t: t, token: tok}
	if d.Ctx == nil {
		t.Fatalf("%s cannot be loaded", tok.Module)
	}
	t.Cleanup(d.Destroy)
	if err := d.Initialize(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Finalize(); err != nil {
			t.Error(err)
		}
	})
	slots, err := d.GetSlotList(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range slots {
		if info, err := d.GetTokenInfo(slot); err != nil {
			t.Fatal(err)
		} else if info.Label == token.Label {
			d.slot = slot
		}
	}
	d.session = d.open(pkcs11.CKF_RW_SESSION)
	if err := d.Login(d.session, pkcs11.CKU_USER, token.PIN); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *device) open(flags uint) pkcs11.SessionHandle {
	d.t.Helper()
	session, err := d.OpenSession(d.slot, pkcs11.CKF_SERIAL_SESSION|flags)
	if err != nil {
		d.t.Fatal(err)
	}
	return session
}

// pair makes a P-256 session key pair.
func (d *device) pair() (public, private pkcs11.ObjectHandle) {
	d.t.Helper()
	public, private, err := d.GenerateKeyPair(d.session,
		[]*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_EC_KEY_PAIR_GEN, nil)},
		[]*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, oidP256),
			pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true),
		},
		[]*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
			pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
			pkcs11.NewAttribute(pkcs11.CKA_SIGN, true),
		})
	if err != nil {
		d.t.Fatal(err)
	}
	return public, private
}

// secret makes an AES-256 session key for the uses (CKA_ENCRYPT, ...) named; the
// others are denied, for a module may allow what the template leaves open.
func (d *device) secret(uses ...uint) pkcs11.ObjectHandle {
	d.t.Helper()
	template := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
	}
	for _, use := range []uint{pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT, pkcs11.CKA_SIGN, pkcs11.CKA_VERIFY} {
		template = append(template, pkcs11.NewAttribute(use, slices.Contains(uses, use)))
	}
	key, err := d.GenerateKey(d.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)}, template)
	if err != nil {
		d.t.Fatal(err)
	}
	return key
}

// publicKey reads a P-256 public key out of the token.
func (d *device) publicKey(key pkcs11.ObjectHandle) *ecdsa.PublicKey {
	d.t.Helper()
	values, err := d.GetAttributeValue(d.session, key, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, nil)})
	if err != nil {
		d.t.Fatal(err)
	}
	var point []byte
	if _, err := asn1.Unmarshal(values[0].Value, &point); err != nil {
		d.t.Fatalf("CKA_EC_POINT is no OCTET STRING: %v", err)
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		d.t.Fatal(err)
	}
	return public
}

// TestGoThreads has 32 goroutines sign at once, each in a session of its own;
// Go's own ECDSA verifies.
func TestGoThreads(t *testing.T) {
	d := load(t)
	publicHandle, private := d.pair()
	public := d.publicKey(publicHandle)
	var wg sync.WaitGroup
	for worker := range 32 {
		session := d.open(0)
		wg.Go(func() {
			for i := range 20 {
				digest := sha256.Sum256(fmt.Appendf(nil, "message %d of %d", i, worker))
				if err := d.SignInit(session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil)}, private); err != nil {
					t.Error(err)
					return
				}
				sig, err := d.Sign(session, digest[:])
				if err != nil {
					t.Error(err)
					return
				}
				r, s := new(big.Int).SetBytes(sig[:len(sig)/2]), new(big.Int).SetBytes(sig[len(sig)/2:])
				if len(sig) != 64 || !ecdsa.Verify(public, digest[:], r, s) {
					t.Errorf("worker %d: signature %d of %d bytes does not verify", worker, i, len(sig))
				}
			}
		})
	}
	wg.Wait()
}

// TestGoFind pages through more objects than one call returns.
func TestGoFind(t *testing.T) {
	const count, page = 1500, 100
	d := load(t)
	made := map[pkcs11.ObjectHandle]bool{}
	for i := range count {
		handle, err := d.CreateObject(d.session, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_DATA),
			pkcs11.NewAttribute(pkcs11.CKA_APPLICATION, "paging"),
			pkcs11.NewAttribute(pkcs11.CKA_LABEL, fmt.Sprintf("object %d", i)),
		})
		if err != nil {
			t.Fatalf("object %d: %v", i, err)
		}
		if made[handle] {
			t.Fatalf("handle %d was given twice", handle)
		}
		made[handle] = true
	}
	d.pair() // objects that the search must pass by

	find := func(template ...*pkcs11.Attribute) (found []pkcs11.ObjectHandle) {
		if err := d.FindObjectsInit(d.session, template); err != nil {
			t.Fatal(err)
		}
		for {
			handles, _, err := d.FindObjects(d.session, page)
			if err != nil {
				t.Fatal(err)
			}
			if len(handles) > page {
				t.Fatalf("%d objects in a page of %d", len(handles), page)
			}
			if len(handles) == 0 {
				break
			}
			found = append(found, handles...)
		}
		if err := d.FindObjectsFinal(d.session); err != nil {
			t.Fatal(err)
		}
		return found
	}
	seen := map[pkcs11.ObjectHandle]bool{}
	for _, handle := range find(pkcs11.NewAttribute(pkcs11.CKA_APPLICATION, "paging")) {
		if !made[handle] || seen[handle] {
			t.Errorf("handle %d: made %t, seen before %t", handle, made[handle], seen[handle])
		}
		seen[handle] = true
	}
	if len(seen) != count {
		t.Errorf("%d of %d objects found", len(seen), count)
	}
	one := find(pkcs11.NewAttribute(pkcs11.CKA_APPLICATION, "paging"), pkcs11.NewAttribute(pkcs11.CKA_LABEL, "object 1234"))
	if len(one) != 1 {
		t.Errorf("%d objects have the label of one", len(one))
	}
	if all := find(); len(all) != count+2 {
		t.Errorf("%d objects in all, not %d", len(all), count+2)
	}
}

// TestGoGCM encrypts and decrypts with authentication; what is altered is refused.
func TestGoGCM(t *testing.T) {
	d := load(t)
	key := d.secret(pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT)
	plain, aad, iv := bytes.Repeat([]byte("tide"), 300), []byte("header"), []byte("twelve bytes")
	operate := func(init func(pkcs11.SessionHandle, []*pkcs11.Mechanism, pkcs11.ObjectHandle) error,
		do func(pkcs11.SessionHandle, []byte) ([]byte, error), aad, in []byte) ([]byte, error) {
		params := pkcs11.NewGCMParams(iv, aad, 128)
		defer params.Free()
		if err := init(d.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, key); err != nil {
			return nil, err
		}
		return do(d.session, in)
	}
	sealed, err := operate(d.EncryptInit, d.Encrypt, aad, plain)
	if err != nil {
		t.Fatal(err)
	}
	if len(sealed) != len(plain)+16 {
		t.Errorf("%d bytes became %d", len(plain), len(sealed))
	}
	opened, err := operate(d.DecryptInit, d.Decrypt, aad, sealed)
	if err != nil || !bytes.Equal(opened, plain) {
		t.Errorf("decrypted %d bytes, %v", len(opened), err)
	}
	if _, err := operate(d.DecryptInit, d.Decrypt, []byte("Header"), sealed); err == nil {
		t.Error("other additional data decrypts")
	}
	sealed[7] ^= 1
	if _, err := operate(d.DecryptInit, d.Decrypt, aad, sealed); err == nil {
		t.Error("an altered ciphertext decrypts")
	}
}

// TestGoErrors asks for what must be refused, and looks at the code.
func TestGoErrors(t *testing.T) {
	d := load(t)
	public, private := d.pair()
	key := d.secret(pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT)
	readOnly := d.open(0)
	mechanism := func(typ uint, parameter any) []*pkcs11.Mechanism {
		return []*pkcs11.Mechanism{pkcs11.NewMechanism(typ, parameter)}
	}
	attribute := func(typ uint, value any) *pkcs11.Attribute { return pkcs11.NewAttribute(typ, value) }
	ecdsa := mechanism(pkcs11.CKM_ECDSA, nil)
	digest := make([]byte, 32)
	const nowhere = 0x7ffffff0 // no session, object or slot has this number

	// Each case runs in a session of its own, since most errors leave none of
	// its operations active, but some do.
	cases := []struct {
		name string
		want uint
		do   func(s pkcs11.SessionHandle) error
		// differs says that SoftHSM 2.6 answers otherwise.
		differs bool
	}{
		{"initialise twice", pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED, func(pkcs11.SessionHandle) error {
			return d.Initialize()
		}, false},
		{"a slot that is not there", pkcs11.CKR_SLOT_ID_INVALID, func(pkcs11.SessionHandle) error {
			_, err := d.GetTokenInfo(nowhere)
			return err
		}, false},
		{"a session that is not there", pkcs11.CKR_SESSION_HANDLE_INVALID, func(pkcs11.SessionHandle) error {
			_, err := d.GetSessionInfo(nowhere)
			return err
		}, false},
		{"a session that was closed", pkcs11.CKR_SESSION_HANDLE_INVALID, func(s pkcs11.SessionHandle) error {
			if err := d.CloseSession(s); err != nil {
				return err
			}
			return d.CloseSession(s)
		}, false},
		{"a parallel session", pkcs11.CKR_SESSION_PARALLEL_NOT_SUPPORTED, func(pkcs11.SessionHandle) error {
			_, err := d.OpenSession(d.slot, pkcs11.CKF_RW_SESSION)
			return err
		}, false},
		{"log in twice", pkcs11.CKR_USER_ALREADY_LOGGED_IN, func(s pkcs11.SessionHandle) error {
			return d.Login(s, pkcs11.CKU_USER, token.PIN)
		}, false},
		{"log in as another", pkcs11.CKR_USER_ANOTHER_ALREADY_LOGGED_IN, func(s pkcs11.SessionHandle) error {
			return d.Login(s, pkcs11.CKU_SO, token.SOPIN)
		}, true},
		{"log in as nobody known", pkcs11.CKR_USER_TYPE_INVALID, func(s pkcs11.SessionHandle) error {
			return d.Login(s, 77, token.PIN)
		}, false},
		{"change the PIN with a wrong one", pkcs11.CKR_PIN_INCORRECT, func(s pkcs11.SessionHandle) error {
			return d.SetPIN(s, "not-the-pin-at-all", "a-new-pin-1234")
		}, false},
		{"change the PIN in a read-only session", pkcs11.CKR_SESSION_READ_ONLY, func(pkcs11.SessionHandle) error {
			return d.SetPIN(readOnly, token.PIN, "a-new-pin-1234")
		}, false},
		{"sign without init", pkcs11.CKR_OPERATION_NOT_INITIALIZED, func(s pkcs11.SessionHandle) error {
			_, err := d.Sign(s, digest)
			return err
		}, false},
		{"init twice", pkcs11.CKR_OPERATION_ACTIVE, func(s pkcs11.SessionHandle) error {
			if err := d.SignInit(s, ecdsa, private); err != nil {
				return err
			}
			return d.SignInit(s, ecdsa, private)
		}, false},
		{"find twice", pkcs11.CKR_OPERATION_ACTIVE, func(s pkcs11.SessionHandle) error {
			if err := d.FindObjectsInit(s, nil); err != nil {
				return err
			}
			return d.FindObjectsInit(s, nil)
		}, false},
		{"sign with a key that is not there", pkcs11.CKR_KEY_HANDLE_INVALID, func(s pkcs11.SessionHandle) error {
			return d.SignInit(s, ecdsa, nowhere)
		}, true},
		{"sign by an unknown mechanism", pkcs11.CKR_MECHANISM_INVALID, func(s pkcs11.SessionHandle) error {
			return d.SignInit(s, mechanism(0x7abcdef0, nil), private)
		}, false},
		{"sign by a mechanism that encrypts", pkcs11.CKR_MECHANISM_INVALID, func(s pkcs11.SessionHandle) error {
			return d.SignInit(s, mechanism(pkcs11.CKM_AES_CBC, make([]byte, 16)), key)
		}, true},
		{"sign with a key of another type", pkcs11.CKR_KEY_TYPE_INCONSISTENT, func(s pkcs11.SessionHandle) error {
			return d.SignInit(s, mechanism(pkcs11.CKM_SHA256_RSA_PKCS, nil), private)
		}, true},
		{"sign with the public key", pkcs11.CKR_KEY_TYPE_INCONSISTENT, func(s pkcs11.SessionHandle) error {
			return d.SignInit(s, ecdsa, public)
		}, true},
		{"decrypt with a key that may only encrypt", pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED, func(s pkcs11.SessionHandle) error {
			return d.DecryptInit(s, mechanism(pkcs11.CKM_AES_CBC_PAD, make([]byte, 16)), d.secret(pkcs11.CKA_ENCRYPT))
		}, false},
		{"an IV too short", pkcs11.CKR_MECHANISM_PARAM_INVALID, func(s pkcs11.SessionHandle) error {
			return d.EncryptInit(s, mechanism(pkcs11.CKM_AES_CBC_PAD, make([]byte, 8)), key)
		}, true},
		{"no IV", pkcs11.CKR_MECHANISM_PARAM_INVALID, func(s pkcs11.SessionHandle) error {
			return d.EncryptInit(s, mechanism(pkcs11.CKM_AES_CBC_PAD, nil), key)
		}, true},
		{"GCM's parameter cut off", pkcs11.CKR_MECHANISM_PARAM_INVALID, func(s pkcs11.SessionHandle) error {
			return d.EncryptInit(s, mechanism(pkcs11.CKM_AES_GCM, make([]byte, 7)), key)
		}, true},
		{"decrypt half a block", pkcs11.CKR_ENCRYPTED_DATA_LEN_RANGE, func(s pkcs11.SessionHandle) error {
			if err := d.DecryptInit(s, mechanism(pkcs11.CKM_AES_CBC_PAD, make([]byte, 16)), key); err != nil {
				return err
			}
			_, err := d.Decrypt(s, make([]byte, 24))
			return err
		}, false},
		{"a signature that is wrong", pkcs11.CKR_SIGNATURE_INVALID, func(s pkcs11.SessionHandle) error {
			if err := d.VerifyInit(s, ecdsa, public); err != nil {
				return err
			}
			return d.Verify(s, digest, bytes.Repeat([]byte{1}, 64))
		}, false},
		{"a signature too short", pkcs11.CKR_SIGNATURE_LEN_RANGE, func(s pkcs11.SessionHandle) error {
			if err := d.VerifyInit(s, ecdsa, public); err != nil {
				return err
			}
			return d.Verify(s, digest, make([]byte, 63))
		}, false},
		{"read a private key", pkcs11.CKR_ATTRIBUTE_SENSITIVE, func(s pkcs11.SessionHandle) error {
			_, err := d.GetAttributeValue(s, private, []*pkcs11.Attribute{attribute(pkcs11.CKA_VALUE, nil)})
			return err
		}, false},
		{"read what a key has not", pkcs11.CKR_ATTRIBUTE_TYPE_INVALID, func(s pkcs11.SessionHandle) error {
			_, err := d.GetAttributeValue(s, private, []*pkcs11.Attribute{attribute(pkcs11.CKA_MODULUS, nil)})
			return err
		}, false},
		{"make a sensitive key readable", pkcs11.CKR_ATTRIBUTE_READ_ONLY, func(s pkcs11.SessionHandle) error {
			return d.SetAttributeValue(s, private, []*pkcs11.Attribute{attribute(pkcs11.CKA_SENSITIVE, false)})
		}, false},
		{"destroy what is not there", pkcs11.CKR_OBJECT_HANDLE_INVALID, func(s pkcs11.SessionHandle) error {
			return d.DestroyObject(s, nowhere)
		}, false},
		{"an object without a class", pkcs11.CKR_TEMPLATE_INCOMPLETE, func(s pkcs11.SessionHandle) error {
			_, err := d.CreateObject(s, []*pkcs11.Attribute{attribute(pkcs11.CKA_LABEL, "nothing")})
			return err
		}, false},
		{"a key of an impossible size", pkcs11.CKR_ATTRIBUTE_VALUE_INVALID, func(s pkcs11.SessionHandle) error {
			_, err := d.GenerateKey(s, mechanism(pkcs11.CKM_AES_KEY_GEN, nil), []*pkcs11.Attribute{attribute(pkcs11.CKA_VALUE_LEN, 15)})
			return err
		}, false},
		{"a curve that nobody knows", pkcs11.CKR_CURVE_NOT_SUPPORTED, func(s pkcs11.SessionHandle) error {
			_, _, err := d.GenerateKeyPair(s, mechanism(pkcs11.CKM_EC_KEY_PAIR_GEN, nil),
				[]*pkcs11.Attribute{attribute(pkcs11.CKA_EC_PARAMS, []byte{0x06, 0x03, 0x2a, 0x03, 0x04})}, nil)
			return err
		}, true},
		{"a token key in a read-only session", pkcs11.CKR_SESSION_READ_ONLY, func(pkcs11.SessionHandle) error {
			_, err := d.GenerateKey(readOnly, mechanism(pkcs11.CKM_AES_KEY_GEN, nil), []*pkcs11.Attribute{
				attribute(pkcs11.CKA_VALUE_LEN, 32), attribute(pkcs11.CKA_TOKEN, true)})
			return err
		}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.differs && !d.token.Tidelock() {
				t.Skip("SoftHSM 2.6 answers otherwise")
			}
			session := d.open(pkcs11.CKF_RW_SESSION)
			wantCode(t, c.want, c.do(session))
			// A case may have closed it.
			if err := d.CloseSession(session); err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_SESSION_HANDLE_INVALID)) {
				t.Error(err)
			}
		})
	}

	// Errors have done no harm.
	if err := d.SignInit(d.session, ecdsa, private); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Sign(d.session, digest); err != nil {
		t.Error(err)
	}
}

// TestGoLogout shows that private objects go with the login.
func TestGoLogout(t *testing.T) {
	d := load(t)
	_, private := d.pair()
	if err := d.Logout(d.session); err != nil {
		t.Fatal(err)
	}
	err := d.SignInit(d.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil)}, private)
	if d.token.Tidelock() {
		wantCode(t, pkcs11.CKR_KEY_HANDLE_INVALID, err)
		wantCode(t, pkcs11.CKR_USER_NOT_LOGGED_IN, d.Logout(d.session))
	} else if err == nil {
		t.Error("a private key signs after the logout")
	}
	wantCode(t, pkcs11.CKR_PIN_INCORRECT, d.Login(d.session, pkcs11.CKU_USER, "not-the-pin-at-all"))
	if err := d.Login(d.session, pkcs11.CKU_USER, token.PIN); err != nil {
		t.Error(err)
	}
}

func wantCode(t *testing.T, want uint, err error) {
	t.Helper()
	var got pkcs11.Error
	if !errors.As(err, &got) || got != pkcs11.Error(want) {
		t.Errorf("got %v, want %v", err, pkcs11.Error(want))
	}
}
