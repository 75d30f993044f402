package mech

import (
	"bytes"
	"crypto/rsa"
	"math/big"
	"os"
	"strings"
	"sync"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/libcrypto"
)

// rsaProviders are those of this machine and build.
func rsaProviders(t testing.TB) []string {
	t.Helper()
	if err := libcrypto.Load(); err != nil {
		if os.Getenv("TIDELOCK_RSA") == "libcrypto" {
			t.Fatalf("TIDELOCK_RSA wants libcrypto: %v", err)
		}
		return []string{"go"}
	}
	return []string{"go", "libcrypto"}
}

// rsaPairBy is the RSA key pair with its private half in a provider.
func rsaPairBy(t testing.TB, provider string) keys {
	t.Helper()
	if err := UseRSA(provider); err != nil {
		t.Fatal(err)
	}
	defer UseRSA("go")
	k := rsaPair().pair(t, cryptoki.CKK_RSA)
	if _, ok := k.private.(*rsaKey).private.(*libcrypto.RSA); ok != (provider == "libcrypto") {
		t.Fatalf("the key of provider %q works in a %T", provider, k.private.(*rsaKey).private)
	}
	return k
}

// rsaStandard is the private key of the pair as package rsa has it.
func rsaStandard(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	return rsaPairBy(t, "go").private.(*rsaKey).private.(goRSA).key
}

func TestUseRSA(t *testing.T) {
	defer UseRSA("go")
	providers := rsaProviders(t)
	for _, c := range []struct{ provider, want string }{
		{"", providers[len(providers)-1]},
		{"go", "go"},
		{"libcrypto", "libcrypto"},
		{"openssl", ""},
	} {
		err := UseRSA(c.provider)
		if want := c.want == "" || c.want == "libcrypto" && len(providers) == 1; (err != nil) != want {
			t.Errorf("UseRSA(%q): %v", c.provider, err)
		} else if want {
			continue
		}
		if got := RSAProvider(); c.want == "go" && got != "Go" || c.want == "libcrypto" && !strings.HasPrefix(got, "OpenSSL 3.") {
			t.Errorf("UseRSA(%q): the provider is %q", c.provider, got)
		}
	}
}

// TestProvidersAgree compares what has one right answer, for keys whose numbers
// have unusual lengths too.
func TestProvidersAgree(t *testing.T) {
	if len(rsaProviders(t)) == 1 {
		t.Skip("no libcrypto here")
	}
	for _, bits := range []uint64{2048, 3072, 4096} {
		for range 2 {
			pair := generated(cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN, cryptoki.Template{attribute(cryptoki.CKA_MODULUS_BITS, cryptoki.ULong(bits))})()
			key := func(provider string, template cryptoki.Template) Key {
				UseRSA(provider)
				defer UseRSA("go")
				return mustParse(t, cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_RSA, template)
			}
			// The primes the other way round, and no CRT values: they are computed then.
			swapped := with(pair.private, cryptoki.CKA_PRIME_1, value(pair.private, cryptoki.CKA_PRIME_2))
			swapped = with(swapped, cryptoki.CKA_PRIME_2, value(pair.private, cryptoki.CKA_PRIME_1))
			for _, crt := range []cryptoki.AttributeType{cryptoki.CKA_EXPONENT_1, cryptoki.CKA_EXPONENT_2, cryptoki.CKA_COEFFICIENT} {
				swapped = with(swapped, crt, nil)
			}
			for _, m := range []cryptoki.MechanismType{cryptoki.CKM_RSA_PKCS, cryptoki.CKM_SHA224_RSA_PKCS, cryptoki.CKM_SHA256_RSA_PKCS, cryptoki.CKM_SHA384_RSA_PKCS, cryptoki.CKM_SHA512_RSA_PKCS} {
				want := once(t, Sign, cryptoki.New(m), key("go", pair.private), []byte("data"), nil)
				for _, template := range []cryptoki.Template{pair.private, swapped} {
					if got := once(t, Sign, cryptoki.New(m), key("libcrypto", template), []byte("data"), nil); !bytes.Equal(got, want) {
						t.Errorf("%d bits, %v: %x by libcrypto, %x by Go", bits, m, got, want)
					}
				}
			}
		}
	}
}

// TestManyCallersOfLibcrypto has far more callers than processors on one key.
func TestManyCallersOfLibcrypto(t *testing.T) {
	if len(rsaProviders(t)) == 1 {
		t.Skip("no libcrypto here")
	}
	k := rsaPairBy(t, "libcrypto")
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			op, err := tryStart(Sign, cryptoki.New(cryptoki.CKM_SHA256_RSA_PKCS), k.private)
			if err != nil {
				t.Error(err)
				return
			}
			defer op.Close()
			for range 10 {
				if _, err := op.Once([]byte("data"), nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestSmallExponent has a key with the exponent 3, which libcrypto must take too.
func TestSmallExponent(t *testing.T) {
	if len(rsaProviders(t)) == 1 {
		t.Skip("no libcrypto here")
	}
	std := smallExponent(t)
	for _, by := range rsaProviders(t) {
		UseRSA(by)
		private := providedRSA(std)
		UseRSA("go")
		sig, err := private.SignPSS(make([]byte, 32), &rsa.PSSOptions{SaltLength: 32, Hash: hashFunctions[2].hash})
		if err != nil {
			t.Fatalf("%s: %v", by, err)
		}
		if err := rsa.VerifyPSS(&std.PublicKey, hashFunctions[2].hash, make([]byte, 32), sig, nil); err != nil {
			t.Errorf("%s: %v", by, err)
		}
	}
}

// smallExponent makes another key of the primes of pairs until 3 is an exponent.
func smallExponent(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	one, three := big.NewInt(1), big.NewInt(3)
	for {
		pair := generated(cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN, cryptoki.Template{attribute(cryptoki.CKA_MODULUS_BITS, cryptoki.ULong(uint64(2048)))})()
		key := mustParse(t, cryptoki.CKO_PRIVATE_KEY, cryptoki.CKK_RSA, pair.private).(*rsaKey).private.(goRSA).key
		phi := new(big.Int).Mul(new(big.Int).Sub(key.Primes[0], one), new(big.Int).Sub(key.Primes[1], one))
		if d := new(big.Int).ModInverse(three, phi); d != nil {
			small := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: key.N, E: 3}, D: d, Primes: key.Primes}
			small.Precompute()
			return small
		}
	}
}
