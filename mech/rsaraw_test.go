package mech

import (
	"bytes"
	"crypto/rand"
	"math/big"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// shortRSA is the shortest key, which not every hash function fits.
var shortRSA = generated(cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN, cryptoki.Template{attribute(cryptoki.CKA_MODULUS_BITS, cryptoki.ULong(uint64(minRSA)))})

// TestRawRSA compares with the definition, of keys whose primes come in either order.
func TestRawRSA(t *testing.T) {
	raw := cryptoki.New(cryptoki.CKM_RSA_X_509)
	for _, by := range rsaProviders(t) {
		for range 4 {
			pair := generated(cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN, cryptoki.Template{attribute(cryptoki.CKA_MODULUS_BITS, cryptoki.ULong(uint64(minRSA)))})()
			swapped := with(pair.private, cryptoki.CKA_PRIME_1, value(pair.private, cryptoki.CKA_PRIME_2))
			swapped = with(swapped, cryptoki.CKA_PRIME_2, value(pair.private, cryptoki.CKA_PRIME_1))
			for _, crt := range []cryptoki.AttributeType{cryptoki.CKA_EXPONENT_1, cryptoki.CKA_EXPONENT_2, cryptoki.CKA_COEFFICIENT} {
				swapped = with(swapped, crt, nil)
			}
			n := new(big.Int).SetBytes(value(pair.private, cryptoki.CKA_MODULUS))
			d := new(big.Int).SetBytes(value(pair.private, cryptoki.CKA_PRIVATE_EXPONENT))
			least := new(big.Int).Sub(n, big.NewInt(1))
			random, err := rand.Int(rand.Reader, n)
			if err != nil {
				t.Fatal(err)
			}
			for _, template := range []cryptoki.Template{pair.private, swapped} {
				UseRSA(by)
				key := mustParse(t, cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_RSA, template)
				UseRSA("go")
				for _, m := range []*big.Int{big.NewInt(0), big.NewInt(1), big.NewInt(77), least, random} {
					want := new(big.Int).Exp(m, d, n).FillBytes(make([]byte, minRSA/8))
					if got := once(t, Sign, raw, key, m.Bytes(), nil); !bytes.Equal(got, want) {
						t.Errorf("%s: %d gave %x, want %x", by, m, got, want)
					}
					if got := once(t, Decrypt, raw, key, m.FillBytes(make([]byte, minRSA/8)), nil); !bytes.Equal(got, want) {
						t.Errorf("%s: %d gave %x, want %x", by, m, got, want)
					}
					if got := once(t, Encrypt, raw, key, want, nil); new(big.Int).SetBytes(got).Cmp(m) != 0 || len(got) != minRSA/8 {
						t.Errorf("%s: %d came back as %x", by, m, got)
					}
					once(t, Verify, raw, key, m.Bytes(), want)
				}
			}
		}
	}
}

// TestRawRSANumbers gives numbers that are too long or too large.
func TestRawRSANumbers(t *testing.T) {
	k := rsaPair().pair(t, cryptoki.CKK_RSA)
	raw := cryptoki.New(cryptoki.CKM_RSA_X_509)
	n := value(rsaPair().public, cryptoki.CKA_MODULUS)
	long := append([]byte{0}, n...)
	for _, c := range []struct {
		name      string
		f         Function
		key       Key
		data, sig []byte
		code      cryptoki.RV
	}{
		{"sign the modulus", Sign, k.private, n, nil, cryptoki.CKR_DATA_INVALID},
		{"sign too much", Sign, k.private, long, nil, cryptoki.CKR_DATA_LEN_RANGE},
		{"encrypt the modulus", Encrypt, k.public, n, nil, cryptoki.CKR_DATA_INVALID},
		{"encrypt too much", Encrypt, k.public, long, nil, cryptoki.CKR_DATA_LEN_RANGE},
		{"decrypt the modulus", Decrypt, k.private, n, nil, cryptoki.CKR_ENCRYPTED_DATA_INVALID},
		{"decrypt too much", Decrypt, k.private, long, nil, cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE},
		{"decrypt too little", Decrypt, k.private, []byte{1}, nil, cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE},
		{"verify the modulus", Verify, k.public, n, make([]byte, 256), cryptoki.CKR_DATA_INVALID},
		{"verify too much", Verify, k.public, long, make([]byte, 256), cryptoki.CKR_DATA_LEN_RANGE},
		{"a signature of the modulus", Verify, k.public, nil, n, cryptoki.CKR_SIGNATURE_INVALID},
		{"a signature that is short", Verify, k.public, nil, n[1:], cryptoki.CKR_SIGNATURE_LEN_RANGE},
	} {
		out, err := start(t, c.f, raw, c.key).Once(c.data, c.sig)
		if cryptoki.Code(err) != c.code || out != nil {
			t.Errorf("%s: %d bytes, %v, want %v", c.name, len(out), err, c.code)
		}
	}
}

// TestWrongRawRSA gives a key another public half, as a fault in the computation
// would look: nothing comes out.
func TestWrongRawRSA(t *testing.T) {
	for _, by := range rsaProviders(t) {
		key := *rsaPairBy(t, by).private.(*rsaKey)
		public := *key.public
		public.E = 257
		key.public = &public
		data := append([]byte{0}, bytes.Repeat([]byte{7}, 255)...)
		for _, f := range []Function{Sign, Decrypt} {
			out, err := start(t, f, cryptoki.New(cryptoki.CKM_RSA_X_509), &key).Once(data, nil)
			wantCode(t, err, cryptoki.CKR_FUNCTION_FAILED)
			if out != nil {
				t.Errorf("%s: a wrong result leaves", by)
			}
		}
	}
}

// TestWrapPKCS1 reads the padding of wrapped keys.
func TestWrapPKCS1(t *testing.T) {
	k := rsaPair().pair(t, cryptoki.CKK_RSA)
	m := cryptoki.New(cryptoki.CKM_RSA_PKCS)
	entry, _ := Lookup(m.Type)
	if entry.Unwrap != nil || entry.Flags&cryptoki.CKF_DECRYPT != 0 {
		t.Error("CKM_RSA_PKCS decrypts or unwraps")
	}
	for _, n := range []int{0, 1, 32, 256 - 11} {
		plain := bytes.Repeat([]byte{0}, n)
		for range 20 {
			wrapped, err := entry.Wrap(&m, k.public, plain)
			if err != nil {
				t.Fatal(err)
			}
			block := once(t, Decrypt, cryptoki.New(cryptoki.CKM_RSA_X_509), k.private, wrapped, nil)
			padding := block[2 : 255-n]
			if block[0] != 0 || block[1] != 2 || bytes.IndexByte(padding, 0) >= 0 || !bytes.Equal(block[255-n:], make([]byte, n+1)) {
				t.Fatalf("%x", block)
			}
		}
	}
	_, err := entry.Wrap(&m, k.public, make([]byte, 256-10))
	wantCode(t, err, cryptoki.CKR_KEY_SIZE_RANGE)
	bytesParameter := cryptoki.NewBytes(m.Type, []byte{1})
	_, err = entry.Wrap(&bytesParameter, k.public, nil)
	wantCode(t, err, cryptoki.CKR_MECHANISM_PARAM_INVALID)
}

// TestShortRSA has a key that has no room for the padding of the longest hash
// functions.
func TestShortRSA(t *testing.T) {
	k := shortRSA().pair(t, cryptoki.CKK_RSA)
	for _, c := range []struct {
		hash cryptoki.MechanismType
		mgf  cryptoki.MGF
		salt uint64 // the longest
		oaep cryptoki.RV
	}{
		{cryptoki.CKM_SHA_1, cryptoki.CKG_MGF1_SHA1, 106, cryptoki.CKR_OK},
		{cryptoki.CKM_SHA384, cryptoki.CKG_MGF1_SHA384, 78, cryptoki.CKR_OK},
		{cryptoki.CKM_SHA512, cryptoki.CKG_MGF1_SHA512, 62, cryptoki.CKR_MECHANISM_PARAM_INVALID},
		{cryptoki.CKM_SHA3_512, cryptoki.CKG_MGF1_SHA3_512, 62, cryptoki.CKR_MECHANISM_PARAM_INVALID},
	} {
		pss := func(salt uint64) cryptoki.Mechanism {
			return cryptoki.NewPSS(cryptoki.CKM_RSA_PKCS_PSS, pssParameters(c.hash, c.mgf, salt))
		}
		size := map[cryptoki.MechanismType]int{cryptoki.CKM_SHA_1: 20, cryptoki.CKM_SHA384: 48}[c.hash]
		if size == 0 {
			size = 64
		}
		sig := once(t, Sign, pss(c.salt), k.private, make([]byte, size), nil)
		once(t, Verify, pss(c.salt), k.public, make([]byte, size), sig)
		_, err := tryStart(Sign, pss(c.salt+1), k.private)
		wantCode(t, err, cryptoki.CKR_MECHANISM_PARAM_INVALID)
		_, err = tryStart(Encrypt, cryptoki.NewOAEP(cryptoki.CKM_RSA_PKCS_OAEP, cryptoki.OAEPParameters{HashAlg: c.hash, MGF: c.mgf}), k.public)
		wantCode(t, err, c.oaep)
	}
}
