package mech

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"math/big"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
	"tidelock.dev/tidelock/cryptoki"
)

// message is data of the length that a use wants.
func (u use) message() []byte {
	n := u.length
	if n == 0 {
		n = 77
	}
	n = u.fit(n)
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func TestSignVerify(t *testing.T) {
	for _, u := range signatureUses(t) {
		t.Run(u.name, func(t *testing.T) {
			data := u.message()
			signing := start(t, Sign, u.mechanism, u.keys.private)
			sig, err := signing.Once(data, nil)
			if err != nil {
				t.Fatal(err)
			}
			if want := (Rule{RuleFixed, uint64(len(sig))}); signing.Rule() != want {
				t.Errorf("rule %v of a signature of %d bytes", signing.Rule(), len(sig))
			}
			again, err := signing.Once(data, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range []Key{u.keys.public, u.keys.private} {
				op := start(t, Verify, u.mechanism, key)
				if op.Rule() != (Rule{RuleFixed, 0}) {
					t.Errorf("rule %v of a verification", op.Rule())
				}
				for _, s := range [][]byte{sig, again, sig} {
					if out, err := op.Once(data, s); err != nil || out != nil {
						t.Errorf("verify: %x, %v", out, err)
					}
				}
			}
			op := start(t, Verify, u.mechanism, u.keys.public)
			for range 8 {
				_, err = op.Once(data, flipped(sig, mathrand.IntN(8*len(sig))))
				wantCode(t, err, cryptoki.CKR_SIGNATURE_INVALID)
				_, err = op.Once(flipped(data, mathrand.IntN(8*len(data))), sig)
				wantCode(t, err, cryptoki.CKR_SIGNATURE_INVALID)
			}
			_, err = op.Once(data, make([]byte, len(sig)))
			wantCode(t, err, cryptoki.CKR_SIGNATURE_INVALID)
			_, err = op.Once(data, bytes.Repeat([]byte{0xff}, len(sig)))
			wantCode(t, err, cryptoki.CKR_SIGNATURE_INVALID)
			for _, s := range [][]byte{nil, sig[:len(sig)-1], append(bytes.Clone(sig), 0)} {
				_, err = op.Once(data, s)
				wantCode(t, err, cryptoki.CKR_SIGNATURE_LEN_RANGE)
			}
		})
	}
}

func TestSignInParts(t *testing.T) {
	uses := slices.DeleteFunc(signatureUses(t), func(u use) bool {
		entry, _ := Lookup(u.mechanism.Type)
		return !entry.MultiPart
	})
	rapid.Check(t, func(r *rapid.T) {
		u := uses[rapid.IntRange(0, len(uses)-1).Draw(r, "use")]
		data := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(r, "data")
		op, err := tryStart(Sign, u.mechanism, u.keys.private)
		if err != nil {
			r.Fatal(err)
		}
		defer op.Close()
		sig, err := inParts(r, op, data, nil)
		if err != nil {
			r.Fatal(err)
		}
		once(t, Verify, u.mechanism, u.keys.public, data, sig)
		for _, s := range []struct {
			sig  []byte
			code cryptoki.RV
		}{
			{sig, cryptoki.CKR_OK},
			{flipped(sig, rapid.IntRange(0, 8*len(sig)-1).Draw(r, "bit")), cryptoki.CKR_SIGNATURE_INVALID},
			{sig[1:], cryptoki.CKR_SIGNATURE_LEN_RANGE},
		} {
			op, err := tryStart(Verify, u.mechanism, u.keys.public)
			if err != nil {
				r.Fatal(err)
			}
			defer op.Close()
			if out, err := inParts(r, op, data, s.sig); cryptoki.Code(err) != s.code || len(out) > 0 {
				r.Fatalf("%s: verify in parts: %x, %v; want %v", u.name, out, err, s.code)
			}
		}
	})
}

func TestOnePartOnly(t *testing.T) {
	uses := append(signatureUses(t), cipherUses(t)...)
	for _, u := range uses {
		entry, _ := Lookup(u.mechanism.Type)
		if entry.MultiPart {
			continue
		}
		f := Sign
		if entry.Flags&cryptoki.CKF_DECRYPT != 0 {
			f = Decrypt
		}
		op := start(t, f, u.mechanism, u.keys.private)
		_, err := op.Update([]byte("part"))
		wantCode(t, err, cryptoki.CKR_FUNCTION_NOT_SUPPORTED)
		_, err = op.Final(nil)
		wantCode(t, err, cryptoki.CKR_FUNCTION_NOT_SUPPORTED)
	}
}

// TestRawRSALengths checks what CKM_RSA_PKCS and CKM_RSA_PKCS_PSS take as data.
func TestRawRSALengths(t *testing.T) {
	k := rsaPair().pair(t, cryptoki.CKK_RSA)
	raw := cryptoki.New(cryptoki.CKM_RSA_PKCS)
	for _, n := range []int{0, 1, 256 - 11} {
		sig := once(t, Sign, raw, k.private, make([]byte, n), nil)
		once(t, Verify, raw, k.public, make([]byte, n), sig)
	}
	pss := cryptoki.NewPSS(cryptoki.CKM_RSA_PKCS_PSS, pssParameters(cryptoki.CKM_SHA256, cryptoki.CKG_MGF1_SHA256, 32))
	for _, c := range []struct {
		m cryptoki.Mechanism
		n int
	}{{raw, 256 - 10}, {raw, 1000}, {pss, 0}, {pss, 31}, {pss, 33}} {
		_, err := start(t, Sign, c.m, k.private).Once(make([]byte, c.n), nil)
		wantCode(t, err, cryptoki.CKR_DATA_LEN_RANGE)
		_, err = start(t, Verify, c.m, k.public).Once(make([]byte, c.n), make([]byte, 256))
		wantCode(t, err, cryptoki.CKR_DATA_LEN_RANGE)
	}
}

// TestECDSATruncates checks that of long data the leftmost bits count, and that
// data of any length is taken.
func TestECDSATruncates(t *testing.T) {
	m := cryptoki.New(cryptoki.CKM_ECDSA)
	for _, c := range []struct {
		k    keys
		size int
	}{{p256Pair().pair(t, cryptoki.CKK_EC), 32}, {p384Pair().pair(t, cryptoki.CKK_EC), 48}, {k256Pair().pair(t, cryptoki.CKK_EC), 32}} {
		for _, n := range []int{0, 1, 20, c.size, c.size + 1, 64, 1000} {
			data := make([]byte, n)
			rand.Read(data)
			sig := once(t, Sign, m, c.k.private, data, nil)
			once(t, Verify, m, c.k.public, data[:min(n, c.size)], sig)
		}
	}
}

// TestWholeMessageEqualsDigest ties the mechanisms that hash to those that do not,
// and those to package rsa.
func TestWholeMessageEqualsDigest(t *testing.T) {
	data := []byte("Time and tide wait for no man.")
	digest := sha256.Sum256(data)
	info := append(unhex(t, "30 31 30 0d 06 09 60 86 48 01 65 03 04 02 01 05 00 04 20"), digest[:]...)

	r := rsaPair().pair(t, cryptoki.CKK_RSA)
	whole := once(t, Sign, cryptoki.New(cryptoki.CKM_SHA256_RSA_PKCS), r.private, data, nil)
	raw := once(t, Sign, cryptoki.New(cryptoki.CKM_RSA_PKCS), r.private, info, nil)
	own, err := rsa.SignPKCS1v15(nil, rsaStandard(t), crypto.SHA256, digest[:])
	if err != nil || !bytes.Equal(whole, raw) || !bytes.Equal(whole, own) {
		t.Errorf("PKCS #1 v1.5: whole %x, raw %x, package rsa %x, %v", whole, raw, own, err)
	}

	p := pssParameters(cryptoki.CKM_SHA256, cryptoki.CKG_MGF1_SHA256, 20)
	sig := once(t, Sign, cryptoki.NewPSS(cryptoki.CKM_SHA256_RSA_PKCS_PSS, p), r.private, data, nil)
	once(t, Verify, cryptoki.NewPSS(cryptoki.CKM_RSA_PKCS_PSS, p), r.public, digest[:], sig)
	if err := rsa.VerifyPSS(r.public.(*rsaKey).public, crypto.SHA256, digest[:], sig, &rsa.PSSOptions{SaltLength: 20}); err != nil {
		t.Errorf("PSS: %v", err)
	}
	p.SaltLength = 32
	_, err = start(t, Verify, cryptoki.NewPSS(cryptoki.CKM_RSA_PKCS_PSS, p), r.public).Once(digest[:], sig)
	wantCode(t, err, cryptoki.CKR_SIGNATURE_INVALID)

	e := p256Pair().pair(t, cryptoki.CKK_EC)
	for range 50 { // r and s with leading zeros among them
		sig := once(t, Sign, cryptoki.New(cryptoki.CKM_ECDSA_SHA256), e.private, data, nil)
		once(t, Verify, cryptoki.New(cryptoki.CKM_ECDSA), e.public, digest[:], sig)
		if !ecdsa.VerifyASN1(e.public.(*ecKey).public.(nistPublic).PublicKey, digest[:], joinSignature(nil, sig)) {
			t.Error("package ecdsa refuses a signature")
		}
	}
}

func TestEdDSAForms(t *testing.T) {
	// The three forms sign the same data differently.
	k := edwardsPair().pair(t, cryptoki.CKK_EC_EDWARDS)
	forms := []cryptoki.Mechanism{
		cryptoki.New(cryptoki.CKM_EDDSA),
		cryptoki.NewEdDSA(cryptoki.CKM_EDDSA, cryptoki.EdDSAParameters{Context: []byte("a")}),
		cryptoki.NewEdDSA(cryptoki.CKM_EDDSA, cryptoki.EdDSAParameters{Context: []byte("b")}),
		cryptoki.NewEdDSA(cryptoki.CKM_EDDSA, cryptoki.EdDSAParameters{Prehash: true}),
		cryptoki.NewEdDSA(cryptoki.CKM_EDDSA, cryptoki.EdDSAParameters{Prehash: true, Context: []byte("a")}),
	}
	data := make([]byte, 64)
	for i, signing := range forms {
		sig := once(t, Sign, signing, k.private, data, nil)
		for j, verifying := range forms {
			_, err := start(t, Verify, verifying, k.public).Once(data, sig)
			if i == j {
				wantCode(t, err, cryptoki.CKR_OK)
			} else {
				wantCode(t, err, cryptoki.CKR_SIGNATURE_INVALID)
			}
		}
	}
}

// TestSignatureEncoding checks the change between the forms of an ECDSA signature.
func TestSignatureEncoding(t *testing.T) {
	if n := len(joinSignature(nil, bytes.Repeat([]byte{0xff}, 132))); n != maxDERSignature {
		t.Errorf("the longest signature has %d bytes, not %d", n, maxDERSignature)
	}
	rapid.Check(t, func(r *rapid.T) {
		size := rapid.SampledFrom([]int{64, 96, 132}).Draw(r, "size")
		sig := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x7f, 0x80, 0xff}), size, size).Draw(r, "sig")
		clear(sig[:rapid.IntRange(0, size/2).Draw(r, "zeros of r")])
		clear(sig[size/2 : size/2+rapid.IntRange(0, size/2).Draw(r, "zeros of s")])
		var buf [maxDERSignature]byte
		der := joinSignature(buf[:0], sig)
		if &der[0] != &buf[0] {
			r.Fatal("a signature exceeds maxDERSignature")
		}
		var parsed struct{ R, S *big.Int }
		if rest, err := asn1.Unmarshal(der, &parsed); err != nil || len(rest) > 0 {
			r.Fatalf("package asn1 refuses %x: %v", der, err)
		}
		got := make([]byte, size)
		if err := splitSignature(got, der); err != nil || !bytes.Equal(got, sig) {
			r.Fatalf("%x came back as %x, %v", sig, got, err)
		}
	})
	for name, der := range map[string]string{
		"empty":            "",
		"no sequence":      "31 06 02 01 01 02 01 01",
		"short sequence":   "30 05 02 01 01 02 01 01",
		"long sequence":    "30 07 02 01 01 02 01 01",
		"long form":        "30 81 06 02 01 01 02 01 01",
		"long form cut":    "30 81",
		"one number":       "30 03 02 01 01",
		"three numbers":    "30 09 02 01 01 02 01 01 02 01 01",
		"not a number":     "30 06 04 01 01 02 01 01",
		"empty number":     "30 05 02 00 02 01 01",
		"negative":         "30 06 02 01 80 02 01 01",
		"superfluous zero": "30 07 02 02 00 01 02 01 01",
		"beyond the end":   "30 06 02 01 01 02 02 01",
		"too long":         "30 26 02 21 01" + strings.Repeat("00", 32) + "02 01 01",
	} {
		if splitSignature(make([]byte, 64), unhex(t, der)) == nil {
			t.Errorf("%s: %s is taken", name, der)
		}
	}
}
