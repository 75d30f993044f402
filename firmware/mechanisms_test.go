package firmware

import (
	"cmp"
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

func TestMechanismTable(t *testing.T) {
	table := mechanismTable()
	if !slices.IsSortedFunc(table, func(a, b Mechanism) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), a.From.Compare(b.From))
	}) {
		t.Error("mechanisms.csv is not in order")
	}
	for i, m := range table {
		if m.Functions == 0 || m.Barred&^m.Functions != 0 {
			t.Errorf("%v bars what it does not have", m.Type)
		}
		if (len(m.KeyTypes) == 0) != (m.Functions == cryptoki.CKF_DIGEST) {
			t.Errorf("%v has key types %v", m.Type, m.KeyTypes)
		}
		if m.Min > m.LegacyMin || m.LegacyMin > m.FIPSMin || m.FIPSMin > m.Max {
			t.Errorf("%v has sizes %d, %d, %d, %d", m.Type, m.Min, m.LegacyMin, m.FIPSMin, m.Max)
		}
		if i > 0 && table[i-1].Type == m.Type && table[i-1].To.AtLeast(m.From) {
			t.Errorf("%v has two entries at %v", m.Type, m.From)
		}
	}
	for _, l := range Levels() {
		for _, m := range table {
			if _, has := l.Mechanism(m.Type); !has && l.AtLeast(m.From) {
				t.Errorf("%v is lost at %v", m.Type, l)
			}
		}
	}
}

func TestPermit(t *testing.T) {
	const (
		sign, verify     = cryptoki.CKF_SIGN, cryptoki.CKF_VERIFY
		encrypt, decrypt = cryptoki.CKF_ENCRYPT, cryptoki.CKF_DECRYPT
	)
	for _, test := range []struct {
		level     string
		mechanism cryptoki.MechanismType
		function  cryptoki.Flags
		bits      uint64
		fips      bool
		want      cryptoki.RV
	}{
		{"7.8.0", cryptoki.CKM_RSA_PKCS, sign, 1024, false, cryptoki.CKR_OK},
		{"7.8.0", cryptoki.CKM_RSA_PKCS, sign, 1024, true, cryptoki.CKR_KEY_SIZE_RANGE},
		{"7.8.0", cryptoki.CKM_RSA_PKCS, verify, 1024, true, cryptoki.CKR_OK},
		{"7.8.0", cryptoki.CKM_RSA_PKCS, verify, 512, true, cryptoki.CKR_KEY_SIZE_RANGE},
		{"7.8.0", cryptoki.CKM_RSA_PKCS, sign, 2048, true, cryptoki.CKR_OK},
		{"7.8.0", cryptoki.CKM_RSA_PKCS, decrypt, 2048, true, cryptoki.CKR_OK},
		{"7.8.4", cryptoki.CKM_RSA_PKCS, decrypt, 2048, true, cryptoki.CKR_MECHANISM_INVALID},
		{"7.8.4", cryptoki.CKM_RSA_PKCS, decrypt, 2048, false, cryptoki.CKR_OK},
		{"7.8.0", cryptoki.CKM_RSA_PKCS, sign, 16384, false, cryptoki.CKR_KEY_SIZE_RANGE},
		{"7.8.0", cryptoki.CKM_DES3_CBC, encrypt, 192, true, cryptoki.CKR_OK},
		{"7.8.0", cryptoki.CKM_DES3_CBC, encrypt, 128, true, cryptoki.CKR_KEY_SIZE_RANGE},
		{"7.8.0", cryptoki.CKM_DES3_CBC, decrypt, 128, true, cryptoki.CKR_OK},
		{"7.8.0", cryptoki.CKM_DES3_CBC, cryptoki.CKF_WRAP, 192, true, cryptoki.CKR_MECHANISM_INVALID},
		{"7.8.4", cryptoki.CKM_DES3_CBC, encrypt, 192, true, cryptoki.CKR_MECHANISM_INVALID},
		{"7.8.4", cryptoki.CKM_DES3_CBC, decrypt, 192, true, cryptoki.CKR_OK},
		{"7.8.4", cryptoki.CKM_DES3_CBC, encrypt, 192, false, cryptoki.CKR_OK},
		{"7.4.2", cryptoki.CKM_DES3_MAC, sign, 192, true, cryptoki.CKR_OK},
		{"7.7.0", cryptoki.CKM_DES3_MAC, sign, 192, true, cryptoki.CKR_MECHANISM_INVALID},
		{"7.7.0", cryptoki.CKM_DES3_MAC, verify, 192, true, cryptoki.CKR_OK},
		{"7.8.0", cryptoki.CKM_ECDH1_DERIVE, cryptoki.CKF_DERIVE, 192, true, cryptoki.CKR_KEY_SIZE_RANGE},
		{"7.8.0", cryptoki.CKM_EDDSA, sign, 255, true, cryptoki.CKR_MECHANISM_INVALID},
		{"7.8.0", cryptoki.CKM_EDDSA, sign, 255, false, cryptoki.CKR_OK},
		{"7.8.0", cryptoki.CKM_AES_GCM, sign, 256, false, cryptoki.CKR_MECHANISM_INVALID},
		{"7.8.0", cryptoki.CKM_AES_GCM, encrypt, 256, true, cryptoki.CKR_OK},
	} {
		m, has := level(t, test.level).Mechanism(test.mechanism)
		if !has {
			t.Errorf("%s has no %v", test.level, test.mechanism)
			continue
		}
		if got := cryptoki.Code(m.Permit(test.function, test.bits, test.fips)); got != test.want {
			t.Errorf("%v: %v", test, got)
		}
	}
	if _, has := level(t, "7.4.2").Mechanism(cryptoki.CKM_SHA3_256_HMAC); has {
		t.Error("7.4.2 has SHA-3")
	}
}
