package mech

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// What C_SignRecover makes is a signature like any other, and gives its data back.
func TestRecoverPKCS1(t *testing.T) {
	k := rsaPair().pair(t, cryptoki.CKK_RSA)
	m := cryptoki.New(cryptoki.CKM_RSA_PKCS)
	size := int(k.public.Size() / 8)
	digest := sha256.Sum256([]byte("data"))
	for _, data := range [][]byte{nil, {0}, []byte("\x00\xff\x00"), digest[:], bytes.Repeat([]byte{0xff}, size-11)} {
		sig := once(t, SignRecover, m, k.private, data, nil)
		if !bytes.Equal(sig, once(t, Sign, m, k.private, data, nil)) {
			t.Errorf("%x is signed in another way than by C_Sign", data)
		}
		if got := once(t, VerifyRecover, m, k.public, sig, nil); !bytes.Equal(got, data) {
			t.Errorf("%x came back as %x", data, got)
		}
		raw := once(t, VerifyRecover, cryptoki.New(cryptoki.CKM_RSA_X_509), k.public, sig, nil)
		if len(raw) != size || !bytes.HasPrefix(raw, []byte("\x00\x01\xff")) || !bytes.HasSuffix(raw, data) {
			t.Errorf("without the padding taken off: %x", raw)
		}
	}
	_, err := start(t, SignRecover, m, k.private).Once(make([]byte, size-10), nil)
	wantCode(t, err, cryptoki.CKR_DATA_LEN_RANGE)
	for _, m := range []cryptoki.Mechanism{m, cryptoki.New(cryptoki.CKM_RSA_X_509)} {
		o := start(t, VerifyRecover, m, k.public)
		if want := map[bool]Rule{true: {RuleAtMost, uint64(size - 11)}, false: {RuleFixed, uint64(size)}}[m.Type == cryptoki.CKM_RSA_PKCS]; o.Rule() != want {
			t.Errorf("%v: rule %v", m.Type, o.Rule())
		}
		for _, n := range []int{0, size - 1, size + 1} {
			_, err := o.Once(make([]byte, n), nil)
			wantCode(t, err, cryptoki.CKR_SIGNATURE_LEN_RANGE)
		}
		_, err := o.Once(bytes.Repeat([]byte{0xff}, size), nil) // not below the modulus
		wantCode(t, err, cryptoki.CKR_SIGNATURE_INVALID)
	}
}

// Blocks are signed raw, so that they have the padding that is wanted.
func TestRecoverRefusesPadding(t *testing.T) {
	k := rsaPair().pair(t, cryptoki.CKK_RSA)
	m, raw := cryptoki.New(cryptoki.CKM_RSA_PKCS), cryptoki.New(cryptoki.CKM_RSA_X_509)
	size := int(k.public.Size() / 8)
	for _, c := range []struct {
		name    string
		block   []byte // filled up with FF behind it, and 00 last
		recover bool
	}{
		{"as it should be", []byte("\x00\x01"), true},
		{"encryption's", []byte("\x00\x02"), false},
		{"no type", []byte("\x00\x00"), false},
		{"a first byte", []byte("\x01\x01"), false},
		{"seven bytes of padding", append([]byte("\x00\x01"), "\xff\xff\xff\xff\xff\xff\xff\x00"...), false},
		{"eight bytes of padding", append([]byte("\x00\x01"), "\xff\xff\xff\xff\xff\xff\xff\xff\x00"...), true},
		{"another byte in front", []byte("\x00\x01\xfe"), false},
		{"another byte within", []byte("\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xc3\xbf"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			block := append(c.block, bytes.Repeat([]byte{0xff}, size-1-len(c.block))...)
			_, err := start(t, VerifyRecover, m, k.public).Once(once(t, Sign, raw, k.private, append(block, 0), nil), nil)
			wantCode(t, err, map[bool]cryptoki.RV{true: cryptoki.CKR_OK, false: cryptoki.CKR_SIGNATURE_INVALID}[c.recover])
		})
	}
	block := append([]byte("\x00\x01"), bytes.Repeat([]byte{0xff}, size-2)...)
	_, err := start(t, VerifyRecover, m, k.public).Once(once(t, Sign, raw, k.private, block, nil), nil)
	wantCode(t, err, cryptoki.CKR_SIGNATURE_INVALID) // no end of the padding
}

// FuzzUnpad takes the padding off any block: it is put on again to the same block.
func FuzzUnpad(f *testing.F) {
	f.Add(append([]byte("\x00\x01"), append(bytes.Repeat([]byte{0xff}, 20), "\x00data"...)...))
	f.Add([]byte("\x00\x01\xff\xff\xff\xff\xff\xff\xff\x00"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, block []byte) {
		data, err := unpadPKCS1(block)
		if err != nil {
			wantCode(t, err, cryptoki.CKR_SIGNATURE_INVALID)
			return
		}
		padding := len(block) - len(data) - 3
		again := append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, max(padding, 0))...)
		if again = append(append(again, 0), data...); padding < 8 || !bytes.Equal(again, block) {
			t.Errorf("%x gave %x", block, data)
		}
	})
}
