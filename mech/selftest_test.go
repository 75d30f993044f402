package mech

import (
	"strings"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// Each known answer is the one that is computed; another one, and another key, are
// noticed.
func TestSelfTests(t *testing.T) {
	for _, s := range SelfTests {
		if err := s.Run(); err != nil {
			t.Error(err)
		}
		if s.want != "" {
			wrong := s
			wrong.want = changed(s.want)
			if err := wrong.Run(); err == nil || !strings.HasPrefix(err.Error(), s.Name+": ") {
				t.Errorf("%s: a wrong answer gives %v", s.Name, err)
			}
		}
		if s.key != "" && s.want != "" {
			wrong := s
			wrong.key = changed(s.key)
			if wrong.Run() == nil {
				t.Errorf("%s: a wrong key passes", s.Name)
			}
		}
	}
	unknown := SelfTest{Name: "none", m: cryptoki.New(cryptoki.CKM_VENDOR_DEFINED)}
	if unknown.Run() == nil {
		t.Error("a mechanism that is not there passes")
	}
}

// changed is another string of hexadecimal digits, which differs in the last byte but one.
func changed(digits string) string {
	i, c := len(digits)-3, "0"
	if digits[i:i+1] == c {
		c = "1"
	}
	return digits[:i] + c + digits[i+1:]
}

// All that keys are used or made with has a known answer: of each family one.
func TestSelfTestsCover(t *testing.T) {
	have := map[cryptoki.MechanismType]bool{}
	for _, s := range SelfTests {
		have[s.m.Type] = true
	}
	for _, m := range []cryptoki.MechanismType{
		cryptoki.CKM_SHA256, cryptoki.CKM_SHA3_256, cryptoki.CKM_SHA256_HMAC, cryptoki.CKM_AES_CBC_PAD, cryptoki.CKM_AES_GCM,
		cryptoki.CKM_AES_KEY_WRAP, cryptoki.CKM_AES_CMAC, cryptoki.CKM_SHA256_RSA_PKCS, cryptoki.CKM_ECDSA_SHA256, cryptoki.CKM_EDDSA,
		cryptoki.CKM_ECDH1_DERIVE, cryptoki.CKM_HKDF_DERIVE, cryptoki.CKM_SP800_108_COUNTER_KDF,
	} {
		if !have[m] {
			t.Errorf("%v has no self-test", m)
		}
	}
}

func BenchmarkSelfTests(b *testing.B) {
	for b.Loop() {
		for _, s := range SelfTests {
			if err := s.Run(); err != nil {
				b.Fatal(err)
			}
		}
	}
}
