package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/seal"
)

var iv = make([]byte, aes.BlockSize)

// cases are the refusals whose reason must stay hidden.
func cases() ([]timing, error) {
	value := make([]byte, 32)
	rand.Read(value)
	aesKey, err := secretKey(cryptoki.CKK_AES, value)
	if err != nil {
		return nil, err
	}
	macKey, err := secretKey(cryptoki.CKK_GENERIC_SECRET, value)
	if err != nil {
		return nil, err
	}
	all := []timing{padding(value, aesKey), tag(macKey), pin()}
	for _, t := range []cryptoki.MechanismType{cryptoki.CKM_AES_KEY_WRAP, cryptoki.CKM_AES_KEY_WRAP_KWP} {
		wrap, err := keyWrap(t, aesKey)
		if err != nil {
			return nil, err
		}
		all = append(all, wrap)
	}
	for _, more := range []func() ([]timing, error){koblitz, rsaCases, pins} {
		cases, err := more()
		if err != nil {
			return nil, err
		}
		all = append(all, cases...)
	}
	return all, nil
}

func secretKey(t cryptoki.KeyType, value []byte) (mech.Key, error) {
	return mech.ParseKey(cryptoki.CKO_SECRET_KEY, t, func(a cryptoki.AttributeType) []byte {
		if a == cryptoki.CKA_VALUE {
			return value
		}
		return nil
	})
}

// once runs a whole operation, whatever becomes of it.
func once(f mech.Function, m cryptoki.Mechanism, key mech.Key, data, sig []byte) func() {
	entry, _ := mech.Lookup(m.Type)
	return func() {
		op, err := entry.Start(f, &m, key)
		if err != nil {
			panic(err)
		}
		_, _ = op.Once(data, sig)
		op.Close()
	}
}

// padding is CBC-PAD decryption of texts whose padding is wrong in different ways.
func padding(value []byte, key mech.Key) timing {
	block, err := aes.NewCipher(value)
	if err != nil {
		panic(err)
	}
	text := func(last ...byte) []byte {
		plain := bytes.Repeat([]byte{7}, 64)
		copy(plain[64-len(last):], last)
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(plain, plain)
		return plain
	}
	m := cryptoki.NewBytes(cryptoki.CKM_AES_CBC_PAD, iv)
	decrypt := func(last ...byte) func() { return once(mech.Decrypt, m, key, text(last...), nil) }
	return timing{"CBC-PAD", 0, []class{
		{"padding of 0", decrypt(0)},
		{"padding of 17", decrypt(17)},
		{"its first byte wrong", decrypt(append([]byte{1}, bytes.Repeat([]byte{16}, 15)...)...)},
		{"its last but one wrong", decrypt(16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 1, 16)},
	}}
}

// tag is an HMAC that is wrong at its beginning, its end, and everywhere.
func tag(key mech.Key) timing {
	m, data := cryptoki.New(cryptoki.CKM_SHA256_HMAC), make([]byte, 64)
	entry, _ := mech.Lookup(m.Type)
	op, err := entry.Start(mech.Sign, &m, key)
	if err != nil {
		panic(err)
	}
	defer op.Close()
	right, err := op.Once(data, nil)
	if err != nil {
		panic(err)
	}
	verify := func(change func(b []byte)) func() {
		b := bytes.Clone(right)
		change(b)
		return once(mech.Verify, m, key, data, b)
	}
	return timing{"HMAC", 0, []class{
		{"first byte wrong", verify(func(b []byte) { b[0] ^= 1 })},
		{"last byte wrong", verify(func(b []byte) { b[len(b)-1] ^= 1 })},
		{"all wrong", verify(func(b []byte) { rand.Read(b) })},
	}}
}

// keyWrap is a wrapped key that was changed at different places.
func keyWrap(t cryptoki.MechanismType, key mech.Key) (timing, error) {
	m := cryptoki.New(t)
	entry, _ := mech.Lookup(t)
	wrapped, err := entry.Wrap(&m, key, make([]byte, 32))
	if err != nil {
		return timing{}, err
	}
	unwrap := func(at int) func() {
		b := bytes.Clone(wrapped)
		b[at] ^= 1
		return func() { _, _ = entry.Unwrap(&m, key, b) }
	}
	noise := make([]byte, len(wrapped))
	rand.Read(noise)
	return timing{t.String(), 0, []class{
		{"first byte changed", unwrap(0)},
		{"last byte changed", unwrap(len(wrapped) - 1)},
		{"random", func() { _, _ = entry.Unwrap(&m, key, noise) }},
	}}, nil
}

// pin is a wrong PIN beside one that is remembered; what is not remembered is hashed: pins.
func pin() timing {
	v, c := seal.NewVerifier(), seal.Credential{Partition: 1, Role: cryptoki.CKU_USER, Epoch: 1}
	right := secret.Copy([]byte("correct horse"))
	v.Remember(c, right, seal.NewPartKEK())
	check := func(text string) func() {
		p := secret.Copy([]byte(text))
		return func() { v.Check(c, p) }
	}
	return timing{"PIN", 0, []class{
		{"first character wrong", check("xorrect horse")},
		{"last character wrong", check("correct horsx")},
		{"all wrong", check("xxxxxxxxxxxxx")},
	}}
}
