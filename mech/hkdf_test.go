package mech

import (
	"bytes"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

func hkdfMechanism(change func(*cryptoki.HKDFParameters)) cryptoki.Mechanism {
	p := cryptoki.HKDFParameters{
		Extract: true, Expand: true, HashAlg: cryptoki.CKM_SHA256, SaltType: cryptoki.CKF_HKDF_SALT_DATA, Salt: []byte("salt"), Info: []byte("info"),
	}
	change(&p)
	return cryptoki.NewHKDF(cryptoki.CKM_HKDF_DERIVE, p)
}

// TestHKDFVectors has RFC 5869, A.1, A.3 and A.4: both steps at once, and one after the
// other.
func TestHKDFVectors(t *testing.T) {
	for _, v := range []struct {
		name                string
		hash                cryptoki.MechanismType
		ikm, salt, info     []byte
		saltType            uint64
		extracted, expanded string
	}{
		{"A.1", cryptoki.CKM_SHA256, bytes.Repeat([]byte{0x0b}, 22), unhex(t, "000102030405060708090a0b0c"), unhex(t, "f0f1f2f3f4f5f6f7f8f9"), cryptoki.CKF_HKDF_SALT_DATA,
			"077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
			"3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
		{"A.3", cryptoki.CKM_SHA256, bytes.Repeat([]byte{0x0b}, 22), nil, nil, cryptoki.CKF_HKDF_SALT_NULL,
			"19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
			"8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
		{"A.4", cryptoki.CKM_SHA_1, bytes.Repeat([]byte{0x0b}, 11), unhex(t, "000102030405060708090a0b0c"), unhex(t, "f0f1f2f3f4f5f6f7f8f9"), cryptoki.CKF_HKDF_SALT_DATA,
			"9b6c18c432a7bf8f0e71c8eb88f4b30baa2ba243",
			"085a01ea1b10f36933068b56efa5ad81a4f14b822f5b091568a9cdd4f155fda2c22e422478d305f3f896"},
	} {
		t.Run(v.name, func(t *testing.T) {
			with := func(extract, expand bool) cryptoki.Mechanism {
				return cryptoki.NewHKDF(cryptoki.CKM_HKDF_DERIVE, cryptoki.HKDFParameters{
					Extract: extract, Expand: expand, HashAlg: v.hash, SaltType: v.saltType, Salt: v.salt, Info: v.info,
				})
			}
			extracted, expanded := unhex(t, v.extracted), unhex(t, v.expanded)
			for _, typ := range []cryptoki.KeyType{cryptoki.CKK_GENERIC_SECRET, cryptoki.CKK_HKDF} {
				base := secretKeyOf(t, typ, v.ikm)
				wantDerived(t, with(true, true), base, expanded)
				wantDerived(t, with(true, false), base, extracted)
				wantDerived(t, with(true, false), base, extracted[:14])
				wantDerived(t, with(false, true), secretKeyOf(t, typ, extracted), expanded)
				for _, expand := range []bool{false, true} {
					if got, err := derive(with(true, expand), base, 0); err != nil || len(got) != len(extracted) {
						t.Errorf("natural length: %d, %v", len(got), err)
					}
				}
			}
		})
	}
}

func TestHKDFRefuses(t *testing.T) {
	base := secretKeyOf(t, cryptoki.CKK_GENERIC_SECRET, make([]byte, 32))
	const (
		parameter = cryptoki.CKR_MECHANISM_PARAM_INVALID
		size      = cryptoki.CKR_KEY_SIZE_RANGE
	)
	for _, c := range []struct {
		name   string
		change func(*cryptoki.HKDFParameters)
		length int
		code   cryptoki.RV
	}{
		{"good", func(p *cryptoki.HKDFParameters) {}, 32, cryptoki.CKR_OK},
		{"no step", func(p *cryptoki.HKDFParameters) { p.Extract, p.Expand = false, false }, 32, parameter},
		{"a hash that is none", func(p *cryptoki.HKDFParameters) { p.HashAlg = cryptoki.CKM_SHA256_HMAC }, 32, parameter},
		{"a key as salt", func(p *cryptoki.HKDFParameters) { p.SaltType = cryptoki.CKF_HKDF_SALT_KEY }, 32, parameter},
		{"salt type 0", func(p *cryptoki.HKDFParameters) { p.SaltType = 0 }, 32, parameter},
		{"a salt type that does not matter", func(p *cryptoki.HKDFParameters) { p.Extract, p.SaltType = false, 0 }, 32, cryptoki.CKR_OK},
		{"13 bytes", func(p *cryptoki.HKDFParameters) {}, 13, size},
		{"512 bytes", func(p *cryptoki.HKDFParameters) {}, 512, cryptoki.CKR_OK},
		{"513 bytes", func(p *cryptoki.HKDFParameters) {}, 513, size},
		{"33 bytes of an extract", func(p *cryptoki.HKDFParameters) { p.Expand = false }, 33, size},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := derive(hkdfMechanism(c.change), base, c.length)
			wantCode(t, err, c.code)
		})
	}
	_, err := derive(cryptoki.New(cryptoki.CKM_HKDF_DERIVE), base, 32)
	wantCode(t, err, parameter)
	_, err = derive(hkdfMechanism(func(*cryptoki.HKDFParameters) {}), secretKeyOf(t, cryptoki.CKK_AES, make([]byte, 32)), 32)
	wantCode(t, err, cryptoki.CKR_KEY_TYPE_INCONSISTENT)
}
