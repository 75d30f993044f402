package attack

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"testing"

	"github.com/miekg/pkcs11"
)

// aesKey is a template of an AES-256 key to be generated.
func aesKey(list ...any) []*pkcs11.Attribute {
	return with(attributes(pkcs11.CKA_VALUE_LEN, 32), list...)
}

// imported is a template of an AES key whose value the attacker knows.
func imported(value []byte, list ...any) []*pkcs11.Attribute {
	return with(attributes(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY, pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES, pkcs11.CKA_VALUE, value), list...)
}

// unwrapped is a template of a secret key that comes out of a blob.
func unwrapped(list ...any) []*pkcs11.Attribute {
	return with(attributes(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY, pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES), list...)
}

func (l *lab) generate(list ...any) (pkcs11.ObjectHandle, error) {
	return l.GenerateKey(l.session, mechanism(pkcs11.CKM_AES_KEY_GEN), aesKey(list...))
}

// A01, A02, A31: purposes that reveal keys together.
func TestConflictingPurposes(t *testing.T) {
	for _, c := range []struct {
		name string
		list []any
	}{
		{"A01 wrap and decrypt", []any{pkcs11.CKA_WRAP, true, pkcs11.CKA_DECRYPT, true}},
		{"A02 unwrap and encrypt", []any{pkcs11.CKA_UNWRAP, true, pkcs11.CKA_ENCRYPT, true}},
		{"A31 encrypt and derive", []any{pkcs11.CKA_ENCRYPT, true, pkcs11.CKA_DERIVE, true}},
		{"A31 sign and derive", []any{pkcs11.CKA_SIGN, true, pkcs11.CKA_DERIVE, true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			attack(t, func(t *testing.T, l *lab) {
				_, err := l.generate(c.list...)
				refused(t, "C_GenerateKey", err, pkcs11.CKR_TEMPLATE_INCONSISTENT)
				_, err = l.CreateObject(l.session, imported(make([]byte, 32), c.list...))
				refused(t, "C_CreateObject", err, pkcs11.CKR_TEMPLATE_INCONSISTENT)
			})
		})
	}
	// A secret key with every purpose, as programs ask for that do not know better, may be
	// made where policy 10 is on, and neither wraps a sensitive key nor unwraps one.
	t.Run("A01 every purpose", func(t *testing.T) {
		attack(t, func(t *testing.T, l *lab) {
			h, err := l.generate(pkcs11.CKA_ENCRYPT, true, pkcs11.CKA_DECRYPT, true, pkcs11.CKA_WRAP, true, pkcs11.CKA_UNWRAP, true)
			if l.profile == "strict" {
				refused(t, "C_GenerateKey", err, pkcs11.CKR_TEMPLATE_INCONSISTENT)
				return
			}
			l.made(t, h, err)
			blob, err := l.WrapKey(l.session, mechanism(pkcs11.CKM_AES_KEY_WRAP), h, l.targets["T1"].handle)
			refused(t, "C_WrapKey", err, pkcs11.CKR_KEY_NOT_WRAPPABLE)
			l.leaked(t, "C_WrapKey", blob)
			known, err := l.encrypt(pkcs11.CKM_AES_ECB, h, bytes.Repeat([]byte{7}, 32))
			if err != nil {
				t.Fatal(err)
			}
			_, err = l.UnwrapKey(l.session, mechanism(pkcs11.CKM_AES_CBC, zeroIV), h, known, unwrapped(pkcs11.CKA_DECRYPT, true))
			refused(t, "C_UnwrapKey", err, pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED, pkcs11.CKR_ACTION_PROHIBITED, pkcs11.CKR_TEMPLATE_INCONSISTENT, pkcs11.CKR_UNWRAPPING_KEY_HANDLE_INVALID)
		})
	})
}

// A03, A04: a wrapping key whose value the attacker knows.
func TestTrojanWrappingKey(t *testing.T) {
	t.Run("A03 secret", func(t *testing.T) {
		attack(t, func(t *testing.T, l *lab) {
			known := bytes.Repeat([]byte{3}, 32)
			h, err := l.CreateObject(l.session, imported(known, pkcs11.CKA_WRAP, true))
			if err == pkcs11.Error(pkcs11.CKR_TEMPLATE_INCONSISTENT) {
				return
			}
			l.made(t, h, err)
			for _, m := range wrapMechanisms {
				blob, err := l.WrapKey(l.session, m.list, h, l.targets["T1"].handle)
				refused(t, m.name, err, pkcs11.CKR_KEY_NOT_WRAPPABLE, pkcs11.CKR_MECHANISM_INVALID, pkcs11.CKR_WRAPPING_KEY_TYPE_INCONSISTENT)
				l.leaked(t, m.name, opened(known, blob))
			}
		})
	})
	t.Run("A04 public", func(t *testing.T) {
		attack(t, func(t *testing.T, l *lab) {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			h, err := l.CreateObject(l.session, attributes(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY, pkcs11.CKA_KEY_TYPE, pkcs11.CKK_RSA,
				pkcs11.CKA_MODULUS, key.N.Bytes(), pkcs11.CKA_PUBLIC_EXPONENT, big.NewInt(int64(key.E)).Bytes(), pkcs11.CKA_WRAP, true))
			if err == pkcs11.Error(pkcs11.CKR_TEMPLATE_INCONSISTENT) {
				return
			}
			l.made(t, h, err)
			oaep := mechanism(pkcs11.CKM_RSA_PKCS_OAEP, pkcs11.NewOAEPParams(pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256, pkcs11.CKZ_DATA_SPECIFIED, nil))
			for _, target := range []string{"T1", "T3", "T4", "T6"} {
				_, err := l.WrapKey(l.session, oaep, h, l.targets[target].handle)
				refused(t, target, err, pkcs11.CKR_KEY_NOT_WRAPPABLE, pkcs11.CKR_KEY_SIZE_RANGE)
			}
		})
	})
}

// A raw signature is a decryption: a private key that unwraps, or once did, makes none.
func TestRawSignatureOpensBlob(t *testing.T) {
	attack(t, func(t *testing.T, l *lab) {
		public, private, err := l.GenerateKeyPair(l.session, mechanism(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN),
			attributes(pkcs11.CKA_MODULUS_BITS, 2048), attributes(pkcs11.CKA_UNWRAP, true, pkcs11.CKA_SIGN, true))
		if l.profile == "strict" {
			refused(t, "C_GenerateKeyPair", err, pkcs11.CKR_TEMPLATE_INCONSISTENT)
			return
		}
		l.made(t, public, err)
		l.drop(private)
		_, err = l.sign(pkcs11.CKM_RSA_X_509, private, make([]byte, 256))
		refused(t, "raw", err, pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED)
		if err := l.SetAttributeValue(l.session, private, attributes(pkcs11.CKA_UNWRAP, false)); err != nil {
			t.Fatal(err)
		}
		_, err = l.sign(pkcs11.CKM_RSA_X_509, private, make([]byte, 256))
		refused(t, "raw, afterwards", err, pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED)
		if _, err := l.sign(pkcs11.CKM_SHA256_RSA_PKCS, private, []byte("a letter")); err != nil {
			t.Errorf("a padded signature: %v", err)
		}
	})
}

// A04: a pair that is the attacker's own, whose private half decrypts.
func TestOwnPair(t *testing.T) {
	attack(t, func(t *testing.T, l *lab) {
		public, private, err := l.GenerateKeyPair(l.session, mechanism(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN),
			attributes(pkcs11.CKA_MODULUS_BITS, 2048, pkcs11.CKA_WRAP, true), attributes(pkcs11.CKA_DECRYPT, true))
		l.made(t, public, err)
		l.made(t, private, err)
		oaep := mechanism(pkcs11.CKM_RSA_PKCS_OAEP, pkcs11.NewOAEPParams(pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256, pkcs11.CKZ_DATA_SPECIFIED, nil))
		for _, target := range []string{"T1", "T3", "T4", "T6"} {
			blob, err := l.WrapKey(l.session, oaep, public, l.targets[target].handle)
			refused(t, target, err, pkcs11.CKR_KEY_NOT_WRAPPABLE, pkcs11.CKR_KEY_SIZE_RANGE)
			if err != nil || l.DecryptInit(l.session, oaep, private) != nil {
				continue
			}
			value, _ := l.Decrypt(l.session, blob)
			l.leaked(t, target, value)
		}
	})
}

// opened is what an attacker makes of a blob who knows the key over it.
func opened(key, blob []byte) []byte {
	block, err := aes.NewCipher(key)
	if err != nil || len(blob) == 0 {
		return blob
	}
	var all []byte
	if len(blob)%aes.BlockSize == 0 {
		out := make([]byte, len(blob))
		cipher.NewCBCDecrypter(block, zeroIV).CryptBlocks(out, blob)
		all = append(all, out...)
		for i := 0; i < len(blob); i += aes.BlockSize {
			block.Decrypt(out[i:], blob[i:])
		}
		all = append(all, out...)
	}
	return append(all, keyUnwrap(block, blob)...)
}

// keyUnwrap undoes RFC 3394 without a look at its check.
func keyUnwrap(block cipher.Block, blob []byte) []byte {
	n := len(blob)/8 - 1
	if n < 2 || len(blob)%8 != 0 {
		return nil
	}
	a, r := bytes.Clone(blob[:8]), bytes.Clone(blob[8:])
	buffer := make([]byte, aes.BlockSize)
	for j := 5; j >= 0; j-- {
		for i := n; i >= 1; i-- {
			copy(buffer, a)
			for k, step := 7, uint64(n*j+i); k >= 0 && step > 0; k, step = k-1, step>>8 {
				buffer[k] ^= byte(step)
			}
			copy(buffer[8:], r[8*(i-1):8*i])
			block.Decrypt(buffer, buffer)
			copy(a, buffer[:8])
			copy(r[8*(i-1):], buffer[8:])
		}
	}
	return r
}

// A05 to A08: a blob comes back as another key than went out.
func TestUnwrapAsAnother(t *testing.T) {
	attack(t, func(t *testing.T, l *lab) {
		h, err := l.generate(pkcs11.CKA_WRAP, true, pkcs11.CKA_UNWRAP, true)
		w := l.made(t, h, err)
		kw := mechanism(pkcs11.CKM_AES_KEY_WRAP)
		blob, err := l.WrapKey(l.session, kw, w, l.targets["T1"].handle)
		if err != nil {
			t.Fatalf("the legal use is refused: %v", err)
		}
		l.leaked(t, "C_WrapKey", blob)
		for _, c := range []struct {
			name     string
			template []*pkcs11.Attribute
			codes    []uint
		}{
			{"A08 as a private key", attributes(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY, pkcs11.CKA_KEY_TYPE, pkcs11.CKK_RSA),
				[]uint{pkcs11.CKR_WRAPPED_KEY_INVALID, pkcs11.CKR_KEY_TYPE_INCONSISTENT, pkcs11.CKR_TEMPLATE_INCONSISTENT}},
			{"A08 as data", attributes(pkcs11.CKA_CLASS, pkcs11.CKO_DATA), []uint{pkcs11.CKR_TEMPLATE_INCONSISTENT, pkcs11.CKR_TEMPLATE_INCOMPLETE, pkcs11.CKR_ATTRIBUTE_VALUE_INVALID}},
			{"A05 wrap and decrypt", unwrapped(pkcs11.CKA_WRAP, true, pkcs11.CKA_DECRYPT, true), []uint{pkcs11.CKR_TEMPLATE_INCONSISTENT}},
		} {
			h, err := l.UnwrapKey(l.session, kw, w, blob, c.template)
			refused(t, c.name, err, c.codes...)
			if err == nil {
				shown, _ := l.read(h, pkcs11.CKA_VALUE)
				l.leaked(t, c.name, shown)
				l.drop(h)
			}
		}
		// A06: what comes back is sensitive, whatever the template says.
		again, err := l.UnwrapKey(l.session, kw, w, blob, unwrapped(pkcs11.CKA_SENSITIVE, false, pkcs11.CKA_EXTRACTABLE, true))
		_, err = l.read(l.made(t, again, err), pkcs11.CKA_VALUE)
		refused(t, "A06", err, pkcs11.CKR_ATTRIBUTE_SENSITIVE)
		// A05: the wrapping key under itself, back as a decrypting key.
		if self, err := l.WrapKey(l.session, kw, w, w); err == nil {
			t.Errorf("A05: a key that is not extractable wrapped itself: %x", self)
		}
	})
}

// A09: a wrapping key that is weaker than what it wraps.
func TestWeakWrappingKey(t *testing.T) {
	attack(t, func(t *testing.T, l *lab) {
		h, err := l.GenerateKey(l.session, mechanism(pkcs11.CKM_AES_KEY_GEN), attributes(pkcs11.CKA_VALUE_LEN, 16, pkcs11.CKA_WRAP, true))
		w := l.made(t, h, err)
		_, err = l.WrapKey(l.session, mechanism(pkcs11.CKM_AES_KEY_WRAP), w, l.targets["T1"].handle)
		refused(t, "AES-128 over AES-256", err, pkcs11.CKR_WRAPPING_KEY_SIZE_RANGE, pkcs11.CKR_KEY_NOT_WRAPPABLE)
	})
}

// A10, A11: modes that take a wrapped key apart.
func TestMalleableWrapping(t *testing.T) {
	attack(t, func(t *testing.T, l *lab) {
		h, err := l.generate(pkcs11.CKA_WRAP, true)
		w := l.made(t, h, err)
		_, err = l.WrapKey(l.session, mechanism(pkcs11.CKM_AES_ECB), w, l.targets["T1"].handle)
		refused(t, "A10 ECB", err, pkcs11.CKR_MECHANISM_INVALID)
		_, err = l.WrapKey(l.session, mechanism(pkcs11.CKM_AES_CTR, make([]byte, 24)), w, l.targets["T1"].handle)
		refused(t, "CTR", err, pkcs11.CKR_MECHANISM_INVALID)
	})
}

// A12, A13: what is sensitive, or not extractable, does not come out.
func TestSensitiveValues(t *testing.T) {
	attack(t, func(t *testing.T, l *lab) {
		secret := map[string][]uint{
			"aes": {pkcs11.CKA_VALUE}, "generic": {pkcs11.CKA_VALUE}, "ec": {pkcs11.CKA_VALUE},
			"rsa": {pkcs11.CKA_PRIVATE_EXPONENT, pkcs11.CKA_PRIME_1, pkcs11.CKA_PRIME_2, pkcs11.CKA_EXPONENT_1, pkcs11.CKA_EXPONENT_2, pkcs11.CKA_COEFFICIENT},
		}
		for name, target := range l.targets {
			for _, typ := range secret[target.kind] {
				shown, err := l.read(target.handle, typ)
				refused(t, name, err, pkcs11.CKR_ATTRIBUTE_SENSITIVE)
				if len(shown) > 0 {
					t.Errorf("%s: attribute %#x reads %x", name, typ, shown)
				}
			}
		}
		h, err := l.generate(pkcs11.CKA_WRAP, true)
		w := l.made(t, h, err)
		for _, name := range []string{"T2", "T5"} {
			for _, m := range wrapMechanisms {
				_, err := l.WrapKey(l.session, m.list, w, l.targets[name].handle)
				refused(t, name+" "+m.name, err, pkcs11.CKR_KEY_UNEXTRACTABLE, pkcs11.CKR_MECHANISM_INVALID, pkcs11.CKR_WRAPPING_KEY_TYPE_INCONSISTENT)
			}
		}
	})
}

// A14 to A16, A21, A23, A24: attributes that change only for the safer.
func TestWidening(t *testing.T) {
	attack(t, func(t *testing.T, l *lab) {
		readOnly := []uint{pkcs11.CKR_ATTRIBUTE_READ_ONLY, pkcs11.CKR_TEMPLATE_INCONSISTENT, pkcs11.CKR_ACTION_PROHIBITED}
		for name, target := range l.targets {
			for _, change := range [][]any{{pkcs11.CKA_SENSITIVE, false}, {pkcs11.CKA_EXTRACTABLE, true}} {
				if name != "T2" && name != "T5" && change[0] == pkcs11.CKA_EXTRACTABLE {
					continue
				}
				refused(t, name, l.SetAttributeValue(l.session, target.handle, attributes(change...)), readOnly...)
				h, err := l.CopyObject(l.session, target.handle, attributes(change...))
				refused(t, "copy of "+name, err, readOnly...)
				if err == nil {
					l.drop(h)
				}
			}
			h, err := l.CopyObject(l.session, target.handle, attributes(pkcs11.CKA_PRIVATE, false))
			refused(t, "public copy of "+name, err, readOnly...)
			if err == nil {
				l.drop(h)
			}
		}
		h, err := l.CopyObject(l.session, l.targets["T3"].handle, attributes(pkcs11.CKA_WRAP_WITH_TRUSTED, false))
		refused(t, "A16 copy", err, readOnly...)
		if err == nil {
			l.drop(h)
		}
		refused(t, "A16 set", l.SetAttributeValue(l.session, l.targets["T3"].handle, attributes(pkcs11.CKA_WRAP_WITH_TRUSTED, false)), readOnly...)

		h, err = l.generate(pkcs11.CKA_DECRYPT, true)
		d := l.made(t, h, err)
		refused(t, "A23", l.SetAttributeValue(l.session, d, attributes(pkcs11.CKA_WRAP, true)), readOnly...)
		h, err = l.generate(pkcs11.CKA_WRAP, true)
		w := l.made(t, h, err)
		if err := l.SetAttributeValue(l.session, w, attributes(pkcs11.CKA_WRAP, false)); err == nil {
			refused(t, "A24", l.SetAttributeValue(l.session, w, attributes(pkcs11.CKA_DECRYPT, true)), readOnly...)
		}
		h, err = l.CopyObject(l.session, w, attributes(pkcs11.CKA_DECRYPT, true))
		refused(t, "A24 by a copy", err, readOnly...)
		if err == nil {
			l.drop(h)
		}

		for _, c := range []struct {
			typ int
			use func(h pkcs11.ObjectHandle) error
		}{
			{pkcs11.CKA_COPYABLE, func(h pkcs11.ObjectHandle) error {
				copied, err := l.CopyObject(l.session, h, nil)
				if err == nil {
					l.drop(copied)
				}
				return err
			}},
			{pkcs11.CKA_MODIFIABLE, func(h pkcs11.ObjectHandle) error {
				return l.SetAttributeValue(l.session, h, attributes(pkcs11.CKA_LABEL, "x"))
			}},
		} {
			h, err := l.generate(c.typ, false)
			k := l.made(t, h, err)
			refused(t, "A21", c.use(k), pkcs11.CKR_ACTION_PROHIBITED)
			refused(t, "A21 flip", l.SetAttributeValue(l.session, k, attributes(c.typ, true)), readOnly...)
		}
	})
}

// A17, A18: trust is the SO's to give.
func TestTrust(t *testing.T) {
	attack(t, func(t *testing.T, l *lab) {
		codes := []uint{pkcs11.CKR_ATTRIBUTE_READ_ONLY, pkcs11.CKR_TEMPLATE_INCONSISTENT, pkcs11.CKR_ACTION_PROHIBITED}
		h, err := l.generate(pkcs11.CKA_WRAP, true, pkcs11.CKA_TRUSTED, true)
		refused(t, "generate", err, codes...)
		if err == nil {
			l.drop(h)
		}
		h, err = l.CreateObject(l.session, imported(make([]byte, 32), pkcs11.CKA_WRAP, true, pkcs11.CKA_TRUSTED, true))
		refused(t, "create", err, codes...)
		if err == nil {
			l.drop(h)
		}
		h, err = l.generate(pkcs11.CKA_WRAP, true)
		w := l.made(t, h, err)
		refused(t, "set", l.SetAttributeValue(l.session, w, attributes(pkcs11.CKA_TRUSTED, true)), codes...)
		for _, m := range wrapMechanisms {
			_, err := l.WrapKey(l.session, m.list, w, l.targets["T3"].handle)
			refused(t, "A18 "+m.name, err, pkcs11.CKR_KEY_NOT_WRAPPABLE, pkcs11.CKR_MECHANISM_INVALID, pkcs11.CKR_WRAPPING_KEY_TYPE_INCONSISTENT)
		}
	})
}

// A19, A20: history is computed.
func TestHistory(t *testing.T) {
	history := []struct {
		typ   uint
		value any
	}{
		{pkcs11.CKA_LOCAL, true}, {pkcs11.CKA_ALWAYS_SENSITIVE, true}, {pkcs11.CKA_NEVER_EXTRACTABLE, true},
		{pkcs11.CKA_KEY_GEN_MECHANISM, pkcs11.CKM_AES_KEY_GEN}, {ckaUniqueID, "mine"},
	}
	attack(t, func(t *testing.T, l *lab) {
		codes := []uint{pkcs11.CKR_ATTRIBUTE_READ_ONLY, pkcs11.CKR_TEMPLATE_INCONSISTENT}
		for _, a := range history {
			_, err := l.generate(int(a.typ), a.value)
			refused(t, "generate", err, codes...)
			_, err = l.CreateObject(l.session, imported(make([]byte, 32), int(a.typ), a.value))
			refused(t, "create", err, codes...)
			_, err = l.CopyObject(l.session, l.targets["T1"].handle, attributes(int(a.typ), a.value))
			refused(t, "copy", err, codes...)
		}
		h, err := l.CreateObject(l.session, imported(bytes.Repeat([]byte{9}, 32)))
		k := l.made(t, h, err)
		h, err = l.CopyObject(l.session, k, nil)
		for _, key := range []pkcs11.ObjectHandle{k, l.made(t, h, err)} {
			for _, a := range history[:3] {
				if v, err := l.read(key, a.typ); err != nil || !bytes.Equal(v, []byte{0}) {
					t.Errorf("A20: attribute %#x of an imported key reads %x, %v", a.typ, v, err)
				}
			}
		}
	})
}

// A25, A28, A29: a key does what it was made for.
func TestUseOutsidePurpose(t *testing.T) {
	attack(t, func(t *testing.T, l *lab) {
		allowed := make([]byte, 8)
		allowed[0], allowed[1] = 0x87, 0x10 // CKM_AES_GCM
		h, err := l.generate(pkcs11.CKA_ENCRYPT, true, pkcs11.CKA_ALLOWED_MECHANISMS, allowed)
		k := l.made(t, h, err)
		_, err = l.encrypt(pkcs11.CKM_AES_ECB, k, zeroIV)
		refused(t, "A25 ECB", err, pkcs11.CKR_MECHANISM_INVALID)
		_, err = l.encrypt(pkcs11.CKM_AES_CBC, k, zeroIV, zeroIV)
		refused(t, "A25 CBC", err, pkcs11.CKR_MECHANISM_INVALID)

		h, err = l.generate()
		k = l.made(t, h, err)
		_, err = l.encrypt(pkcs11.CKM_AES_ECB, k, zeroIV)
		refused(t, "A28 encrypt", err, pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED)
		_, err = l.decrypt(pkcs11.CKM_AES_ECB, k, zeroIV)
		refused(t, "A28 decrypt", err, pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED)
		_, err = l.sign(pkcs11.CKM_AES_CMAC, k, zeroIV)
		refused(t, "A28 sign", err, pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED)
		_, err = l.WrapKey(l.session, mechanism(pkcs11.CKM_AES_KEY_WRAP), k, l.targets["T1"].handle)
		refused(t, "A28 wrap", err, pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED)
		_, err = l.UnwrapKey(l.session, mechanism(pkcs11.CKM_AES_KEY_WRAP), k, make([]byte, 40), unwrapped())
		refused(t, "A28 unwrap", err, pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED)

		_, err = l.sign(pkcs11.CKM_ECDSA, l.targets["T4"].handle, make([]byte, 32))
		refused(t, "A29 RSA key with ECDSA", err, pkcs11.CKR_KEY_TYPE_INCONSISTENT)
		_, err = l.sign(pkcs11.CKM_SHA256_HMAC, l.targets["T1"].handle, make([]byte, 32))
		refused(t, "A29 AES key with HMAC", err, pkcs11.CKR_KEY_TYPE_INCONSISTENT)
	})
}

// A30: RSA public keys that reveal what they encrypt.
func TestWeakRSAKeys(t *testing.T) {
	modulus := bytes.Repeat([]byte{0xff}, 256)
	even := append(bytes.Repeat([]byte{0xff}, 255), 0xfe)
	attack(t, func(t *testing.T, l *lab) {
		for name, c := range map[string][2][]byte{
			"exponent 1": {modulus, {1}}, "even exponent": {modulus, {1, 0, 0}}, "exponent 0": {modulus, {0}},
			"even modulus": {even, {1, 0, 1}}, "tiny modulus": {{0xff, 0xff}, {1, 0, 1}}, "modulus 0": {{0}, {1, 0, 1}},
			"exponent above the modulus": {modulus, append([]byte{1}, modulus...)},
		} {
			h, err := l.CreateObject(l.session, attributes(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY, pkcs11.CKA_KEY_TYPE, pkcs11.CKK_RSA,
				pkcs11.CKA_MODULUS, c[0], pkcs11.CKA_PUBLIC_EXPONENT, c[1], pkcs11.CKA_WRAP, true))
			refused(t, name, err, pkcs11.CKR_ATTRIBUTE_VALUE_INVALID, pkcs11.CKR_TEMPLATE_INCONSISTENT)
			if err == nil {
				l.drop(h)
			}
		}
	})
}

// A33 to A36: derivations that are not there.
func TestAbsentDerivations(t *testing.T) {
	attack(t, func(t *testing.T, l *lab) {
		h, err := l.GenerateKey(l.session, mechanism(pkcs11.CKM_GENERIC_SECRET_KEY_GEN), attributes(pkcs11.CKA_VALUE_LEN, 32, pkcs11.CKA_DERIVE, true))
		base := l.made(t, h, err)
		for _, m := range []uint{
			pkcs11.CKM_EXTRACT_KEY_FROM_KEY, pkcs11.CKM_XOR_BASE_AND_DATA, pkcs11.CKM_CONCATENATE_BASE_AND_DATA, pkcs11.CKM_CONCATENATE_DATA_AND_BASE,
			pkcs11.CKM_CONCATENATE_BASE_AND_KEY, pkcs11.CKM_MD5_KEY_DERIVATION, pkcs11.CKM_SHA1_KEY_DERIVATION, pkcs11.CKM_SSL3_MASTER_KEY_DERIVE,
			pkcs11.CKM_PBE_SHA1_DES3_EDE_CBC, pkcs11.CKM_DH_PKCS_DERIVE, pkcs11.CKM_AES_ECB_ENCRYPT_DATA, pkcs11.CKM_AES_CBC_ENCRYPT_DATA,
		} {
			h, err := l.DeriveKey(l.session, mechanism(m, make([]byte, 8)), base, attributes(pkcs11.CKA_VALUE_LEN, 16))
			refused(t, pkcs11.Error(m).Error(), err, pkcs11.CKR_MECHANISM_INVALID, pkcs11.CKR_MECHANISM_PARAM_INVALID)
			if err == nil {
				l.drop(h)
			}
		}
	})
}

// A44: a read-only session.
func TestReadOnlySession(t *testing.T) {
	attack(t, func(t *testing.T, l *lab) {
		s, err := l.OpenSession(l.slot, pkcs11.CKF_SERIAL_SESSION)
		if err != nil {
			t.Fatal(err)
		}
		defer l.CloseSession(s)
		data := attributes(pkcs11.CKA_CLASS, pkcs11.CKO_DATA, pkcs11.CKA_TOKEN, true)
		_, err = l.CreateObject(s, data)
		refused(t, "create", err, pkcs11.CKR_SESSION_READ_ONLY)
		_, err = l.CopyObject(s, l.targets["T1"].handle, attributes(pkcs11.CKA_TOKEN, true))
		refused(t, "copy", err, pkcs11.CKR_SESSION_READ_ONLY)
		stored, err := l.CreateObject(l.session, data)
		l.made(t, stored, err)
		refused(t, "destroy", l.DestroyObject(s, stored), pkcs11.CKR_SESSION_READ_ONLY)
		refused(t, "set", l.SetAttributeValue(s, stored, attributes(pkcs11.CKA_LABEL, "x")), pkcs11.CKR_SESSION_READ_ONLY)
		refused(t, "PIN", l.SetPIN(s, "1234", "12345678"), pkcs11.CKR_SESSION_READ_ONLY)
	})
}
