package mech

import (
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

func TestRegistry(t *testing.T) {
	all := All()
	for i, m := range all {
		if i > 0 && all[i-1].Type >= m.Type {
			t.Errorf("%v comes after %v", m.Type, all[i-1].Type)
		}
		if found, ok := Lookup(m.Type); !ok || found != m {
			t.Errorf("Lookup does not find %v", m.Type)
		}
		has := func(f cryptoki.Flags) bool { return m.Flags&f != 0 }
		const operations = cryptoki.CKF_ENCRYPT | cryptoki.CKF_DECRYPT | cryptoki.CKF_DIGEST | cryptoki.CKF_SIGN | cryptoki.CKF_VERIFY
		if has(operations) != (m.Start != nil) || has(cryptoki.CKF_GENERATE) != (m.Generate != nil) ||
			has(cryptoki.CKF_GENERATE_KEY_PAIR) != (m.GeneratePair != nil) ||
			has(cryptoki.CKF_WRAP) != (m.Wrap != nil) || has(cryptoki.CKF_UNWRAP) != (m.Unwrap != nil) || has(cryptoki.CKF_DERIVE) != (m.Derive != nil) {
			t.Errorf("%v: flags %#x do not tell its functions", m.Type, uint64(m.Flags))
		}
		if has(cryptoki.CKF_DIGEST) != (len(m.KeyTypes) == 0) || m.MinKey > m.MaxKey {
			t.Errorf("%v: key types %v, sizes %d to %d", m.Type, m.KeyTypes, m.MinKey, m.MaxKey)
		}
	}
	for _, m := range []cryptoki.MechanismType{cryptoki.CKM_MD5_RSA_PKCS, cryptoki.CKM_DES3_CBC, ^cryptoki.MechanismType(0)} {
		if _, ok := Lookup(m); ok {
			t.Errorf("%v is offered", m)
		}
	}
	all[0] = nil
	if All()[0] == nil {
		t.Error("All gives its own slice away")
	}
}

// TestApproved names what is not an approved service; a new mechanism must be
// thought about.
func TestApproved(t *testing.T) {
	var not []cryptoki.MechanismType
	for _, m := range All() {
		if !m.Approved {
			not = append(not, m.Type)
		}
	}
	if want := []cryptoki.MechanismType{
		cryptoki.CKM_RSA_PKCS, cryptoki.CKM_RSA_X_509, cryptoki.CKM_SHA1_RSA_PKCS, cryptoki.CKM_SHA1_RSA_PKCS_PSS, cryptoki.CKM_SHA_1, cryptoki.CKM_SHA_1_HMAC, cryptoki.CKM_SHA_1_HMAC_GENERAL,
		cryptoki.CKM_ECDSA_SHA1, cryptoki.CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
	}; !slices.Equal(not, want) {
		t.Errorf("not approved: %v, want %v", not, want)
	}
}

// TestStartRefuses gives every mechanism every function and every type of key, and
// the public half where the private one is needed.
func TestStartRefuses(t *testing.T) {
	fitting := keysByType(t)
	public := map[cryptoki.KeyType]Key{
		cryptoki.CKK_RSA:        rsaPair().pair(t, cryptoki.CKK_RSA).public,
		cryptoki.CKK_EC:         p256Pair().pair(t, cryptoki.CKK_EC).public,
		cryptoki.CKK_EC_EDWARDS: edwardsPair().pair(t, cryptoki.CKK_EC_EDWARDS).public,
	}
	parameters := map[cryptoki.MechanismType]cryptoki.Mechanism{}
	for _, u := range append(signatureUses(t), cipherUses(t)...) {
		parameters[u.mechanism.Type] = u.mechanism
	}
	for _, m := range All() {
		if m.Start == nil {
			continue
		}
		parameter, ok := parameters[m.Type]
		if !ok {
			parameter = cryptoki.New(m.Type)
		}
		for f := Function(0); f <= VerifyRecover+1; f++ {
			if !slices.Contains(functions(m), f) {
				var key Key
				if len(m.KeyTypes) > 0 {
					key = fitting[m.KeyTypes[0]]
				}
				_, err := m.Start(f, &parameter, key)
				wantCode(t, err, cryptoki.CKR_MECHANISM_INVALID)
				continue
			}
			if len(m.KeyTypes) == 0 {
				continue
			}
			for typ, key := range fitting {
				want := cryptoki.CKR_OK
				if !slices.Contains(m.KeyTypes, typ) {
					want = cryptoki.CKR_KEY_TYPE_INCONSISTENT
				}
				_, err := m.Start(f, &parameter, key)
				wantCode(t, err, want)
			}
			_, err := m.Start(f, &parameter, nil)
			wantCode(t, err, cryptoki.CKR_KEY_TYPE_INCONSISTENT)
			if key, ok := public[m.KeyTypes[0]]; ok {
				want := cryptoki.CKR_OK
				if f == Sign || f == SignRecover || f == Decrypt {
					want = cryptoki.CKR_KEY_TYPE_INCONSISTENT
				}
				_, err := m.Start(f, &parameter, key)
				wantCode(t, err, want)
			}
		}
	}
}

// TestKeySize checks the bounds of an entry: no parsed key is beyond those of
// today's, so it has some of its own.
func TestKeySize(t *testing.T) {
	var begun bool
	entry := keyed(Mechanism{
		Flags: cryptoki.CKF_SIGN, KeyTypes: []cryptoki.KeyType{cryptoki.CKK_GENERIC_SECRET}, MinKey: 4, MaxKey: 6,
	}, func(Function, *cryptoki.Mechanism, *macKey) (Operation, error) {
		begun = true
		return nil, nil
	})
	for n, want := range map[int]cryptoki.RV{
		3: cryptoki.CKR_KEY_SIZE_RANGE, 4: cryptoki.CKR_OK, 6: cryptoki.CKR_OK, 7: cryptoki.CKR_KEY_SIZE_RANGE,
	} {
		begun = false
		m := cryptoki.New(entry.Type)
		_, err := entry.Start(Sign, &m, secretKeyOf(t, cryptoki.CKK_GENERIC_SECRET, make([]byte, n)))
		wantCode(t, err, want)
		if begun != (want == cryptoki.CKR_OK) {
			t.Errorf("%d bytes: begun %v", n, begun)
		}
	}
}
