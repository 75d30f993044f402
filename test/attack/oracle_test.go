package attack

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"testing"

	"github.com/miekg/pkcs11"
)

// answers collects how a call ends over many inputs. An oracle is a call whose answer
// depends on what was inside.
type answers map[error]int

func (a answers) add(err error) { a[err]++ }

// one fails the test when there was more than one answer, or another than the codes.
func (a answers) one(t *testing.T, what string, codes ...uint) {
	t.Helper()
	if len(a) != 1 {
		t.Errorf("%s has %d answers: %v", what, len(a), a)
	}
	for err := range a {
		refused(t, what, err, codes...)
	}
}

// B01, B02: PKCS#1 v1.5 decryption and unwrapping are not there at all.
func TestPKCS1Oracle(t *testing.T) {
	attack(t, func(t *testing.T, l *lab) {
		m := pkcs11.CKM_RSA_PKCS
		_, private := l.rsaPair(t, pkcs11.CKA_DECRYPT)
		a := answers{}
		for range 60 {
			text := make([]byte, 256)
			rand.Read(text[1:])
			_, err := l.decrypt(uint(m), private, text)
			a.add(err)
		}
		a.one(t, "C_Decrypt", pkcs11.CKR_MECHANISM_INVALID)
		_, unwrapping := l.rsaPair(t, pkcs11.CKA_UNWRAP)
		for _, template := range [][]*pkcs11.Attribute{unwrapped(), unwrapped(pkcs11.CKA_VALUE_LEN, 32)} {
			_, err := l.UnwrapKey(l.session, mechanism(uint(m)), unwrapping, make([]byte, 256), template)
			refused(t, "C_UnwrapKey", err, pkcs11.CKR_MECHANISM_INVALID)
		}
	})
}

// rsaPair is a pair for encryption or wrapping; use is what the private half does.
func (l *lab) rsaPair(t *testing.T, use int) (public, private pkcs11.ObjectHandle) {
	t.Helper()
	opposite := map[int]int{pkcs11.CKA_DECRYPT: pkcs11.CKA_ENCRYPT, pkcs11.CKA_UNWRAP: pkcs11.CKA_WRAP}[use]
	public, private, err := l.GenerateKeyPair(l.session, mechanism(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN),
		attributes(pkcs11.CKA_MODULUS_BITS, 2048, opposite, true), attributes(use, true))
	l.made(t, public, err)
	l.drop(private)
	return public, private
}

// B03: each last byte of a CBC-PAD text is answered alike.
func TestPaddingOracle(t *testing.T) {
	attack(t, func(t *testing.T, l *lab) {
		h, err := l.generate(pkcs11.CKA_ENCRYPT, true, pkcs11.CKA_DECRYPT, true)
		key := l.made(t, h, err)
		text, err := l.encrypt(pkcs11.CKM_AES_CBC_PAD, key, bytes.Repeat([]byte{1}, 40), zeroIV)
		if err != nil {
			t.Fatal(err)
		}
		a, fine := answers{}, 0
		for n := range 256 {
			changed := bytes.Clone(text)
			changed[len(text)-17] ^= byte(n) // moves into the last byte of the plaintext
			if _, err := l.decrypt(pkcs11.CKM_AES_CBC_PAD, key, changed, zeroIV); err != nil {
				a.add(err)
			} else {
				fine++
			}
		}
		a.one(t, "C_Decrypt", pkcs11.CKR_ENCRYPTED_DATA_INVALID)
		if fine < 1 || fine > 3 {
			t.Errorf("%d of 256 paddings are taken", fine)
		}
	})
}

// B04: each changed bit of a wrapped key, and lengths that cannot be, make no key.
func TestKeyWrapOracle(t *testing.T) {
	attack(t, func(t *testing.T, l *lab) {
		h, err := l.generate(pkcs11.CKA_WRAP, true, pkcs11.CKA_UNWRAP, true)
		w := l.made(t, h, err)
		for name, m := range map[string][]*pkcs11.Mechanism{"KW": mechanism(pkcs11.CKM_AES_KEY_WRAP), "KWP": mechanism(ckmKWP)} {
			blob, err := l.WrapKey(l.session, m, w, l.targets["T1"].handle)
			if err != nil {
				t.Fatal(err)
			}
			a := answers{}
			for bit := range 8 * len(blob) {
				changed := bytes.Clone(blob)
				changed[bit/8] ^= 1 << (bit % 8)
				h, err := l.UnwrapKey(l.session, m, w, changed, unwrapped())
				a.add(err)
				if err == nil {
					l.drop(h)
				}
			}
			a.one(t, name, pkcs11.CKR_WRAPPED_KEY_INVALID)
			for n := 1; n < len(blob); n++ {
				_, err := l.UnwrapKey(l.session, m, w, blob[:n], unwrapped())
				refused(t, name+" cut", err, pkcs11.CKR_WRAPPED_KEY_INVALID, pkcs11.CKR_WRAPPED_KEY_LEN_RANGE, pkcs11.CKR_ARGUMENTS_BAD)
			}
		}
	})
}

// oaep encodes a message for RSA-OAEP with SHA-256, spoilt in one way (RFC 8017, 7.1).
func oaep(public *rsa.PublicKey, spoil func(db []byte) byte) []byte {
	k := public.Size()
	seed, db := make([]byte, 32), make([]byte, k-33)
	rand.Read(seed)
	label := sha256.Sum256(nil)
	copy(db, label[:])
	db[len(db)-33] = 1
	first := byte(0)
	if spoil != nil {
		first = spoil(db)
	}
	mask := func(b, from []byte) {
		for counter, at := byte(0), 0; at < len(b); counter++ {
			sum := sha256.Sum256(append(bytes.Clone(from), 0, 0, 0, counter))
			for i := 0; i < len(sum) && at < len(b); i, at = i+1, at+1 {
				b[at] ^= sum[i]
			}
		}
	}
	mask(db, seed)
	mask(seed, db)
	m := new(big.Int).SetBytes(append(append([]byte{first}, seed...), db...))
	return m.Exp(m, big.NewInt(int64(public.E)), public.N).FillBytes(make([]byte, k))
}

// B05: what is wrong inside an OAEP text is not told (Manger).
func TestOAEPOracle(t *testing.T) {
	attack(t, func(t *testing.T, l *lab) {
		public, private := l.rsaPair(t, pkcs11.CKA_DECRYPT)
		n, err := l.read(public, pkcs11.CKA_MODULUS)
		if err != nil {
			t.Fatal(err)
		}
		key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}
		params := pkcs11.NewOAEPParams(pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256, pkcs11.CKZ_DATA_SPECIFIED, nil)
		if plain, err := l.decrypt(pkcs11.CKM_RSA_PKCS_OAEP, private, oaep(key, nil), params); err != nil || len(plain) != 32 {
			t.Fatalf("a sound text gives %x, %v", plain, err)
		}
		a := answers{}
		for _, spoil := range []func(db []byte) byte{
			func([]byte) byte { return 1 },
			func(db []byte) byte { db[0] ^= 1; return 0 },
			func(db []byte) byte { db[31] ^= 0x80; return 0 },
			func(db []byte) byte { db[len(db)-33] = 0; clear(db[32:]); return 0 },
			func(db []byte) byte { db[40] = 2; return 0 },
			func(db []byte) byte { db[0] ^= 1; return 1 },
		} {
			_, err := l.decrypt(pkcs11.CKM_RSA_PKCS_OAEP, private, oaep(key, spoil), params)
			a.add(err)
		}
		a.one(t, "C_Decrypt", pkcs11.CKR_ENCRYPTED_DATA_INVALID)
		_, unwrapping := l.rsaPair(t, pkcs11.CKA_UNWRAP)
		a = answers{}
		for range 200 {
			text := make([]byte, 256)
			rand.Read(text[1:])
			h, err := l.UnwrapKey(l.session, mechanism(pkcs11.CKM_RSA_PKCS_OAEP, params), unwrapping, text, unwrapped())
			a.add(err)
			if err == nil {
				l.drop(h)
			}
		}
		a.one(t, "C_UnwrapKey", pkcs11.CKR_WRAPPED_KEY_INVALID)
	})
}

// A41: GCM gives nothing out before its tag is right.
func TestUnauthenticatedPlaintext(t *testing.T) {
	attack(t, func(t *testing.T, l *lab) {
		h, err := l.generate(pkcs11.CKA_ENCRYPT, true, pkcs11.CKA_DECRYPT, true)
		key := l.made(t, h, err)
		params := pkcs11.NewGCMParams(make([]byte, 12), nil, 128)
		defer params.Free()
		plain := bytes.Repeat([]byte("secret"), 1000)
		text, err := l.encrypt(pkcs11.CKM_AES_GCM, key, plain, params)
		if err != nil {
			t.Fatal(err)
		}
		text[100] ^= 1
		params2 := pkcs11.NewGCMParams(make([]byte, 12), nil, 128)
		defer params2.Free()
		if err := l.DecryptInit(l.session, mechanism(pkcs11.CKM_AES_GCM, params2), key); err != nil {
			t.Fatal(err)
		}
		for rest := text; len(rest) > 0; {
			n := min(len(rest), 1024)
			part, err := l.DecryptUpdate(l.session, rest[:n])
			if err != nil {
				t.Fatal(err)
			}
			if len(part) > 0 {
				t.Fatalf("%d bytes before the tag was seen", len(part))
			}
			rest = rest[n:]
		}
		last, err := l.DecryptFinal(l.session)
		if len(last) > 0 {
			t.Errorf("%d bytes of a changed text", len(last))
		}
		refused(t, "C_DecryptFinal", err, pkcs11.CKR_ENCRYPTED_DATA_INVALID, ckrAEAD)
	})
}

// ckrAEAD is CKR_AEAD_DECRYPT_FAILED of PKCS#11 3.0.
const ckrAEAD = 0x42

// A42: keys are not conjured out of random bytes.
func TestConjuring(t *testing.T) {
	const tries = 2000
	attack(t, func(t *testing.T, l *lab) {
		h, err := l.generate(pkcs11.CKA_UNWRAP, true)
		u := l.made(t, h, err)
		gcm := pkcs11.NewGCMParams(make([]byte, 12), nil, 128)
		defer gcm.Free()
		for name, m := range map[string][]*pkcs11.Mechanism{
			"KW": mechanism(pkcs11.CKM_AES_KEY_WRAP), "KWP": mechanism(ckmKWP), "GCM": mechanism(pkcs11.CKM_AES_GCM, gcm),
		} {
			a := answers{}
			for range tries {
				blob := make([]byte, 48)
				rand.Read(blob)
				h, err := l.UnwrapKey(l.session, m, u, blob, unwrapped())
				a.add(err)
				if err == nil {
					l.drop(h)
				}
			}
			a.one(t, name, pkcs11.CKR_WRAPPED_KEY_INVALID)
		}
	})
}
