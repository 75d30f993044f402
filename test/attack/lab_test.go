// Package attack plays an attacker who may call the library: each case of a catalogue of
// known attacks on PKCS#11 tokens, and a matrix of ways to bring a key out. What counts
// is whether he gets a key, not whether some call was refused.
package attack

import (
	"bytes"
	"crypto/aes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"tidelock.dev/tidelock/test/token"
)

// profiles are the ways in which a partition is set up.
var profiles = []string{"default", "strict"}

// lab is a token with the attacker's session, logged in as its Crypto Officer, and the
// keys that he is after.
type lab struct {
	*pkcs11.Ctx
	profile string
	slot    uint
	session pkcs11.SessionHandle
	tok     *token.Token
	targets map[string]target
	garbage []pkcs11.ObjectHandle
}

// target is a key that must not become known.
type target struct {
	handle pkcs11.ObjectHandle
	// check is what only the key computes: a zero block encrypted, or a MAC.
	check []byte
	kind  string
}

// labs has a lab per profile, which all tests share: C_Initialize is per process.
var labs = map[string]*lab{}

func TestMain(m *testing.M) {
	code, err := withLabs(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		code = 1
	}
	os.Exit(code)
}

func withLabs(run func() int) (code int, err error) {
	module, err := token.Module()
	if err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "tidelock-attack-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	tok, err := token.New(module, dir, nil)
	if err != nil {
		return 1, err
	}
	defer tok.Close()
	for _, variable := range tok.Env {
		name, value, _ := strings.Cut(variable, "=")
		os.Setenv(name, value)
	}
	ctx := pkcs11.New(module)
	if ctx == nil {
		return 1, fmt.Errorf("%s cannot be loaded", module)
	}
	defer ctx.Destroy()
	if err := ctx.Initialize(); err != nil {
		return 1, err
	}
	defer ctx.Finalize()
	slots := map[string]uint{"default": 0}
	if slots["strict"], err = strictPartition(tok, dir); err != nil {
		return 1, err
	}
	for profile, slot := range slots {
		l := &lab{Ctx: ctx, profile: profile, slot: slot, tok: tok}
		if err := l.open(); err != nil {
			return 1, fmt.Errorf("%s: %w", profile, err)
		}
		labs[profile] = l
	}
	return run(), nil
}

// strictPartition makes a second partition, of the strict profile, and returns its slot.
func strictPartition(tok *token.Token, dir string) (uint, error) {
	program := filepath.Join(filepath.Dir(tok.Module), "tidelock")
	so, pin := filepath.Join(dir, "so.pin"), filepath.Join(dir, "co.pin")
	for file, content := range map[string]string{so: token.SOPIN, pin: token.PIN} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			return 0, err
		}
	}
	for _, args := range [][]string{
		{"partition", "create", "strict", "--pin-file", so},
		{"partition", "init", "--partition", "strict", "--label", "strict", "--profile", "strict", "--pin-file", so, "--yes"},
		{"client", "assign", "--everybody", "--partition", "strict", "--pin-file", so},
		{"role", "init", "co", "--partition", "strict", "--pin-file", so, "--new-pin-file", pin},
	} {
		if out, err := tok.Command(program, args...).CombinedOutput(); err != nil {
			return 0, fmt.Errorf("tidelock %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return 1, nil
}

func (l *lab) open() (err error) {
	if l.session, err = l.OpenSession(l.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION); err != nil {
		return err
	}
	if err := l.Login(l.session, pkcs11.CKU_USER, token.PIN); err != nil {
		return err
	}
	return l.makeTargets()
}

// attributes are a template: types, each followed by its value.
func attributes(list ...any) (t []*pkcs11.Attribute) {
	for i := 0; i < len(list); i += 2 {
		t = append(t, pkcs11.NewAttribute(uint(list[i].(int)), list[i+1]))
	}
	return t
}

// with is a template with further attributes, which take the place of those that it has.
func with(t []*pkcs11.Attribute, list ...any) []*pkcs11.Attribute {
	more := attributes(list...)
	out := slices.DeleteFunc(slices.Clone(t), func(a *pkcs11.Attribute) bool {
		return slices.ContainsFunc(more, func(b *pkcs11.Attribute) bool { return a.Type == b.Type })
	})
	return append(out, more...)
}

func mechanism(m uint, parameter ...any) []*pkcs11.Mechanism {
	if len(parameter) == 0 {
		return []*pkcs11.Mechanism{pkcs11.NewMechanism(m, nil)}
	}
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(m, parameter[0])}
}

var (
	oidP256 = []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}
	zeroIV  = make([]byte, aes.BlockSize)
)

// makeTargets makes the keys of the catalogue, T1 to T6, as session objects. The two
// that no use conflicts with are made for encryption and for MACs, so that their check is known.
func (l *lab) makeTargets() error {
	l.targets = map[string]target{}
	secret := attributes(pkcs11.CKA_VALUE_LEN, 32, pkcs11.CKA_SENSITIVE, true)
	for name, t := range map[string][]*pkcs11.Attribute{
		"T1": with(secret, pkcs11.CKA_EXTRACTABLE, true, pkcs11.CKA_ENCRYPT, true),
		"T2": with(secret, pkcs11.CKA_EXTRACTABLE, false, pkcs11.CKA_ENCRYPT, true),
		"T3": with(secret, pkcs11.CKA_EXTRACTABLE, true, pkcs11.CKA_ENCRYPT, true, pkcs11.CKA_WRAP_WITH_TRUSTED, true),
	} {
		h, err := l.GenerateKey(l.session, mechanism(pkcs11.CKM_AES_KEY_GEN), t)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		check, err := l.encrypt(pkcs11.CKM_AES_ECB, h, zeroIV)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		l.targets[name] = target{h, check, "aes"}
	}
	_, rsa, err := l.GenerateKeyPair(l.session, mechanism(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN),
		attributes(pkcs11.CKA_MODULUS_BITS, 2048, pkcs11.CKA_VERIFY, true),
		attributes(pkcs11.CKA_SENSITIVE, true, pkcs11.CKA_EXTRACTABLE, true, pkcs11.CKA_SIGN, true))
	if err != nil {
		return fmt.Errorf("T4: %w", err)
	}
	_, ec, err := l.GenerateKeyPair(l.session, mechanism(pkcs11.CKM_EC_KEY_PAIR_GEN),
		attributes(pkcs11.CKA_EC_PARAMS, oidP256, pkcs11.CKA_VERIFY, true),
		attributes(pkcs11.CKA_SENSITIVE, true, pkcs11.CKA_EXTRACTABLE, false, pkcs11.CKA_SIGN, true))
	if err != nil {
		return fmt.Errorf("T5: %w", err)
	}
	l.targets["T4"], l.targets["T5"] = target{handle: rsa, kind: "rsa"}, target{handle: ec, kind: "ec"}
	mac, err := l.GenerateKey(l.session, mechanism(pkcs11.CKM_GENERIC_SECRET_KEY_GEN),
		with(secret, pkcs11.CKA_EXTRACTABLE, true, pkcs11.CKA_SIGN, true))
	if err != nil {
		return fmt.Errorf("T6: %w", err)
	}
	check, err := l.sign(pkcs11.CKM_SHA256_HMAC, mac, []byte("check"))
	l.targets["T6"] = target{mac, check, "generic"}
	return err
}

func (l *lab) encrypt(m uint, key pkcs11.ObjectHandle, data []byte, parameter ...any) ([]byte, error) {
	if err := l.EncryptInit(l.session, mechanism(m, parameter...), key); err != nil {
		return nil, err
	}
	return l.Encrypt(l.session, data)
}

func (l *lab) decrypt(m uint, key pkcs11.ObjectHandle, data []byte, parameter ...any) ([]byte, error) {
	if err := l.DecryptInit(l.session, mechanism(m, parameter...), key); err != nil {
		return nil, err
	}
	return l.Decrypt(l.session, data)
}

func (l *lab) sign(m uint, key pkcs11.ObjectHandle, data []byte) ([]byte, error) {
	if err := l.SignInit(l.session, mechanism(m), key); err != nil {
		return nil, err
	}
	return l.Sign(l.session, data)
}

// is tells whether bytes hold the target's key, at any place that begins at a byte.
func (t target) in(b []byte) bool {
	const size = 32
	for i := 0; i+size <= len(b); i++ {
		switch candidate := b[i : i+size]; t.kind {
		case "aes":
			block, err := aes.NewCipher(candidate)
			if err != nil {
				continue
			}
			out := make([]byte, aes.BlockSize)
			block.Encrypt(out, zeroIV)
			if bytes.Equal(out, t.check) {
				return true
			}
		case "generic":
			h := hmac.New(sha256.New, candidate)
			h.Write([]byte("check"))
			if hmac.Equal(h.Sum(nil), t.check) {
				return true
			}
		}
	}
	// A private key that came out would be PKCS #8: a sequence with version 0.
	return (t.kind == "rsa" || t.kind == "ec") && len(b) > 10 && b[0] == 0x30 && bytes.Contains(b[:min(len(b), 8)], []byte{2, 1, 0})
}

// leaked fails the test when bytes that the attacker has hold a target.
func (l *lab) leaked(t *testing.T, what string, b []byte) {
	t.Helper()
	for name, target := range l.targets {
		if target.in(b) {
			t.Errorf("%s gave %s away", what, name)
		}
	}
}

// read gives what C_GetAttributeValue shows of a key.
func (l *lab) read(h pkcs11.ObjectHandle, types ...uint) (shown []byte, err error) {
	for _, typ := range types {
		list, e := l.GetAttributeValue(l.session, h, []*pkcs11.Attribute{pkcs11.NewAttribute(typ, nil)})
		if e != nil {
			err = e
			continue
		}
		shown = append(shown, list[0].Value...)
	}
	return shown, err
}

// objects are the handles of all objects that the attacker sees.
func (l *lab) objects(t *testing.T) []pkcs11.ObjectHandle {
	t.Helper()
	if err := l.FindObjectsInit(l.session, nil); err != nil {
		t.Fatal(err)
	}
	defer l.FindObjectsFinal(l.session)
	var all []pkcs11.ObjectHandle
	for {
		found, _, err := l.FindObjects(l.session, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 {
			return all
		}
		all = append(all, found...)
	}
}

// refused fails the test when a call was not refused with one of the codes.
func refused(t *testing.T, what string, err error, codes ...uint) {
	t.Helper()
	for _, c := range codes {
		if err == pkcs11.Error(c) {
			return
		}
	}
	names := make([]string, len(codes))
	for i, c := range codes {
		names[i] = pkcs11.Error(c).Error()
	}
	t.Errorf("%s: %v, want %s", what, err, strings.Join(names, " or "))
}

// attack runs a case on both profiles. Afterwards no object may be left that the case
// did not destroy, no target may be changed, and the session must work.
func attack(t *testing.T, run func(t *testing.T, l *lab)) {
	for _, profile := range profiles {
		t.Run(profile, func(t *testing.T) {
			l := labs[profile]
			before := l.objects(t)
			run(t, l)
			l.clean(t)
			after := l.objects(t)
			for _, h := range after {
				if !slices.Contains(before, h) {
					t.Errorf("object %d is left behind", h)
					l.DestroyObject(l.session, h)
				}
			}
			if len(after) < len(before) {
				t.Errorf("%d objects are left of %d", len(after), len(before))
			}
			for name, target := range l.targets {
				if target.kind != "aes" {
					continue
				}
				if check, err := l.encrypt(pkcs11.CKM_AES_ECB, target.handle, zeroIV); err != nil || !bytes.Equal(check, target.check) {
					t.Errorf("%s is another key, or does not work: %v", name, err)
				}
				if shown, err := l.read(target.handle, pkcs11.CKA_VALUE); err != pkcs11.Error(pkcs11.CKR_ATTRIBUTE_SENSITIVE) {
					t.Errorf("the value of %s reads %x, %v", name, shown, err)
				}
			}
		})
	}
}

// clean destroys what the case has made.
func (l *lab) clean(t *testing.T) {
	for _, h := range l.garbage {
		if err := l.DestroyObject(l.session, h); err != nil {
			t.Errorf("destroying object %d: %v", h, err)
		}
	}
	l.garbage = nil
}

// made destroys a key at the end of the case.
func (l *lab) made(t *testing.T, h pkcs11.ObjectHandle, err error) pkcs11.ObjectHandle {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	l.drop(h)
	return h
}

// drop remembers a key that the case has made.
func (l *lab) drop(h pkcs11.ObjectHandle) { l.garbage = append(l.garbage, h) }
