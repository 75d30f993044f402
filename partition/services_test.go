package partition_test

import (
	"slices"
	"testing"
	"time"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/object"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
)

// set gives the partition policies, as the HSM does when they are durable.
func (w *world) set(values map[policy.ID]uint64) {
	i := w.p.Identity()
	for id, value := range values {
		i.Policies = i.Policies.With(id, value)
	}
	w.p.Adopt(i)
}

func offers(p *partition.Partition, t cryptoki.MechanismType) bool {
	return slices.Contains(p.Mechanisms(), t)
}

// TestMechanismsOfLevels holds what is offered against the level's table and the build.
func TestMechanismsOfLevels(t *testing.T) {
	for _, level := range firmware.Levels() {
		for _, fips := range []bool{false, true} {
			w := newWorld(t, 1<<20, map[policy.ID]uint64{policy.HSMNonFIPS: map[bool]uint64{false: 1}[fips]})
			w.config.Level = func() firmware.Level { return level }
			w.open()
			for _, m := range mech.All() {
				row, has := level.Mechanism(m.Type)
				if m.Type == cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN || m.Type == cryptoki.CKM_RSA_X9_31_KEY_PAIR_GEN {
					has, row.Approved = true, true // under another name
				}
				want := has && row.Allowed(fips)&m.Flags != 0
				if got := offers(w.p, m.Type); got != want {
					t.Errorf("level %v, FIPS %t: %v offered: %t", level, fips, m.Type, got)
				}
				info, err := w.p.Mechanism(m.Type)
				if !want {
					code(t, err, cryptoki.CKR_MECHANISM_INVALID)
					continue
				}
				if err != nil || info.Min < m.MinKey || info.Max > m.MaxKey || info.Flags&^m.Flags != 0 {
					t.Errorf("level %v, FIPS %t: %v is %+v (%v)", level, fips, m.Type, info, err)
				}
			}
		}
	}
}

func TestPoliciesTakeMechanismsAway(t *testing.T) {
	w := newWorld(t, 1<<20, nil)
	if !offers(w.p, cryptoki.CKM_RSA_PKCS) || !offers(w.p, cryptoki.CKM_EDDSA) {
		t.Fatal("not offered without policies")
	}
	w.set(map[policy.ID]uint64{policy.RSAPKCS: 0})
	if offers(w.p, cryptoki.CKM_RSA_PKCS) {
		t.Error("CKM_RSA_PKCS is offered with policy 33 off")
	}
	w.set(map[policy.ID]uint64{policy.NonFIPS: 0})
	if offers(w.p, cryptoki.CKM_EDDSA) {
		t.Error("CKM_EDDSA is offered in FIPS configuration")
	}
	w.set(map[policy.ID]uint64{policy.NonFIPS: 1, policy.RSAPKCS: 1, policy.Prehash: 0})
	info, err := w.p.Mechanism(cryptoki.CKM_ECDSA)
	if err != nil || info.Flags&cryptoki.CKF_VERIFY != 0 || info.Flags&cryptoki.CKF_SIGN == 0 {
		t.Errorf("CKM_ECDSA with policy 45 off: %+v, %v", info, err)
	}
	info, err = w.p.Mechanism(cryptoki.CKM_RSA_PKCS)
	if err != nil || info.Flags&cryptoki.CKF_VERIFY_RECOVER != 0 || info.Flags&cryptoki.CKF_SIGN_RECOVER == 0 {
		t.Errorf("CKM_RSA_PKCS with policy 45 off: %+v, %v", info, err)
	}
}

// pair generates a key pair of session objects.
func pair(t *testing.T, s *partition.Session, bits uint64) (pub, priv cryptoki.ObjectHandle) {
	t.Helper()
	m := cryptoki.New(cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN)
	pub, priv, err := s.GenerateKeyPair(partition.Token{}, &m, cryptoki.Template{
		{Type: cryptoki.CKA_MODULUS_BITS, Value: cryptoki.ULong(bits)},
		{Type: cryptoki.CKA_VERIFY, Value: cryptoki.Bool(true)},
	}, cryptoki.Template{
		{Type: cryptoki.CKA_SIGN, Value: cryptoki.Bool(true)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return pub, priv
}

// A key that the newer rules restrict is there, verifies, and does not sign.
func TestLegacyKey(t *testing.T) {
	w := ready(t, 1<<20, nil)
	s := w.login(cryptoki.CKU_USER, ownerPIN)
	pub, priv := pair(t, s, 1024)
	sign := cryptoki.New(cryptoki.CKM_SHA256_RSA_PKCS)
	use := func(f mech.Function, key cryptoki.ObjectHandle) error {
		_, err := s.Init(f, &sign, key)
		s.Cancel(f)
		return err
	}
	code(t, use(mech.Sign, priv), cryptoki.CKR_OK)
	w.set(map[policy.ID]uint64{policy.NonFIPS: 0})
	code(t, use(mech.Sign, priv), cryptoki.CKR_KEY_SIZE_RANGE)
	code(t, use(mech.Verify, pub), cryptoki.CKR_OK)
	m := cryptoki.New(cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN)
	_, _, err := s.GenerateKeyPair(partition.Token{}, &m, cryptoki.Template{{Type: cryptoki.CKA_MODULUS_BITS, Value: cryptoki.ULong(uint64(1024))}}, nil)
	code(t, err, cryptoki.CKR_KEY_SIZE_RANGE)
	m = cryptoki.New(cryptoki.CKM_AES_KEY_GEN)
	_, err = s.GenerateKey(partition.Token{}, &m, cryptoki.Template{{Type: cryptoki.CKA_VALUE_LEN, Value: cryptoki.ULong(uint64(15))}})
	code(t, err, cryptoki.CKR_ATTRIBUTE_VALUE_INVALID)
}

func TestKeyDates(t *testing.T) {
	w := ready(t, 1<<20, nil)
	s := w.login(cryptoki.CKU_USER, ownerPIN)
	for _, c := range []struct {
		name, start, end string
		enforced         uint64
		want             cryptoki.RV
	}{
		{"no dates", "", "", 1, cryptoki.CKR_OK},
		{"today", "20270115", "20270115", 1, cryptoki.CKR_OK},
		{"not yet", "20270116", "", 1, cryptoki.CKR_KEY_NOT_ACTIVE},
		{"no more", "", "20270114", 1, cryptoki.CKR_KEY_NOT_ACTIVE},
		{"not enforced", "20270116", "", 0, cryptoki.CKR_OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.now = time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC)
			w.set(map[policy.ID]uint64{policy.KeyDates: c.enforced})
			h, err := s.Create(partition.Token{}, cryptoki.Template{
				{Type: cryptoki.CKA_CLASS, Value: cryptoki.ULong(uint64(cryptoki.CKO_SECRET_KEY))},
				{Type: cryptoki.CKA_KEY_TYPE, Value: cryptoki.ULong(uint64(cryptoki.CKK_GENERIC_SECRET))},
				{Type: cryptoki.CKA_VALUE, Value: make([]byte, 32)},
				{Type: cryptoki.CKA_SIGN, Value: cryptoki.Bool(true)},
				{Type: cryptoki.CKA_START_DATE, Value: []byte(c.start)},
				{Type: cryptoki.CKA_END_DATE, Value: []byte(c.end)},
			})
			if err != nil {
				t.Fatal(err)
			}
			m := cryptoki.New(cryptoki.CKM_SHA256_HMAC)
			_, err = s.Init(mech.Sign, &m, h)
			s.Cancel(mech.Sign)
			code(t, err, c.want)
		})
	}
}

// With policy 17 off a key that came from outside does not sign.
func TestNonLocalSigning(t *testing.T) {
	w := ready(t, 1<<20, nil)
	s := w.login(cryptoki.CKU_USER, ownerPIN)
	h, err := s.Create(partition.Token{}, cryptoki.Template{
		{Type: cryptoki.CKA_CLASS, Value: cryptoki.ULong(uint64(cryptoki.CKO_SECRET_KEY))},
		{Type: cryptoki.CKA_KEY_TYPE, Value: cryptoki.ULong(uint64(cryptoki.CKK_GENERIC_SECRET))},
		{Type: cryptoki.CKA_VALUE, Value: make([]byte, 32)},
		{Type: cryptoki.CKA_SIGN, Value: cryptoki.Bool(true)},
		{Type: cryptoki.CKA_VERIFY, Value: cryptoki.Bool(true)},
	})
	if err != nil {
		t.Fatal(err)
	}
	m := cryptoki.New(cryptoki.CKM_SHA256_HMAC)
	w.set(map[policy.ID]uint64{policy.NonLocalSigning: 0})
	_, err = s.Init(mech.Sign, &m, h)
	code(t, err, cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED)
	_, err = s.Init(mech.Verify, &m, h)
	code(t, err, cryptoki.CKR_OK)
}

// A key on X25519 or secp256k1 that was made before agrees on nothing in FIPS configuration;
// one of P-256 does.
func TestCurvesInFIPS(t *testing.T) {
	w := ready(t, 1<<20, nil)
	s := w.login(cryptoki.CKU_USER, ownerPIN)
	for _, c := range []struct {
		name      string
		generate  cryptoki.MechanismType
		curve     string
		size      int // of the point in an OCTET STRING
		kdf       uint64
		want      cryptoki.RV
		indicator bool
	}{
		{"X25519", cryptoki.CKM_EC_MONTGOMERY_KEY_PAIR_GEN, "\x06\x03\x2b\x65\x6e", 34, cryptoki.CKD_SHA256_KDF, cryptoki.CKR_KEY_TYPE_INCONSISTENT, false},
		{"secp256k1", cryptoki.CKM_EC_KEY_PAIR_GEN, oidSecp256k1, 67, cryptoki.CKD_SHA256_KDF, cryptoki.CKR_KEY_TYPE_INCONSISTENT, false},
		{"P-256", cryptoki.CKM_EC_KEY_PAIR_GEN, "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 67, cryptoki.CKD_SHA256_KDF, cryptoki.CKR_OK, true},
		{"P-256 without KDF", cryptoki.CKM_EC_KEY_PAIR_GEN, "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 67, cryptoki.CKD_NULL, cryptoki.CKR_OK, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.set(map[policy.ID]uint64{policy.NonFIPS: 1})
			m := cryptoki.New(c.generate)
			pub, priv, err := s.GenerateKeyPair(partition.Token{}, &m, cryptoki.Template{
				{Type: cryptoki.CKA_EC_PARAMS, Value: []byte(c.curve)},
			}, cryptoki.Template{{Type: cryptoki.CKA_DERIVE, Value: cryptoki.Bool(true)}})
			if err != nil {
				t.Fatal(err)
			}
			var point []byte
			err = s.Attributes(pub, []uint64{uint64(cryptoki.CKA_EC_POINT)}, func(_ object.Status, v []byte) { point = append(point, v...) })
			if err != nil || len(point) != c.size {
				t.Fatalf("%x, %v", point, err)
			}
			agree := func() error {
				m := cryptoki.NewECDH1(cryptoki.CKM_ECDH1_DERIVE, cryptoki.ECDH1Parameters{KDF: c.kdf, PublicData: point})
				_, err := s.DeriveKey(partition.Token{}, &m, priv, cryptoki.Template{{Type: cryptoki.CKA_VALUE_LEN, Value: cryptoki.ULong(uint64(32))}})
				return err
			}
			code(t, agree(), cryptoki.CKR_OK)
			w.set(map[policy.ID]uint64{policy.NonFIPS: 0})
			code(t, agree(), c.want)
			if s.Approved() != c.indicator {
				t.Errorf("approved: %t", s.Approved())
			}
		})
	}
}

const oidSecp256k1 = "\x06\x05\x2b\x81\x04\x00\x0a"

// secp256k1 is offered outside FIPS configuration, never as an approved service, and not
// at all in it: neither for new keys nor with those that there are.
func TestSecp256k1InFIPS(t *testing.T) {
	w := ready(t, 1<<20, nil)
	s := w.login(cryptoki.CKU_USER, ownerPIN)
	generate := func(curve string) (pub, priv cryptoki.ObjectHandle, err error) {
		m := cryptoki.New(cryptoki.CKM_EC_KEY_PAIR_GEN)
		return s.GenerateKeyPair(partition.Token{}, &m,
			cryptoki.Template{{Type: cryptoki.CKA_EC_PARAMS, Value: []byte(curve)}, {Type: cryptoki.CKA_VERIFY, Value: cryptoki.Bool(true)}},
			cryptoki.Template{{Type: cryptoki.CKA_SIGN, Value: cryptoki.Bool(true)}})
	}
	m, data := cryptoki.New(cryptoki.CKM_ECDSA_SHA256), []byte("data")
	for _, curve := range []string{oidSecp256k1, "\x13\x09secp256k1"} {
		w.set(map[policy.ID]uint64{policy.NonFIPS: 1})
		pub, priv, err := generate(curve)
		code(t, err, cryptoki.CKR_OK)
		if s.Approved() {
			t.Error("the generation is an approved service")
		}
		sig, err := s.OperateFused(mech.Sign, &m, priv, data, nil, 64)
		code(t, err, cryptoki.CKR_OK)
		if s.Approved() {
			t.Error("the signature is an approved service")
		}
		_, err = s.OperateFused(mech.Verify, &m, pub, data, sig.Data, 0)
		code(t, err, cryptoki.CKR_OK)
		if s.Approved() {
			t.Error("the verification is an approved service")
		}
		w.set(map[policy.ID]uint64{policy.NonFIPS: 0})
		_, err = s.Init(mech.Sign, &m, priv)
		code(t, err, cryptoki.CKR_KEY_TYPE_INCONSISTENT)
		_, err = s.Init(mech.Verify, &m, pub)
		code(t, err, cryptoki.CKR_KEY_TYPE_INCONSISTENT)
		_, _, err = generate(curve)
		code(t, err, cryptoki.CKR_CURVE_NOT_SUPPORTED)
	}
	_, _, err := generate("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07")
	code(t, err, cryptoki.CKR_OK)
}
