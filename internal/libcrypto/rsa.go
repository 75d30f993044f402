//go:build cgo && linux && (amd64 || arm64)

package libcrypto

/*
#cgo LDFLAGS: -ldl
#cgo noescape tl_rsa_sign
#cgo nocallback tl_rsa_sign
#cgo noescape tl_rsa_decrypt
#cgo nocallback tl_rsa_decrypt
#include "libcrypto.h"
*/
import "C"

import (
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"slices"
	"sync"
	"unsafe"
)

// Load finds the library, once; later calls answer as the first did. Before it
// nothing else here may be used.
var Load = sync.OnceValue(func() error {
	if why := C.tl_load(); why != nil {
		return errors.New(C.GoString(why))
	}
	processors = make(chan struct{}, runtime.GOMAXPROCS(0))
	return nil
})

// processors holds a value for each call that is in the library. The runtime gives a
// thread to every call into C that lasts: without a bound a thousand callers would
// be a thousand threads that share the processors badly.
var processors chan struct{}

// Version is the library's name and version, as it tells it.
func Version() string { return C.GoString(C.tl_version()) }

// hashes are libcrypto's names of the hash functions.
var hashes = map[crypto.Hash]*C.char{
	0:             nil,
	crypto.SHA1:   C.CString("SHA1"),
	crypto.SHA224: C.CString("SHA2-224"),
	crypto.SHA256: C.CString("SHA2-256"),
	crypto.SHA384: C.CString("SHA2-384"),
	crypto.SHA512: C.CString("SHA2-512"),

	crypto.SHA3_224: C.CString("SHA3-224"),
	crypto.SHA3_256: C.CString("SHA3-256"),
	crypto.SHA3_384: C.CString("SHA3-384"),
	crypto.SHA3_512: C.CString("SHA3-512"),
}

// RSA is a private key that libcrypto holds. It is cleansed and freed when the
// garbage collector finds that nobody has it any more.
type RSA struct {
	public *rsa.PublicKey
	key    unsafe.Pointer // EVP_PKEY
}

// NewRSA gives a key of two primes, with its precomputed values, to libcrypto. It
// keeps the public half of key and nothing of the private one.
func NewRSA(key *rsa.PrivateKey) (*RSA, error) {
	if len(key.Primes) != 2 || key.Precomputed.Qinv == nil {
		return nil, errors.New("an RSA key of two primes with its precomputed values is needed")
	}
	var numbers [8]C.struct_tl_number
	var pins runtime.Pinner
	defer pins.Unpin()
	for i, n := range []*big.Int{
		key.N, big.NewInt(int64(key.E)), key.D, key.Primes[0], key.Primes[1],
		key.Precomputed.Dp, key.Precomputed.Dq, key.Precomputed.Qinv,
	} {
		b := n.FillBytes(make([]byte, max(1, (n.BitLen()+7)/8)))
		defer clear(b)
		slices.Reverse(b) // both processors are little-endian
		pins.Pin(&b[0])
		numbers[i] = C.struct_tl_number{bytes: unsafe.Pointer(&b[0]), length: C.size_t(len(b))}
	}
	p := C.tl_rsa_new(&numbers[0])
	if p == nil {
		return nil, errors.New("libcrypto does not take this RSA key")
	}
	k := &RSA{&rsa.PublicKey{N: key.N, E: key.E}, p}
	runtime.AddCleanup(k, func(p unsafe.Pointer) { C.tl_rsa_free(p) }, p)
	return k, nil
}

var errFailed = errors.New("libcrypto failed")

// SignPKCS1v15 is RSASSA-PKCS1-v1_5 of a digest, or of a DigestInfo where hash is 0.
func (k *RSA) SignPKCS1v15(hash crypto.Hash, digest []byte) ([]byte, error) {
	sig, err := k.sign(hash, 0, digest)
	if err != nil {
		return nil, err
	}
	if err := rsa.VerifyPKCS1v15(k.public, hash, digest, sig); err != nil {
		return nil, wrong(err)
	}
	return sig, nil
}

// SignPSS is RSASSA-PSS of a digest with a salt of options.SaltLength bytes, above
// 0, and MGF1 with the hash of the digest.
func (k *RSA) SignPSS(digest []byte, options *rsa.PSSOptions) ([]byte, error) {
	if options.Hash == 0 || options.SaltLength <= 0 {
		return nil, fmt.Errorf("PSS with hash function %v and a salt of %d bytes", options.Hash, options.SaltLength)
	}
	sig, err := k.sign(options.Hash, options.SaltLength, digest)
	if err != nil {
		return nil, err
	}
	if err := rsa.VerifyPSS(k.public, options.Hash, digest, sig, options); err != nil {
		return nil, wrong(err)
	}
	return sig, nil
}

// wrong is the error for a signature that its own key refuses. It must not leave:
// one that was computed wrong modulo one prime gives the other away.
func wrong(err error) error { return fmt.Errorf("libcrypto computed a wrong signature: %w", err) }

func (k *RSA) sign(hash crypto.Hash, salt int, digest []byte) ([]byte, error) {
	name, ok := hashes[hash]
	if !ok {
		return nil, fmt.Errorf("no hash function %v", hash)
	}
	out := make([]byte, k.public.Size())
	n := C.size_t(len(out))
	processors <- struct{}{}
	done := C.tl_rsa_sign(k.key, name, C.int(salt), first(digest), C.size_t(len(digest)), first(out), &n)
	<-processors
	runtime.KeepAlive(k)
	if done != 1 || int(n) != len(out) {
		return nil, errFailed
	}
	return out, nil
}

// DecryptOAEP is the decryption of RSAES-OAEP. All failures are one error.
func (k *RSA) DecryptOAEP(ciphertext []byte, options *rsa.OAEPOptions) ([]byte, error) {
	mask := options.MGFHash
	if mask == 0 {
		mask = options.Hash
	}
	hash, mgf := hashes[options.Hash], hashes[mask]
	if hash == nil || mgf == nil {
		return nil, fmt.Errorf("no hash function %v or %v", options.Hash, mask)
	}
	return k.decrypt(hash, mgf, options.Label, ciphertext)
}

// Raw is the operation without padding, on a number below the modulus and as long. Its
// caller must check the result with the public key: a wrong one gives a prime away.
func (k *RSA) Raw(input []byte) ([]byte, error) {
	if len(input) != k.public.Size() {
		return nil, errFailed
	}
	return k.decrypt(nil, nil, nil, input)
}

func (k *RSA) decrypt(hash, mgf *C.char, label, ciphertext []byte) ([]byte, error) {
	out := make([]byte, k.public.Size())
	n := C.size_t(len(out))
	processors <- struct{}{}
	done := C.tl_rsa_decrypt(k.key, hash, mgf, first(label), C.size_t(len(label)),
		first(ciphertext), C.size_t(len(ciphertext)), first(out), &n)
	<-processors
	runtime.KeepAlive(k)
	if done != 1 {
		clear(out)
		return nil, errFailed
	}
	return out[:n], nil
}

func first(b []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(b)) }
