package vectors

import (
	"slices"
	"testing"

	"github.com/miekg/pkcs11"
)

// tested are the mechanisms that the vectors are for, beyond those of hashFunctions.
var tested = []uint{
	pkcs11.CKM_ECDSA, ckmEdDSA, pkcs11.CKM_RSA_PKCS, pkcs11.CKM_RSA_PKCS_PSS, pkcs11.CKM_RSA_X_509, pkcs11.CKM_RSA_PKCS_OAEP,
	pkcs11.CKM_ECDH1_DERIVE, pkcs11.CKM_ECDH1_COFACTOR_DERIVE, ckmHKDFDerive, ckmKBKDFCounter,
	pkcs11.CKM_AES_ECB, pkcs11.CKM_AES_CBC, pkcs11.CKM_AES_CBC_PAD, pkcs11.CKM_AES_CTR, pkcs11.CKM_AES_GCM,
	pkcs11.CKM_AES_CMAC, pkcs11.CKM_AES_CMAC_GENERAL, pkcs11.CKM_AES_KEY_WRAP, ckmAESKWP, ckmVendorKW, ckmVendorKWP,
}

// TestMechanisms wants every mechanism that there are vectors for to be offered, and
// tells which ones are offered that there are none for.
func TestMechanisms(t *testing.T) {
	want := slices.Clone(tested)
	for _, h := range hashFunctions {
		for _, m := range []uint{h.digest, h.hmac, h.hmacGeneral, h.ecdsa, h.rsaPKCS, h.rsaPSS} {
			if m != 0 {
				want = append(want, m)
			}
		}
	}
	list, err := hsm.GetMechanismList(hsm.slot)
	if err != nil {
		t.Fatal(err)
	}
	offered := map[uint]bool{}
	for _, m := range list {
		offered[m.Mechanism] = true
	}
	for _, m := range want {
		if !offered[m] {
			t.Errorf("mechanism %#x is not offered", m)
		}
		delete(offered, m)
	}
	const makesKeys = pkcs11.CKF_GENERATE | pkcs11.CKF_GENERATE_KEY_PAIR
	for m := range offered {
		info, err := hsm.GetMechanismInfo(hsm.slot, []*pkcs11.Mechanism{pkcs11.NewMechanism(m, nil)})
		if err != nil {
			t.Fatal(err)
		}
		if info.Flags&makesKeys == 0 {
			t.Logf("no vectors for mechanism %#x", m)
		}
	}
}
