package attack

import (
	"bytes"
	"crypto/aes"
	"fmt"
	"testing"

	"github.com/miekg/pkcs11"
)

// What PKCS#11 3.0 has brought: CKM_AES_KEY_WRAP_KWP and CKA_UNIQUE_ID.
const (
	ckmKWP      = 0x210b
	ckaUniqueID = 4
)

// wrapMechanisms are the ways to wrap that a secret key may be thought to have.
var wrapMechanisms = []struct {
	name  string
	list  []*pkcs11.Mechanism
	wraps bool
}{
	{"CKM_AES_KEY_WRAP", mechanism(pkcs11.CKM_AES_KEY_WRAP), true},
	{"CKM_AES_KEY_WRAP_KWP", mechanism(ckmKWP), true},
	{"CKM_AES_CBC", mechanism(pkcs11.CKM_AES_CBC, zeroIV), true},
	{"CKM_AES_CBC_PAD", mechanism(pkcs11.CKM_AES_CBC_PAD, zeroIV), true},
	{"CKM_AES_ECB", mechanism(pkcs11.CKM_AES_ECB), false},
}

// purposes is a set of what a key is made for.
type purposes uint8

const (
	wrap purposes = 1 << iota
	unwrap
	encrypt
	decrypt

	everyPurpose = wrap | unwrap | encrypt | decrypt
)

func (p purposes) template() []any {
	return []any{
		pkcs11.CKA_WRAP, p&wrap != 0, pkcs11.CKA_UNWRAP, p&unwrap != 0,
		pkcs11.CKA_ENCRYPT, p&encrypt != 0, pkcs11.CKA_DECRYPT, p&decrypt != 0,
	}
}

func (p purposes) String() string {
	s := ""
	for i, c := range "WUED" {
		if p&(1<<i) != 0 {
			s += string(c)
		}
	}
	return s
}

// mayBe is the model's judgement on a new key of these purposes.
func (p purposes) mayBe(profile string) bool {
	if profile == "strict" {
		return p&(wrap|unwrap) == 0 || p&(encrypt|decrypt) == 0
	}
	conflict := p&(wrap|decrypt) == wrap|decrypt || p&(unwrap|encrypt) == unwrap|encrypt
	return p == everyPurpose || !conflict
}

// mayBecome is the model's judgement on purposes that a key gets later. With a copy about, each
// of the two could get what the other must not have: then neither gets anything.
func (p purposes) mayBecome(more purposes, profile string, copied bool) bool {
	granted := p | more
	if granted == p {
		return true
	}
	if profile == "strict" || copied {
		return false
	}
	return granted&(wrap|decrypt) != wrap|decrypt && granted&(unwrap|encrypt) != unwrap|encrypt
}

// origin is where the attacker's key comes from.
type origin struct {
	name string
	// known says that he knows its value; safe that a sensitive key may go out under it;
	// copied that there was another one of the same value.
	known, safe, copied bool
	make                func(l *lab, p purposes) (pkcs11.ObjectHandle, error)
}

var knownValue = bytes.Repeat([]byte{0x5a}, 32)

var origins = []origin{
	{"generated", false, true, false, func(l *lab, p purposes) (pkcs11.ObjectHandle, error) { return l.generate(p.template()...) }},
	{"generated extractable", false, false, false, func(l *lab, p purposes) (pkcs11.ObjectHandle, error) {
		return l.generate(append(p.template(), pkcs11.CKA_EXTRACTABLE, true)...)
	}},
	{"imported", true, false, false, func(l *lab, p purposes) (pkcs11.ObjectHandle, error) {
		return l.CreateObject(l.session, imported(knownValue, p.template()...))
	}},
	{"unwrapped", true, false, false, func(l *lab, p purposes) (pkcs11.ObjectHandle, error) {
		h, err := l.CreateObject(l.session, imported(knownValue, pkcs11.CKA_UNWRAP, true))
		if err != nil {
			return 0, err
		}
		defer l.DestroyObject(l.session, h)
		return l.UnwrapKey(l.session, mechanism(pkcs11.CKM_AES_KEY_WRAP), h, keyWrap(knownValue, knownValue), unwrapped(p.template()...))
	}},
	{"copied", false, true, true, func(l *lab, p purposes) (pkcs11.ObjectHandle, error) {
		h, err := l.generate(p.template()...)
		if err != nil {
			return 0, err
		}
		defer l.DestroyObject(l.session, h)
		return l.CopyObject(l.session, h, nil)
	}},
}

// keyWrap is RFC 3394.
func keyWrap(key, plain []byte) []byte {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	n := len(plain) / 8
	a, r, buffer := bytes.Repeat([]byte{0xa6}, 8), bytes.Clone(plain), make([]byte, aes.BlockSize)
	for j := range 6 {
		for i := 1; i <= n; i++ {
			copy(buffer, a)
			copy(buffer[8:], r[8*(i-1):8*i])
			block.Encrypt(buffer, buffer)
			copy(a, buffer[:8])
			a[7] ^= byte(n*j + i)
			copy(r[8*(i-1):], buffer[8:])
		}
	}
	return append(a, r...)
}

// widening is how the attacker tries to give his key another purpose afterwards.
type widening struct {
	name string
	more purposes
	// drops are purposes that he takes off before, in the hope that they are forgotten.
	drops purposes
	copy  bool
	do    func(l *lab, h pkcs11.ObjectHandle, w widening) (pkcs11.ObjectHandle, error)
}

func (p purposes) attributes(value bool) (t []*pkcs11.Attribute) {
	for i, typ := range []int{pkcs11.CKA_WRAP, pkcs11.CKA_UNWRAP, pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT} {
		if p&(1<<i) != 0 {
			t = append(t, pkcs11.NewAttribute(uint(typ), value))
		}
	}
	return t
}

func bySetting(l *lab, h pkcs11.ObjectHandle, w widening) (pkcs11.ObjectHandle, error) {
	if w.drops != 0 {
		if err := l.SetAttributeValue(l.session, h, w.drops.attributes(false)); err != nil {
			return h, err
		}
	}
	return h, l.SetAttributeValue(l.session, h, w.more.attributes(true))
}

func byCopying(l *lab, h pkcs11.ObjectHandle, w widening) (pkcs11.ObjectHandle, error) {
	return l.CopyObject(l.session, h, append(w.more.attributes(true), w.drops.attributes(false)...))
}

var widenings = []widening{
	{name: "none"},
	{"set decrypt", decrypt, 0, false, bySetting},
	{"drop wrap, set decrypt", decrypt, wrap, false, bySetting},
	{"copy with decrypt", decrypt, 0, true, byCopying},
	{"copy with decrypt for wrap", decrypt, wrap, true, byCopying},
	{"set wrap", wrap, 0, false, bySetting},
	{"drop unwrap, set encrypt", encrypt, unwrap, false, bySetting},
	{"drop encrypt, set unwrap", unwrap, encrypt, false, bySetting},
	{"copy with wrap for decrypt", wrap, decrypt, true, byCopying},
}

// TestMatrix tries every way to wrap each target, with keys of every origin, of every
// set of purposes, widened in every way. The model says what must work and what must
// not; apart from it, the attacker takes each blob apart as well as he can.
func TestMatrix(t *testing.T) {
	for _, profile := range profiles {
		t.Run(profile, func(t *testing.T) {
			l := labs[profile]
			m := matrix{t: t, lab: l}
			for _, o := range origins {
				for p := range everyPurpose + 1 {
					for _, w := range widenings {
						m.key(o, p, w)
					}
				}
			}
			m.clean(t)
			m.changes()
			m.derivations()
			t.Logf("%d cells, %d of them allowed, %d blobs taken apart", m.cells, m.allowed, m.blobs)
			if m.cells < 5000 || m.allowed < 50 || m.blobs < 50 {
				t.Error("the matrix is too small to show anything")
			}
		})
	}
}

type matrix struct {
	t *testing.T
	*lab
	cells, allowed, blobs int
}

// expect holds a cell against the model.
func (m *matrix) expect(what string, err error, allowed bool) {
	m.t.Helper()
	m.cells++
	switch {
	case allowed && err != nil:
		m.t.Errorf("%s: %v, which the model allows", what, err)
	case !allowed && err == nil:
		m.t.Errorf("%s works, which the model forbids", what)
	}
	if allowed {
		m.allowed++
	}
}

// key makes one key, widens it and tries all targets with what there is then.
func (m *matrix) key(o origin, p purposes, w widening) {
	what := fmt.Sprintf("%s %q, %s", o.name, p, w.name)
	h, err := o.make(m.lab, p)
	m.expect(what, err, p.mayBe(m.profile))
	if err != nil {
		return
	}
	keys := []pkcs11.ObjectHandle{h}
	has, granted := p, p
	if w.do != nil {
		got, err := w.do(m.lab, h, w)
		allowed := p.mayBecome(w.more, m.profile, w.copy || o.copied) && (m.profile != "strict" || w.drops&p == 0)
		m.expect(what+": the widening", err, allowed)
		if got != h && err == nil {
			keys = append(keys, got)
			m.tryTargets(what, o, got, keys, (p&^w.drops)|w.more, p|w.more)
		} else if err == nil {
			has, granted = (p&^w.drops)|w.more, p|w.more
		} else if w.drops != 0 {
			// The first half may have been done.
			has = 0
			for i, typ := range []uint{pkcs11.CKA_WRAP, pkcs11.CKA_UNWRAP, pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT} {
				if v, err := m.read(h, typ); err == nil && bytes.Equal(v, []byte{1}) {
					has |= 1 << i
				}
			}
		}
	}
	m.tryTargets(what, o, h, keys, has, granted)
	for _, key := range keys {
		if err := m.DestroyObject(m.session, key); err != nil {
			m.t.Errorf("%s: %v", what, err)
		}
	}
}

// mayWrap is the model's judgement on a sensitive target.
func mayWrap(o origin, has, granted purposes, name string) bool {
	extractable := name == "T1" || name == "T6" // T3 wants a trusted key, T4 policy 1
	return extractable && o.safe && has&wrap != 0 && granted&decrypt == 0
}

func (m *matrix) tryTargets(what string, o origin, h pkcs11.ObjectHandle, keys []pkcs11.ObjectHandle, has, granted purposes) {
	for name, target := range m.targets {
		for _, way := range wrapMechanisms {
			blob, err := m.WrapKey(m.session, way.list, h, target.handle)
			cell := fmt.Sprintf("%s: %s of %s", what, way.name, name)
			m.expect(cell, err, way.wraps && mayWrap(o, has, granted, name))
			if err == nil {
				m.takeApart(cell, o, keys, blob)
			}
		}
	}
}

// takeApart does with a blob what an attacker can who has these keys.
func (m *matrix) takeApart(what string, o origin, keys []pkcs11.ObjectHandle, blob []byte) {
	m.blobs++
	m.leaked(m.t, what, blob)
	if o.known {
		m.leaked(m.t, what+", opened outside", opened(knownValue, blob))
	}
	for _, key := range keys {
		for _, open := range []func() ([]byte, error){
			func() ([]byte, error) { return m.decrypt(pkcs11.CKM_AES_ECB, key, blob) },
			func() ([]byte, error) { return m.decrypt(pkcs11.CKM_AES_CBC, key, blob, zeroIV) },
			func() ([]byte, error) { return m.decrypt(pkcs11.CKM_AES_CBC_PAD, key, blob, zeroIV) },
			func() ([]byte, error) { return m.decrypt(pkcs11.CKM_AES_KEY_WRAP, key, blob) },
			func() ([]byte, error) { return m.decrypt(ckmKWP, key, blob) },
		} {
			if plain, err := open(); err == nil {
				m.leaked(m.t, what+", decrypted", plain)
			}
		}
		for _, way := range wrapMechanisms {
			for _, template := range [][]*pkcs11.Attribute{
				unwrapped(pkcs11.CKA_SENSITIVE, false, pkcs11.CKA_EXTRACTABLE, true),
				unwrapped(pkcs11.CKA_EXTRACTABLE, true),
				unwrapped(),
			} {
				again, err := m.UnwrapKey(m.session, way.list, key, blob, template)
				if err != nil {
					continue
				}
				if shown, err := m.read(again, pkcs11.CKA_VALUE); err == nil {
					m.leaked(m.t, what+", unwrapped", shown)
				}
				if err := m.DestroyObject(m.session, again); err != nil {
					m.t.Error(err)
				}
			}
		}
	}
}

// changes tries to set each attribute of each target both ways, and to copy with it.
func (m *matrix) changes() {
	lowered := map[int]bool{pkcs11.CKA_EXTRACTABLE: true, pkcs11.CKA_MODIFIABLE: true, pkcs11.CKA_COPYABLE: true}
	raised := map[int]bool{pkcs11.CKA_SENSITIVE: true, pkcs11.CKA_PRIVATE: true, pkcs11.CKA_WRAP_WITH_TRUSTED: true}
	for name, target := range m.targets {
		for _, typ := range []int{
			pkcs11.CKA_SENSITIVE, pkcs11.CKA_EXTRACTABLE, pkcs11.CKA_PRIVATE, pkcs11.CKA_WRAP_WITH_TRUSTED, pkcs11.CKA_MODIFIABLE, pkcs11.CKA_COPYABLE,
			pkcs11.CKA_LOCAL, pkcs11.CKA_ALWAYS_SENSITIVE, pkcs11.CKA_NEVER_EXTRACTABLE, pkcs11.CKA_TRUSTED,
		} {
			now, err := m.read(target.handle, uint(typ))
			if err != nil {
				continue // not an attribute of this class
			}
			for _, value := range []bool{false, true} {
				is := bytes.Equal(now, []byte{1})
				safer := lowered[typ] && !value || raised[typ] && value
				h, err := m.CopyObject(m.session, target.handle, attributes(typ, value))
				what := fmt.Sprintf("copy of %s with %#x %t", name, typ, value)
				m.expect(what, err, (is == value || safer) && (lowered[typ] || raised[typ]))
				if err != nil {
					continue
				}
				if shown, err := m.read(h, pkcs11.CKA_VALUE); err == nil {
					m.leaked(m.t, what, shown)
				}
				if err := m.DestroyObject(m.session, h); err != nil {
					m.t.Error(err)
				}
			}
		}
	}
}

// derivations derives from keys of every kind with templates of every kind: a derived key
// is never less guarded than its base.
func (m *matrix) derivations() {
	_, theirs, err := m.GenerateKeyPair(m.session, mechanism(pkcs11.CKM_EC_KEY_PAIR_GEN), attributes(pkcs11.CKA_EC_PARAMS, oidP256), nil)
	if err != nil {
		m.t.Fatal(err)
	}
	m.drop(theirs)
	for _, sensitive := range []bool{false, true} {
		for _, extractable := range []bool{false, true} {
			public, base, err := m.GenerateKeyPair(m.session, mechanism(pkcs11.CKM_EC_KEY_PAIR_GEN), attributes(pkcs11.CKA_EC_PARAMS, oidP256),
				attributes(pkcs11.CKA_SENSITIVE, sensitive, pkcs11.CKA_EXTRACTABLE, extractable, pkcs11.CKA_DERIVE, true))
			if err != nil {
				m.t.Fatal(err)
			}
			point, err := m.read(public, pkcs11.CKA_EC_POINT)
			if err != nil {
				m.t.Fatal(err)
			}
			for _, kdf := range []uint{pkcs11.CKD_NULL, pkcs11.CKD_SHA256_KDF} {
				for _, s := range []any{nil, false, true} {
					for _, e := range []any{nil, false, true} {
						m.derive(base, kdf, point, sensitive, extractable, s, e)
					}
				}
			}
			for _, h := range []pkcs11.ObjectHandle{public, base} {
				m.drop(h)
			}
		}
	}
	m.clean(m.t)
}

func (m *matrix) derive(base pkcs11.ObjectHandle, kdf uint, point []byte, sensitive, extractable bool, s, e any) {
	template := attributes(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY, pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES, pkcs11.CKA_VALUE_LEN, 32)
	if s != nil {
		template = with(template, pkcs11.CKA_SENSITIVE, s)
	}
	if e != nil {
		template = with(template, pkcs11.CKA_EXTRACTABLE, e)
	}
	what := fmt.Sprintf("deriving from sensitive %t extractable %t with sensitive %v extractable %v", sensitive, extractable, s, e)
	h, err := m.DeriveKey(m.session, mechanism(pkcs11.CKM_ECDH1_DERIVE, pkcs11.NewECDH1DeriveParams(kdf, nil, point)), base, template)
	m.expect(what, err, !(sensitive && s == false) && !(!extractable && e == true))
	if err != nil {
		return
	}
	defer m.DestroyObject(m.session, h)
	_, err = m.read(h, pkcs11.CKA_VALUE)
	if err == nil && (sensitive || !extractable) {
		m.t.Errorf("%s: the new key can be read", what)
	}
}
