//go:build !cgo || !linux || !(amd64 || arm64)

package libcrypto

import (
	"crypto"
	"crypto/rsa"
	"errors"
)

var errBuild = errors.New("this program was built without cgo, or for a machine without libcrypto.so.3")

// Load fails.
func Load() error { return errBuild }

// Version is empty.
func Version() string { return "" }

// RSA is a private key that libcrypto holds: there is none.
type RSA struct{}

// NewRSA fails.
func NewRSA(*rsa.PrivateKey) (*RSA, error) { return nil, errBuild }

// SignPKCS1v15 fails.
func (*RSA) SignPKCS1v15(crypto.Hash, []byte) ([]byte, error) { return nil, errBuild }

// SignPSS fails.
func (*RSA) SignPSS([]byte, *rsa.PSSOptions) ([]byte, error) { return nil, errBuild }

// DecryptOAEP fails.
func (*RSA) DecryptOAEP([]byte, *rsa.OAEPOptions) ([]byte, error) { return nil, errBuild }

// Raw fails.
func (*RSA) Raw([]byte) ([]byte, error) { return nil, errBuild }
