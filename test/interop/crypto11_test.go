package interop

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"

	"tidelock.dev/tidelock/test/token"
)

// crypto11Token is a fresh token in which crypto11 is logged in. As with load, tests
// that use it do not run in parallel.
func crypto11Token(t *testing.T) *crypto11.Context {
	t.Helper()
	tok := newToken(t)
	for _, variable := range tok.Env {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	c, err := crypto11.Configure(&crypto11.Config{Path: tok.Module, TokenLabel: token.Label, Pin: token.PIN})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestCrypto11RSA signs and decrypts with a key that is found again by its label.
// SoftHSM 2.6 fails: its OAEP knows SHA-1 and no label.
func TestCrypto11RSA(t *testing.T) {
	c := crypto11Token(t)
	if _, err := c.GenerateRSAKeyPairWithLabel([]byte{1}, []byte("rsa"), 2048); err != nil {
		t.Fatal(err)
	}
	key, err := c.FindRSAKeyPair(nil, []byte("rsa"))
	if err != nil {
		t.Fatal(err)
	}
	public := key.Public().(*rsa.PublicKey)
	for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		digest, other := sum(hash, "message"), sum(hash, "another")
		signature, err := key.Sign(rand.Reader, digest, hash)
		if err != nil {
			t.Fatalf("%v: %v", hash, err)
		}
		if err := rsa.VerifyPKCS1v15(public, hash, digest, signature); err != nil {
			t.Errorf("%v: %v", hash, err)
		}
		if rsa.VerifyPKCS1v15(public, hash, other, signature) == nil {
			t.Errorf("%v: the signature is one of another message too", hash)
		}
		options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
		signature, err = key.Sign(rand.Reader, digest, options)
		if err != nil {
			t.Fatalf("PSS with %v: %v", hash, err)
		}
		if err := rsa.VerifyPSS(public, hash, digest, signature, options); err != nil {
			t.Errorf("PSS with %v: %v", hash, err)
		}
	}
	for _, label := range []string{"", "label"} {
		encrypted, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public, []byte("message"), []byte(label))
		if err != nil {
			t.Fatal(err)
		}
		message, err := key.Decrypt(rand.Reader, encrypted, &rsa.OAEPOptions{Hash: crypto.SHA256, Label: []byte(label)})
		if err != nil || string(message) != "message" {
			t.Errorf("OAEP with label %q: %q, %v", label, message, err)
		}
		if _, err := key.Decrypt(rand.Reader, encrypted, &rsa.OAEPOptions{Hash: crypto.SHA256, Label: []byte("other")}); err == nil {
			t.Errorf("OAEP with label %q decrypts with another", label)
		}
	}
}

// TestCrypto11ECDSA signs with every curve that crypto11 and the token have.
func TestCrypto11ECDSA(t *testing.T) {
	c := crypto11Token(t)
	digest := sum(crypto.SHA256, "message")
	for i, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		key, err := c.GenerateECDSAKeyPair([]byte{byte(i)}, curve)
		if err != nil {
			t.Fatalf("%s: %v", curve.Params().Name, err)
		}
		signature, err := key.Sign(rand.Reader, digest, crypto.SHA256)
		if err != nil {
			t.Fatalf("%s: %v", curve.Params().Name, err)
		}
		if !ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), digest, signature) {
			t.Errorf("%s: the signature does not verify", curve.Params().Name)
		}
		if err := key.Delete(); err != nil {
			t.Errorf("%s: %v", curve.Params().Name, err)
		}
	}
	if keys, err := c.FindAllKeyPairs(); err != nil || len(keys) != 0 {
		t.Errorf("%d keys are left, %v", len(keys), err)
	}
}

// TestCrypto11AES compares the token's GCM and CBC with Go's own.
func TestCrypto11AES(t *testing.T) {
	c := crypto11Token(t)
	for _, bits := range []int{128, 192, 256} {
		key, value := readableKey(t, c, bits, crypto11.CipherAES)
		block, err := aes.NewCipher(value)
		if err != nil {
			t.Fatal(err)
		}
		inside, err := key.NewGCM()
		if err != nil {
			t.Fatal(err)
		}
		outside, err := cipher.NewGCM(block)
		if err != nil {
			t.Fatal(err)
		}
		plain, nonce, header := bytes.Repeat([]byte("tide"), 30), make([]byte, 12), []byte("header")
		sealed := inside.Seal(nil, nonce, plain, header)
		if !bytes.Equal(sealed, outside.Seal(nil, nonce, plain, header)) {
			t.Errorf("%d bits: GCM inside and outside differ", bits)
		}
		if opened, err := inside.Open(nil, nonce, sealed, header); err != nil || !bytes.Equal(opened, plain) {
			t.Errorf("%d bits: %x, %v", bits, opened, err)
		}
		sealed[7] ^= 1
		if _, err := inside.Open(nil, nonce, sealed, header); err == nil {
			t.Errorf("%d bits: what was altered opens", bits)
		}

		iv := []byte("sixteen bytes iv")
		encrypter, err := key.NewCBCEncrypterCloser(iv)
		if err != nil {
			t.Fatal(err)
		}
		got, want := make([]byte, 112), make([]byte, 112)
		encrypter.CryptBlocks(got[:64], plain[:64])
		encrypter.CryptBlocks(got[64:], plain[64:112])
		encrypter.Close()
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(want, plain[:112])
		if !bytes.Equal(got, want) {
			t.Errorf("%d bits: CBC inside and outside differ", bits)
		}
	}
}

// TestCrypto11HMAC compares a MAC in several parts with Go's own. crypto11's ciphers for
// keys of one hash alone (CipherHMACSHA256, ...) ask for a mechanism of nShield's first,
// and take no CKR_MECHANISM_INVALID for an answer. A MAC has a session until its Sum.
func TestCrypto11HMAC(t *testing.T) {
	c := crypto11Token(t)
	key, value := readableKey(t, c, 512, crypto11.CipherGeneric)
	for hash, mechanism := range map[crypto.Hash]int{
		crypto.SHA1: pkcs11.CKM_SHA_1_HMAC, crypto.SHA256: pkcs11.CKM_SHA256_HMAC, crypto.SHA512: pkcs11.CKM_SHA512_HMAC,
	} {
		inside, err := key.NewHMAC(mechanism, 0)
		if err != nil {
			t.Fatalf("%v: %v", hash, err)
		}
		outside := hmac.New(hash.New, value)
		for round := range 2 {
			if round > 0 {
				inside.Reset()
				outside.Reset()
			}
			for _, part := range []string{"a part", "", strings.Repeat("another", 10_000)} {
				if _, err := inside.Write([]byte(part)); err != nil {
					t.Fatalf("%v: %v", hash, err)
				}
				outside.Write([]byte(part))
			}
			if got, want := inside.Sum(nil), outside.Sum(nil); !bytes.Equal(got, want) {
				t.Errorf("%v: %x, not %x", hash, got, want)
			}
		}
	}
}

// TestCrypto11TLS has a CA in the token issue certificates for keys in the token, keeps
// them there, and serves TLS with what it finds.
func TestCrypto11TLS(t *testing.T) {
	c := crypto11Token(t)
	ca, err := c.GenerateECDSAKeyPairWithLabel([]byte("ca"), []byte("ca"), elliptic.P384())
	if err != nil {
		t.Fatal(err)
	}
	root := issue(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, ca, ca)
	rsaKey, err := c.GenerateRSAKeyPairWithLabel([]byte("RSA"), []byte("RSA"), 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := c.GenerateECDSAKeyPairWithLabel([]byte("EC"), []byte("EC"), elliptic.P256())
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range []crypto11.Signer{rsaKey, ecKey} {
		name := []string{"RSA", "EC"}[i]
		leaf := issue(t, &x509.Certificate{SerialNumber: big.NewInt(int64(i) + 2), DNSNames: []string{"server"}}, root, key, ca)
		if err := c.ImportCertificateWithLabel([]byte(name), []byte(name), leaf); err != nil {
			t.Fatal(err)
		}
		for what, find := range map[string]func() (*x509.Certificate, error){
			"label":  func() (*x509.Certificate, error) { return c.FindCertificate(nil, []byte(name), nil) },
			"serial": func() (*x509.Certificate, error) { return c.FindCertificate(nil, nil, leaf.SerialNumber) },
		} {
			if found, err := find(); err != nil || found == nil || !found.Equal(leaf) {
				t.Errorf("%s: the certificate is not found by its %s: %v", name, what, err)
			}
		}
	}
	certificates, err := c.FindAllPairedCertificates()
	if err != nil || len(certificates) != 2 {
		t.Fatalf("%d certificates with keys, not 2: %v", len(certificates), err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	for _, certificate := range certificates {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			err := handshake(&tls.Config{Certificates: []tls.Certificate{certificate}},
				&tls.Config{RootCAs: roots, ServerName: "server", MinVersion: version, MaxVersion: version})
			if err != nil {
				t.Errorf("%s, %T: %v", tls.VersionName(version), certificate.Leaf.PublicKey, err)
			}
		}
	}
}

// TestCrypto11Threads has 32 goroutines share keys, by sessions that crypto11 hands out.
func TestCrypto11Threads(t *testing.T) {
	c := crypto11Token(t)
	rsaKey, err := c.GenerateRSAKeyPair([]byte{1}, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := c.GenerateECDSAKeyPair([]byte{2}, elliptic.P256())
	if err != nil {
		t.Fatal(err)
	}
	aesKey, err := c.GenerateSecretKey([]byte{3}, 256, crypto11.CipherAES)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := aesKey.NewGCM()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for worker := range 32 {
		wg.Go(func() {
			for i := range 10 {
				text := fmt.Sprintf("message %d of %d", i, worker)
				digest := sum(crypto.SHA256, text)
				signature, err := ecKey.Sign(rand.Reader, digest, crypto.SHA256)
				if err != nil || !ecdsa.VerifyASN1(ecKey.Public().(*ecdsa.PublicKey), digest, signature) {
					t.Errorf("%s: ECDSA signature %x, %v", text, signature, err)
				}
				signature, err = rsaKey.Sign(rand.Reader, digest, crypto.SHA256)
				if err != nil || rsa.VerifyPKCS1v15(rsaKey.Public().(*rsa.PublicKey), crypto.SHA256, digest, signature) != nil {
					t.Errorf("%s: RSA signature %x, %v", text, signature, err)
				}
				nonce := append(make([]byte, 10), byte(worker), byte(i))
				opened, err := gcm.Open(nil, nonce, gcm.Seal(nil, nonce, []byte(text), nil), nil)
				if err != nil || string(opened) != text {
					t.Errorf("%s: GCM: %q, %v", text, opened, err)
				}
			}
		})
	}
	wg.Wait()
}

// readableKey makes a key and reads its value.
func readableKey(t *testing.T, c *crypto11.Context, bits int, cipher *crypto11.SymmetricCipher) (*crypto11.SecretKey, []byte) {
	t.Helper()
	template := crypto11.NewAttributeSet()
	for attribute, value := range map[crypto11.AttributeType]any{
		crypto11.CkaId: []byte{byte(bits / 8)}, crypto11.CkaSensitive: false, crypto11.CkaExtractable: true,
	} {
		if err := template.Set(attribute, value); err != nil {
			t.Fatal(err)
		}
	}
	key, err := c.GenerateSecretKeyWithAttributes(template, bits, cipher)
	if err != nil {
		t.Fatalf("%d bits: %v", bits, err)
	}
	value, err := c.GetAttribute(key, crypto11.CkaValue)
	if err != nil {
		t.Fatalf("%d bits: %v", bits, err)
	}
	return key, value.Value
}

func sum(hash crypto.Hash, text string) []byte {
	h := hash.New()
	h.Write([]byte(text))
	return h.Sum(nil)
}

// issue makes a certificate for the public half of key; without a parent it signs itself.
func issue(t *testing.T, template, parent *x509.Certificate, key, ca crypto.Signer) *x509.Certificate {
	t.Helper()
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), ca)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// handshake connects a client with a server and sends a byte each way.
func handshake(server, client *tls.Config) error {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	served := make(chan error, 1)
	go func() {
		conn := tls.Server(a, server)
		buffer := make([]byte, 1)
		_, err := conn.Read(buffer)
		if err == nil {
			_, err = conn.Write(buffer)
		}
		if err != nil {
			a.Close()
		}
		served <- err
	}()
	conn := tls.Client(b, client)
	buffer := []byte{'x'}
	_, err := conn.Write(buffer)
	if err == nil {
		_, err = conn.Read(buffer)
	}
	if err != nil {
		b.Close()
		return fmt.Errorf("client: %w, server: %v", err, <-served)
	}
	return <-served
}
