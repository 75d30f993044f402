package mech

import (
	"crypto/aes"
	"crypto/rand"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
)

// rsaAESKeyWrap wraps a key of any length under an RSA key: by a new AES key with SP
// 800-38F's KWP, which goes before it by RSAES-OAEP (PKCS#11 3.2, "RSA AES KEY WRAP").
var rsaAESKeyWrap = []Mechanism{
	wraps(Mechanism{
		Type:     cryptoki.CKM_RSA_AES_KEY_WRAP,
		KeyTypes: []cryptoki.KeyType{cryptoki.CKK_RSA},
		MinKey:   minRSA,
		MaxKey:   maxRSA,
		Shape:    cryptoki.ShapeRSAAES,
		Approved: true,
	}, wrapRSAAES, unwrapRSAAES),
}

// startRSAAES reads the parameter and begins its OAEP; size is that of the AES key in
// bytes.
func startRSAAES(f Function, m *cryptoki.Mechanism, key *rsaKey) (oaep Operation, size int, err error) {
	p, err := m.RSAAES()
	if err != nil {
		return nil, 0, err
	}
	if p.AESKeyBits != 128 && p.AESKeyBits != 192 && p.AESKeyBits != 256 {
		return nil, 0, badParameter("an AES key of %d bits where 128, 192 or 256 are possible", p.AESKeyBits)
	}
	inner := cryptoki.NewOAEP(cryptoki.CKM_RSA_PKCS_OAEP, p.OAEP)
	oaep, err = startOAEP(f, &inner, key)
	return oaep, int(p.AESKeyBits / 8), err
}

func wrapRSAAES(m *cryptoki.Mechanism, key *rsaKey, plain []byte) ([]byte, error) {
	oaep, size, err := startRSAAES(Encrypt, m, key)
	if err != nil {
		return nil, err
	}
	defer oaep.Close()
	temporary := make([]byte, size)
	defer clear(temporary)
	rand.Read(temporary)
	first, err := oaep.Once(temporary, nil)
	if err != nil {
		return nil, err
	}
	w, err := temporaryKWP(temporary)
	if err != nil {
		return nil, err
	}
	second, err := w.seal(plain)
	if err != nil {
		return nil, err
	}
	return slices.Concat(first, second), nil
}

// unwrapRSAAES answers for what is long enough with one code, and opens the second part
// also where the first was none, with a random key, so that the time does not tell
// either.
func unwrapRSAAES(m *cryptoki.Mechanism, key *rsaKey, wrapped []byte) ([]byte, error) {
	oaep, size, err := startRSAAES(Decrypt, m, key)
	if err != nil {
		return nil, err
	}
	defer oaep.Close()
	modulus := key.public.Size()
	if len(wrapped) < modulus+2*semiblock || (len(wrapped)-modulus)%semiblock != 0 {
		return nil, cryptoki.Errorf(cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE,
			"%d bytes where the modulus has %d and a multiple of %d from %d on follows", len(wrapped), modulus, semiblock, 2*semiblock)
	}
	temporary, err := oaep.Once(wrapped[:modulus], nil)
	defer func() { clear(temporary) }()
	good := err == nil && len(temporary) == size
	if !good {
		clear(temporary)
		temporary = make([]byte, size)
		rand.Read(temporary)
	}
	w, err := temporaryKWP(temporary)
	if err != nil {
		return nil, err
	}
	plain, err := w.open(wrapped[modulus:])
	if err != nil || !good {
		clear(plain)
		return nil, errDecryption
	}
	return plain, nil
}

func temporaryKWP(key []byte) (*kwp, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "preparing AES: %w", err)
	}
	return &kwp{block, kwpInitial}, nil
}
