package mech

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// derive makes a key, or fails as the mechanism does.
func derive(m cryptoki.Mechanism, base Key, length int) ([]byte, error) {
	entry, found := Lookup(m.Type)
	if !found || entry.Derive == nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_MECHANISM_INVALID, "%v does not derive", m.Type)
	}
	return entry.Derive(&m, base, length)
}

func wantDerived(t *testing.T, m cryptoki.Mechanism, base Key, want []byte) {
	t.Helper()
	if got, err := derive(m, base, len(want)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v: %x, %v; want %x", m.Type, got, err, want)
	}
}

func ecdhMechanism(kdf uint64, shared, public []byte) cryptoki.Mechanism {
	return cryptoki.NewECDH1(cryptoki.CKM_ECDH1_DERIVE, cryptoki.ECDH1Parameters{KDF: kdf, SharedData: shared, PublicData: public})
}

// TestECDHVectors has the first vectors of P-256 and P-521 of NIST's "ECC CDH Primitive",
// that of Wycheproof's for secp256k1, and RFC 7748, 6.1.
func TestECDHVectors(t *testing.T) {
	for _, v := range []struct {
		name                           string
		typ                            cryptoki.KeyType
		params                         []byte
		private, public, point, secret string
	}{
		{"P-256", cryptoki.CKK_EC, oidP256, "7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534", "",
			"04 700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287 db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac",
			"46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b"},
		{"P-521", cryptoki.CKK_EC, oidP521,
			"017eecc07ab4b329068fba65e56a1f8890aa935e57134ae0ffcce802735151f4eac6564f6ee9974c5e6887a1fefee5743ae2241bfeb95d5ce31ddcb6f9edb4d6fc47", "",
			"04 00685a48e86c79f0f0875f7bc18d25eb5fc8c0b07e5da4f4370f3a9490340854334b1e1b87fa395464c60626124a4e70d0f785601d37c09870ebf176666877a2046d" +
				"01ba52c56fc8776d9e8f5db4f0cc27636d0b741bbe05400697942e80b739884a83bde99e0f6716939e632bc8986fa18dccd443a348b6c3e522497955a4f3c302f676",
			"005fc70477c3e63bc3954bd0df3ea0d1f41ee21746ed95fc5e1fdf90930d5e136672d72cc770742d1711c3c3a4c334a0ad9759436a4d3c5bf6e74b9578fac148c831"},
		{"secp256k1", cryptoki.CKK_EC, oidK256, "f4b7ff7cccc98813a69fae3df222bfe3f4e28f764bf91b4a10d8096ce446b254", "",
			"04 d8096af8a11e0b80037e1ee68246b5dcbb0aeb1cf1244fd767db80f3fa27da2b 396812ea1686e7472e9692eaf3e958e50e9500d3b4c77243db1f2acd67ba9cc4",
			"544dfae22af6af939042b1d85b71a1e49e9a5614123c4d6ad0c8af65baf87d65"},
		{"X25519", cryptoki.CKK_EC_MONTGOMERY, oidX25519, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
			"8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
			"de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
			"4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"},
	} {
		t.Run(v.name, func(t *testing.T) {
			template := cryptoki.Template{attribute(cryptoki.CKA_EC_PARAMS, v.params), attribute(cryptoki.CKA_VALUE, unhex(t, v.private))}
			if v.public != "" {
				template = append(template, attribute(cryptoki.CKA_EC_POINT, unhex(t, v.public)))
			}
			base := mustParse(t, cryptoki.CKO_PRIVATE_KEY, v.typ, template)
			bare, secret := unhex(t, v.point), unhex(t, v.secret)
			der := append(appendHeader(nil, tagOctetString, len(bare)), bare...)
			for _, point := range [][]byte{bare, der} {
				m := ecdhMechanism(cryptoki.CKD_NULL, nil, point)
				wantDerived(t, m, base, secret)
				if got, err := derive(m, base, 0); err != nil || !bytes.Equal(got, secret) {
					t.Errorf("natural length: %x, %v", got, err)
				}
				wantDerived(t, m, base, secret[len(secret)-16:]) // the standard cuts the beginning off
				if m.Type = cryptoki.CKM_ECDH1_COFACTOR_DERIVE; v.typ == cryptoki.CKK_EC {
					wantDerived(t, m, base, secret)
				}
			}
			// Another KDF each time makes another key, and the length is free.
			seen := map[string]bool{string(secret[:14]): true}
			for number := range kdfs {
				got, err := derive(ecdhMechanism(number, []byte("shared"), bare), base, 100)
				if err != nil || len(got) != 100 || seen[string(got[:14])] {
					t.Errorf("KDF %d: %x, %v", number, got, err)
					continue
				}
				seen[string(got[:14])] = true
				if short, err := derive(ecdhMechanism(number, []byte("shared"), bare), base, 14); err != nil || !bytes.Equal(short, got[:14]) {
					t.Errorf("KDF %d: a shorter key is %x, %v", number, short, err)
				}
			}
		})
	}
}

// TestKDFVectors has vectors of NIST's "ANSI X9.63-2001" for SHA-256, and the
// concatenation of SP 800-56C, 4.1, as its text says.
func TestKDFVectors(t *testing.T) {
	for _, v := range []struct{ secret, shared, want string }{
		{"96c05619d56c328ab95fe84b18264b08725b85e33fd34f08", "", "443024c3dae66b95e6f5670601558f71"},
		{"22518b10e70f2a3f243810ae3254139efbee04aa57c7af7d", "75eef81aa3041e33b80971203d2c0c52",
			"c498af77161cc59f2962b9a713e2b215152d139766ce34a776df11866a69bf2e52a13d9c7c6fc878c50c5ea0bc7b00e0da2447cfd874f6cf92f30d0097111485" +
				"500c90c3af8b487872d04685d14c8d1dc8d7fa08beb0ce0ababc11f0bd496269142d43525a78e5bc79a17f59676a5706dc54d54d4d1f0bd7e386128ec26afc21"},
	} {
		want := unhex(t, v.want)
		if got := kdfs[cryptoki.CKD_SHA256_KDF].derive(unhex(t, v.secret), unhex(t, v.shared), len(want)); !bytes.Equal(got, want) {
			t.Errorf("X9.63: %x, want %x", got, want)
		}
	}
	secret, shared := []byte("secret"), []byte("shared")
	var want []byte
	for i := range uint32(3) {
		d := sha256.Sum256(slices.Concat(binary.BigEndian.AppendUint32(nil, i+1), secret, shared))
		want = append(want, d[:]...)
	}
	if got := kdfs[cryptoki.CKD_SHA256_KDF_SP800].derive(secret, shared, 70); !bytes.Equal(got, want[:70]) {
		t.Errorf("SP 800-56C: %x, want %x", got, want[:70])
	}
}

// TestECDHRefuses has bad points, which all get one code, and bad parameters.
func TestECDHRefuses(t *testing.T) {
	p256 := p256Pair()
	ec, x := p256.pair(t, cryptoki.CKK_EC), x25519Pair().pair(t, cryptoki.CKK_EC_MONTGOMERY)
	der := value(p256.public, cryptoki.CKA_EC_POINT)
	good := der[2:]
	goodX := value(x25519Pair().public, cryptoki.CKA_EC_POINT)
	other := value(p384Pair().public, cryptoki.CKA_EC_POINT)
	k, goodK := k256Pair().pair(t, cryptoki.CKK_EC), value(k256Pair().public, cryptoki.CKA_EC_POINT)[2:]
	const (
		parameter = cryptoki.CKR_MECHANISM_PARAM_INVALID
		size      = cryptoki.CKR_KEY_SIZE_RANGE
		keyType   = cryptoki.CKR_KEY_TYPE_INCONSISTENT
	)
	null := func(point []byte) cryptoki.Mechanism { return ecdhMechanism(cryptoki.CKD_NULL, nil, point) }
	cofactor := null(good)
	cofactor.Type = cryptoki.CKM_ECDH1_COFACTOR_DERIVE
	for _, c := range []struct {
		name   string
		m      cryptoki.Mechanism
		base   Key
		length int
		code   cryptoki.RV
	}{
		{"good", null(good), ec.private, 32, cryptoki.CKR_OK},
		{"good X25519", null(goodX), x.private, 32, cryptoki.CKR_OK},
		{"no point", null(nil), ec.private, 32, parameter},
		{"infinity", null([]byte{0}), ec.private, 32, parameter},
		{"off the curve", null(flipped(good, 8*40)), ec.private, 32, parameter},
		{"zeros", null(append([]byte{4}, make([]byte, 64)...)), ec.private, 32, parameter},
		{"compressed", null(append([]byte{2}, good[1:33]...)), ec.private, 32, parameter},
		{"hybrid", null(append([]byte{6}, good[1:]...)), ec.private, 32, parameter},
		{"a byte more", null(append(bytes.Clone(good), 0)), ec.private, 32, parameter},
		{"a byte less", null(good[:64]), ec.private, 32, parameter},
		{"another curve", null(other), ec.private, 32, parameter},
		{"wrong DER length", null(flipped(der, 8)), ec.private, 32, parameter},
		{"wrong DER tag", null(flipped(der, 7)), ec.private, 32, parameter},
		{"X25519 zero", null(make([]byte, 32)), x.private, 32, parameter},
		{"X25519 one", null(append([]byte{1}, make([]byte, 31)...)), x.private, 32, parameter},
		{"X25519 small order", null(unhex(t, "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")), x.private, 32, parameter},
		{"X25519 small order with KDF", ecdhMechanism(cryptoki.CKD_SHA256_KDF, nil, make([]byte, 32)), x.private, 32, parameter},
		{"X25519 short", null(make([]byte, 31)), x.private, 32, parameter},
		{"X25519 point of P-256", null(good), x.private, 32, parameter},
		{"P-256 point of X25519", null(goodX), ec.private, 32, parameter},
		{"shared data without KDF", ecdhMechanism(cryptoki.CKD_NULL, []byte{1}, good), ec.private, 32, parameter},
		{"KDF 0", ecdhMechanism(0, nil, good), ec.private, 32, parameter},
		{"X9.42 KDF", ecdhMechanism(cryptoki.CKD_SHA1_KDF_ASN1, nil, good), ec.private, 32, parameter},
		{"another parameter", cryptoki.NewBytes(cryptoki.CKM_ECDH1_DERIVE, good), ec.private, 32, parameter},
		{"good secp256k1", null(goodK), k.private, 32, cryptoki.CKR_OK},
		{"secp256k1 off the curve", null(flipped(goodK, 8*40)), k.private, 32, parameter},
		{"secp256k1 zeros", null(append([]byte{4}, make([]byte, 64)...)), k.private, 32, parameter},
		{"secp256k1 infinity", null([]byte{0}), k.private, 32, parameter},
		{"secp256k1 point of its twist", null(twistK256(t)), k.private, 32, parameter},
		{"secp256k1 compressed", null(append([]byte{2}, goodK[1:33]...)), k.private, 32, parameter},
		{"secp256k1 hybrid", null(append([]byte{6}, goodK[1:]...)), k.private, 32, parameter},
		{"secp256k1 point of P-256", null(good), k.private, 32, parameter},
		{"P-256 point of secp256k1", null(goodK), ec.private, 32, parameter},
		{"public secp256k1 key", null(goodK), k.public, 32, keyType},
		{"longer than the secret", null(good), ec.private, 33, size},
		{"13 bytes", null(good), ec.private, 13, size},
		{"13 bytes of a KDF", ecdhMechanism(cryptoki.CKD_SHA256_KDF, nil, good), ec.private, 13, size},
		{"513 bytes of a KDF", ecdhMechanism(cryptoki.CKD_SHA256_KDF, nil, good), ec.private, 513, size},
		{"public key", null(good), ec.public, 32, keyType},
		{"public X25519 key", null(goodX), x.public, 32, keyType},
		{"AES key", null(good), aesSecret().secret(t, cryptoki.CKK_AES).private, 32, keyType},
		{"Edwards key", null(good), edwardsPair().pair(t, cryptoki.CKK_EC_EDWARDS).private, 32, keyType},
		{"cofactor with X25519", cofactor, x.private, 32, keyType},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := derive(c.m, c.base, c.length)
			wantCode(t, err, c.code)
		})
	}
}

// twistK256 is a point of y² = x³ - 7, the twist of secp256k1.
func twistK256(t *testing.T) []byte {
	t.Helper()
	return unhex(t, "04 8d116ece1738f7d93d9c172411e20b8f6b0d549b6f03675a1600a35a099950d8 7307efaeb20c4e8d2def049fc3f521f3cffd17813eca3f961245f13fdb0fbe97")
}

func TestParseMontgomery(t *testing.T) {
	pair := x25519Pair()
	der := value(pair.public, cryptoki.CKA_EC_POINT)
	const (
		ok      = cryptoki.CKR_OK
		missing = cryptoki.CKR_TEMPLATE_INCOMPLETE
		bad     = cryptoki.CKR_ATTRIBUTE_VALUE_INVALID
	)
	for _, c := range []struct {
		name            string
		attribute       cryptoki.AttributeType
		value           []byte
		public, private cryptoki.RV
	}{
		{"unchanged", cryptoki.CKA_LABEL, nil, ok, ok},
		{"curve by name", cryptoki.CKA_EC_PARAMS, []byte("\x13\x0acurve25519"), ok, ok},
		{"old identifier", cryptoki.CKA_EC_PARAMS, []byte("\x06\x0a\x2b\x06\x01\x04\x01\x97\x55\x01\x05\x01"), ok, ok},
		{"no curve", cryptoki.CKA_EC_PARAMS, nil, missing, missing},
		{"unknown curve", cryptoki.CKA_EC_PARAMS, oidEd25519, cryptoki.CKR_CURVE_NOT_SUPPORTED, cryptoki.CKR_CURVE_NOT_SUPPORTED},
		{"no point", cryptoki.CKA_EC_POINT, nil, missing, ok},
		{"DER point", cryptoki.CKA_EC_POINT, der, ok, ok},
		{"bare point", cryptoki.CKA_EC_POINT, der[2:], ok, ok},
		{"point of another key", cryptoki.CKA_EC_POINT, flipped(der[2:], 9), ok, bad},
		{"point cut short", cryptoki.CKA_EC_POINT, der[3:], bad, bad},
		{"small order", cryptoki.CKA_EC_POINT, make([]byte, 32), bad, bad},
		{"no value", cryptoki.CKA_VALUE, nil, ok, missing},
		{"value of 31 bytes", cryptoki.CKA_VALUE, make([]byte, 31), ok, bad},
		{"value of 33 bytes", cryptoki.CKA_VALUE, make([]byte, 33), ok, bad},
		{"value of zeros", cryptoki.CKA_VALUE, make([]byte, 32), ok, ok},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseKey(cryptoki.CKO_PUBLIC_KEY, cryptoki.CKK_EC_MONTGOMERY, getter(with(pair.public, c.attribute, c.value)))
			wantCode(t, err, c.public)
			_, err = ParseKey(cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_EC_MONTGOMERY, getter(with(pair.private, c.attribute, c.value)))
			wantCode(t, err, c.private)
		})
	}
}

// TestAgree makes the same secret on both sides, on every curve.
func TestAgree(t *testing.T) {
	for _, c := range []struct {
		params []byte
		typ    cryptoki.KeyType
		gen    cryptoki.MechanismType
	}{
		{oidP256, cryptoki.CKK_EC, cryptoki.CKM_EC_KEY_PAIR_GEN},
		{oidP384, cryptoki.CKK_EC, cryptoki.CKM_EC_KEY_PAIR_GEN},
		{oidP521, cryptoki.CKK_EC, cryptoki.CKM_EC_KEY_PAIR_GEN},
		{oidK256, cryptoki.CKK_EC, cryptoki.CKM_EC_KEY_PAIR_GEN},
		{oidX25519, cryptoki.CKK_EC_MONTGOMERY, cryptoki.CKM_EC_MONTGOMERY_KEY_PAIR_GEN},
	} {
		pair := func() fixture {
			return generated(c.gen, cryptoki.Template{attribute(cryptoki.CKA_EC_PARAMS, c.params)})()
		}
		a, b := pair(), pair()
		secret := func(own, other fixture) []byte {
			got, err := derive(ecdhMechanism(cryptoki.CKD_SHA384_KDF, []byte("a"), value(other.public, cryptoki.CKA_EC_POINT)), own.pair(t, c.typ).private, 48)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		if !bytes.Equal(secret(a, b), secret(b, a)) {
			t.Errorf("%x: the sides disagree", c.params)
		}
	}
}
