package mech

import (
	"crypto/hkdf"

	"tidelock.dev/tidelock/cryptoki"
)

// hkdfMechanisms is HKDF (RFC 5869; SP 800-56C, 5; PKCS#11 3.2, "HKDF mechanisms"). The
// salt is given as bytes, or not at all; that of another key is not offered.
var hkdfMechanisms = []Mechanism{
	secretKeyGen(cryptoki.CKM_HKDF_KEY_GEN, cryptoki.CKK_HKDF),
	derives(Mechanism{
		Type:     cryptoki.CKM_HKDF_DERIVE,
		KeyTypes: []cryptoki.KeyType{cryptoki.CKK_GENERIC_SECRET, cryptoki.CKK_HKDF},
		MinKey:   minGeneric,
		MaxKey:   maxGeneric,
		Shape:    cryptoki.ShapeHKDF,
		Approved: true,
	}, deriveHKDF),
}

// deriveHKDF extracts, expands or does both. What is extracted is as long as the hash
// function's digest, or shorter if that is asked for; what is expanded has the length
// that is asked for.
func deriveHKDF(m *cryptoki.Mechanism, base *macKey, length int) ([]byte, error) {
	p, err := m.HKDF()
	if err != nil {
		return nil, err
	}
	hash, err := hashNamed(p.HashAlg)
	if err != nil {
		return nil, err
	}
	if !p.Extract && !p.Expand {
		return nil, badParameter("HKDF that neither extracts nor expands")
	}
	if length, err = derivedLength(length, hash.Size()); err != nil {
		return nil, err
	}
	if !p.Expand && length > hash.Size() {
		return nil, cryptoki.Errorf(cryptoki.CKR_KEY_SIZE_RANGE, "a key of %d bytes of an extract of %d; expanding makes longer ones", length, hash.Size())
	}
	key := base.value
	if p.Extract {
		salt, err := hkdfSalt(&p)
		if err != nil {
			return nil, err
		}
		if key, err = hkdf.Extract(hash.New, key, salt); err != nil {
			return nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "HKDF: %w", err)
		}
		if !p.Expand {
			clear(key[length:])
			return key[:length], nil
		}
		defer clear(key)
	}
	out, err := hkdf.Expand(hash.New, key, string(p.Info), length)
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "HKDF: %w", err)
	}
	return out, nil
}

// hkdfSalt returns the salt; nil stands for zeros (RFC 5869, 2.2).
func hkdfSalt(p *cryptoki.HKDFParameters) ([]byte, error) {
	switch p.SaltType {
	case cryptoki.CKF_HKDF_SALT_NULL:
		return nil, nil
	case cryptoki.CKF_HKDF_SALT_DATA:
		return p.Salt, nil
	case cryptoki.CKF_HKDF_SALT_KEY:
		return nil, badParameter("a key as salt of HKDF is not offered; CKF_HKDF_SALT_DATA is")
	}
	return nil, badParameter("salt type %d of HKDF", p.SaltType)
}
