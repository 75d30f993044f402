package mech

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"sync/atomic"

	"tidelock.dev/tidelock/internal/libcrypto"
)

// rsaPrivate is the private half of an RSA key: all that works with it.
type rsaPrivate interface {
	// SignPKCS1v15 signs a digest, or a DigestInfo made by the caller where hash is 0.
	SignPKCS1v15(hash crypto.Hash, digest []byte) ([]byte, error)
	// SignPSS signs a digest with a salt of the length that the options give.
	SignPSS(digest []byte, options *rsa.PSSOptions) ([]byte, error)
	// DecryptOAEP decrypts. Its errors must not tell one failure from another.
	DecryptOAEP(ciphertext []byte, options *rsa.OAEPOptions) ([]byte, error)
	// Raw is the operation alone, RSADP (RFC 8017, 5.1.2): input is as long as the
	// modulus, and so is the output, which the caller checks.
	Raw(input []byte) ([]byte, error)
}

// inLibcrypto says that private keys parsed from now on work in libcrypto.
var inLibcrypto atomic.Bool

// UseRSA chooses what private RSA keys parsed from now on work in: "go", which is
// Go's FIPS 140-3 module and the state at the start, "libcrypto", or "" for libcrypto
// where it can be loaded and Go otherwise.
func UseRSA(provider string) error {
	switch provider {
	case "", "libcrypto":
		err := libcrypto.Load()
		inLibcrypto.Store(err == nil)
		if err != nil && provider != "" {
			return fmt.Errorf("loading libcrypto for RSA: %w", err)
		}
	case "go":
		inLibcrypto.Store(false)
	default:
		return fmt.Errorf("RSA by %q: it must be go or libcrypto", provider)
	}
	return nil
}

// RSAProvider says what private RSA keys work in: "Go", or libcrypto's name and
// version, which is not part of the FIPS 140-3 module.
func RSAProvider() string {
	if inLibcrypto.Load() {
		return libcrypto.Version()
	}
	return "Go"
}

// providedRSA gives a valid key to the provider. A key that libcrypto does not take
// works in Go.
func providedRSA(key *rsa.PrivateKey) rsaPrivate {
	if inLibcrypto.Load() {
		if k, err := libcrypto.NewRSA(key); err == nil {
			return k
		}
	}
	return goRSA{key}
}

// goRSA is a private key that works in Go's FIPS 140-3 module.
type goRSA struct{ key *rsa.PrivateKey }

func (k goRSA) SignPKCS1v15(hash crypto.Hash, digest []byte) ([]byte, error) {
	return rsa.SignPKCS1v15(nil, k.key, hash, digest)
}

func (k goRSA) SignPSS(digest []byte, options *rsa.PSSOptions) ([]byte, error) {
	return rsa.SignPSS(rand.Reader, k.key, options.Hash, digest, options)
}

func (k goRSA) DecryptOAEP(ciphertext []byte, options *rsa.OAEPOptions) ([]byte, error) {
	return k.key.Decrypt(nil, ciphertext, options)
}

func (k goRSA) Raw(input []byte) ([]byte, error) { return rawRSA(k.key, input) }
