package mech

import (
	"crypto/cipher"
	"crypto/subtle"
	"errors"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
)

// The bounds of a CK_GCM_PARAMS.
const (
	gcmMaxIV      = 256 // bytes; PKCS#11 3.2, CK_GCM_PARAMS
	gcmUsualIV    = 12  // bytes; the length that SP 800-38D, 5.2.1.1, recommends
	gcmMinTagBits = 96
	gcmMaxTagBits = 128
)

// aesGCM is AES-GCM (SP 800-38D; PKCS#11 3.2, "Additional AES mechanisms"). The
// tag follows the ciphertext. It has 96 to 128 bits: the 32 and 64 of SP 800-38D, appendix C, are
// safe only under limits on the use of the key that nobody here counts. Parts are
// collected, up to 16 MiB, so that no plaintext leaves before its tag is checked.
//
// An encryption under the IV of the caller is not an approved service (IG C.H,
// scenario 2 wants it from the module); decryption is. Messages may leave the IV to the
// module (gcmmessage.go).
var aesGCM = []Mechanism{
	messages(cipherAndWrap(Mechanism{
		Type:      cryptoki.CKM_AES_GCM,
		Flags:     cryptoki.CKF_ENCRYPT | cryptoki.CKF_DECRYPT,
		KeyTypes:  []cryptoki.KeyType{cryptoki.CKK_AES},
		MinKey:    minAES,
		MaxKey:    maxAES,
		Shape:     cryptoki.ShapeGCM,
		MultiPart: true,
		Collects:  true,
		Approved:  true,
	}, startGCM), messageGCM, beginGCM),
}

func startGCM(f Function, p *cryptoki.Mechanism, key *aesKey) (Operation, error) {
	params, err := p.GCM()
	if err != nil {
		return nil, err
	}
	if err := checkGCM(params.IV, params.TagBits); err != nil {
		return nil, err
	}
	aead, err := key.aead(len(params.IV), int(params.TagBits/8))
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "preparing GCM: %w", err)
	}
	both := slices.Concat(params.IV, params.AAD)
	return &gcm{
		aead:    aead,
		decrypt: f == Decrypt,
		iv:      both[:len(params.IV)],
		aad:     both[len(params.IV):],
	}, nil
}

// checkGCM checks the lengths of an IV and a tag. Error: CKR_MECHANISM_PARAM_INVALID.
func checkGCM(iv []byte, tagBits uint64) error {
	if len(iv) == 0 || len(iv) > gcmMaxIV {
		return badParameter("IV of %d bytes where 1 to %d are possible", len(iv), gcmMaxIV)
	}
	if tagBits < gcmMinTagBits || tagBits > gcmMaxTagBits || tagBits%8 != 0 {
		return badParameter("tag of %d bits where %d to %d in whole bytes are possible", tagBits, gcmMinTagBits, gcmMaxTagBits)
	}
	return nil
}

// aead returns GCM for an IV and a tag of these lengths in bytes.
func (k *aesKey) aead(iv, tag int) (cipher.AEAD, error) {
	switch {
	case iv == gcmUsualIV && tag == gcmMaxTagBits/8:
		return k.gcm, nil
	case iv == gcmUsualIV:
		return cipher.NewGCMWithTagSize(k.block, tag)
	}
	full, err := cipher.NewGCMWithNonceSize(k.block, iv)
	if err != nil || tag == gcmMaxTagBits/8 {
		return full, err
	}
	return &truncatedGCM{full, tag}, nil
}

// gcm is an encryption or decryption with AES-GCM.
type gcm struct {
	aead    cipher.AEAD
	decrypt bool
	iv, aad []byte
	parts   buffer
}

func (g *gcm) Rule() Rule {
	if g.decrypt {
		return Rule{RuleShorter, uint64(g.aead.Overhead())}
	}
	return Rule{RuleLonger, uint64(g.aead.Overhead())}
}

func (g *gcm) Once(data, _ []byte) ([]byte, error) {
	if !g.decrypt {
		out := make([]byte, 0, len(data)+g.aead.Overhead())
		return g.aead.Seal(out, g.iv, data, g.aad), nil
	}
	if len(data) < g.aead.Overhead() {
		return nil, cryptoki.Errorf(cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE, "%d bytes of data where the tag alone has %d", len(data), g.aead.Overhead())
	}
	out, err := g.aead.Open(make([]byte, 0, len(data)-g.aead.Overhead()), g.iv, data, g.aad)
	if err != nil {
		return nil, errDecryption
	}
	return out, nil
}

func (g *gcm) Update(part []byte) ([]byte, error) {
	if g.decrypt {
		return nil, g.parts.add(part, cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE)
	}
	return nil, g.parts.add(part, cryptoki.CKR_DATA_LEN_RANGE)
}

func (g *gcm) UpdateLength(int) int { return 0 }

func (g *gcm) Final([]byte) ([]byte, error) { return g.Once(g.parts.bytes, nil) }

func (g *gcm) Close() { g.parts.wipe() }

// truncatedGCM is GCM with an IV of an unusual length and a shortened tag, which
// package cipher has only one at a time.
type truncatedGCM struct {
	full cipher.AEAD
	tag  int // bytes
}

var errTag = errors.New("wrong tag")

func (t *truncatedGCM) NonceSize() int { return t.full.NonceSize() }
func (t *truncatedGCM) Overhead() int  { return t.tag }

func (t *truncatedGCM) Seal(dst, nonce, plaintext, aad []byte) []byte {
	out := t.full.Seal(dst, nonce, plaintext, aad)
	return out[:len(out)-t.full.Overhead()+t.tag]
}

// Open needs the full tag to compare with, so it encrypts twice: GCM encrypts by
// adding a key stream, thus encrypting the ciphertext gives the plaintext, and
// encrypting that gives the ciphertext again, with the tag.
func (t *truncatedGCM) Open(dst, nonce, ciphertext, aad []byte) ([]byte, error) {
	n := len(ciphertext) - t.tag
	if n < 0 {
		return nil, errTag
	}
	plaintext := t.full.Seal(nil, nonce, ciphertext[:n], nil)[:n]
	tag := t.full.Seal(nil, nonce, plaintext, aad)[n : n+t.tag]
	if subtle.ConstantTimeCompare(tag, ciphertext[n:]) != 1 {
		clear(plaintext)
		return nil, errTag
	}
	return append(dst, plaintext...), nil
}
