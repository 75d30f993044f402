//go:build cgo && linux && (amd64 || arm64)

package libcrypto

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func testKey(t *testing.T) (*RSA, *rsa.PrivateKey) {
	t.Helper()
	if err := Load(); err != nil {
		t.Skip(err)
	}
	std, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewRSA(std)
	if err != nil {
		t.Fatal(err)
	}
	return key, std
}

// TestWrongSignature makes libcrypto's key another than that the signature is checked with,
// as a fault in the computation would.
func TestWrongSignature(t *testing.T) {
	key, std := testKey(t)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("data"))
	pss := &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}
	for _, c := range []struct {
		public *rsa.PublicKey
		ok     bool
	}{{&std.PublicKey, true}, {&other.PublicKey, false}} {
		key.public = c.public
		for _, sign := range []func() ([]byte, error){
			func() ([]byte, error) { return key.SignPKCS1v15(crypto.SHA256, digest[:]) },
			func() ([]byte, error) { return key.SignPKCS1v15(0, digest[:]) },
			func() ([]byte, error) { return key.SignPSS(digest[:], pss) },
		} {
			sig, err := sign()
			if (err == nil) != c.ok || (sig != nil) != c.ok {
				t.Errorf("right key %v: %d bytes, %v", c.ok, len(sig), err)
			}
			if err != nil && !strings.Contains(err.Error(), "wrong signature") {
				t.Errorf("another error: %v", err)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	key, std := testKey(t)
	digest := sha256.Sum256([]byte("data"))
	for name, sign := range map[string]func() ([]byte, error){
		"hash":         func() ([]byte, error) { return key.SignPKCS1v15(crypto.MD5, digest[:16]) },
		"short digest": func() ([]byte, error) { return key.SignPKCS1v15(crypto.SHA256, digest[:31]) },
		"long input":   func() ([]byte, error) { return key.SignPKCS1v15(0, make([]byte, 246)) },
		"no salt":      func() ([]byte, error) { return key.SignPSS(digest[:], &rsa.PSSOptions{Hash: crypto.SHA256}) },
		"long salt": func() ([]byte, error) {
			return key.SignPSS(digest[:], &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: 223})
		},
		"no hash": func() ([]byte, error) { return key.SignPSS(digest[:], &rsa.PSSOptions{SaltLength: 32}) },
		"OAEP hash": func() ([]byte, error) {
			return key.DecryptOAEP(make([]byte, 256), &rsa.OAEPOptions{Hash: crypto.MD5})
		},
		"OAEP": func() ([]byte, error) {
			return key.DecryptOAEP(make([]byte, 256), &rsa.OAEPOptions{Hash: crypto.SHA256})
		},
		"OAEP length": func() ([]byte, error) {
			return key.DecryptOAEP(make([]byte, 257), &rsa.OAEPOptions{Hash: crypto.SHA256})
		},
		"raw, short":             func() ([]byte, error) { return key.Raw(make([]byte, 255)) },
		"raw, long":              func() ([]byte, error) { return key.Raw(make([]byte, 257)) },
		"raw, not below modulus": func() ([]byte, error) { return key.Raw(std.N.Bytes()) },
	} {
		if out, err := sign(); err == nil || out != nil {
			t.Errorf("%s: %d bytes, %v", name, len(out), err)
		}
	}
	if _, err := NewRSA(&rsa.PrivateKey{PublicKey: std.PublicKey, D: std.D}); err == nil {
		t.Error("a key without primes was taken")
	}
}

// TestFreed drops keys while others work; the cleanup must not meet a key in use.
func TestFreed(t *testing.T) {
	_, std := testKey(t)
	secret := []byte("secret")
	sealed, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &std.PublicKey, secret, []byte("label"))
	if err != nil {
		t.Fatal(err)
	}
	for range 30 {
		key, err := NewRSA(std)
		if err != nil {
			t.Fatal(err)
		}
		got, err := key.DecryptOAEP(sealed, &rsa.OAEPOptions{Hash: crypto.SHA256, Label: []byte("label")})
		if err != nil || !bytes.Equal(got, secret) {
			t.Fatalf("%q, %v", got, err)
		}
		runtime.GC()
	}
}

// TestConfiguration runs TestFreed where openssl.cnf asks for what is not there: it is
// not ours to read.
func TestConfiguration(t *testing.T) {
	testKey(t)
	config := filepath.Join(t.TempDir(), "openssl.cnf")
	if err := os.WriteFile(config, []byte(`config_diagnostics = 1
openssl_conf = all
[all]
alg_section = algorithms
[algorithms]
default_properties = fips=yes
`), 0o600); err != nil {
		t.Fatal(err)
	}
	again := exec.Command(os.Args[0], "-test.run=^TestFreed$")
	again.Env = append(os.Environ(), "OPENSSL_CONF="+config)
	if out, err := again.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
