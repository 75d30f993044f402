package mech

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"

	"tidelock.dev/tidelock/cryptoki"
)

// aesCBC is AES-CBC with PKCS #7 padding (SP 800-38A, 6.2; PKCS#11 3.2, "AES"). The
// parameter is an IV of 16 bytes.
var aesCBC = []Mechanism{
	cipherAndWrap(Mechanism{
		Type:      cryptoki.CKM_AES_CBC_PAD,
		Flags:     cryptoki.CKF_ENCRYPT | cryptoki.CKF_DECRYPT,
		KeyTypes:  []cryptoki.KeyType{cryptoki.CKK_AES},
		MinKey:    minAES,
		MaxKey:    maxAES,
		Shape:     cryptoki.ShapeBytes,
		MultiPart: true,
		Approved:  true,
	}, startCBC),
}

func startCBC(f Function, p *cryptoki.Mechanism, key *aesKey) (Operation, error) {
	iv, err := blockIV(p)
	if err != nil {
		return nil, err
	}
	state := cbcState{block: key.block, iv: iv}
	if f == Decrypt {
		return &cbcDecrypt{state}, nil
	}
	return &cbcEncrypt{state}, nil
}

// blockIV reads the parameter of CBC.
func blockIV(p *cryptoki.Mechanism) (iv [aes.BlockSize]byte, err error) {
	b, err := p.Bytes()
	if err != nil {
		return iv, err
	}
	if len(b) != aes.BlockSize {
		return iv, badParameter("IV of %d bytes where %d are wanted", len(b), aes.BlockSize)
	}
	return [aes.BlockSize]byte(b), nil
}

// cbcState is what both directions keep between parts: encryption holds an
// incomplete block, decryption also a complete one, as long as it may be the last,
// which holds the padding.
type cbcState struct {
	block cipher.Block
	// iv is the block that the next one is chained to.
	iv [aes.BlockSize]byte
	carry
}

// cbcEncrypt is an encryption with AES-CBC and padding.
type cbcEncrypt struct{ cbcState }

func (c *cbcEncrypt) Rule() Rule { return Rule{RulePadded, aes.BlockSize} }

func (c *cbcEncrypt) Once(data, _ []byte) ([]byte, error) {
	padding := aes.BlockSize - len(data)%aes.BlockSize
	out := make([]byte, len(data)+padding)
	for i := range padding {
		out[len(data)+i] = byte(padding)
	}
	copy(out, data)
	cipher.NewCBCEncrypter(c.block, c.iv[:]).CryptBlocks(out, out)
	return out, nil
}

func (c *cbcEncrypt) Update(part []byte) ([]byte, error) {
	out := c.take(c.UpdateLength(len(part)), part)
	if len(out) > 0 {
		cipher.NewCBCEncrypter(c.block, c.iv[:]).CryptBlocks(out, out)
		copy(c.iv[:], out[len(out)-aes.BlockSize:])
	}
	return out, nil
}

func (c *cbcEncrypt) UpdateLength(n int) int { return c.complete(n) }

func (c *cbcEncrypt) Final([]byte) ([]byte, error) { return c.Once(c.held[:c.n], nil) }

// cbcDecrypt is a decryption with AES-CBC and padding. Wrong padding gets the one
// answer of all changed data, in a time that does not depend on the padding. A
// caller who lets others see that answer still is a padding oracle; CKM_AES_GCM is
// not.
type cbcDecrypt struct{ cbcState }

func (c *cbcDecrypt) Rule() Rule { return Rule{RuleUnpadded, aes.BlockSize} }

func (c *cbcDecrypt) Once(data, _ []byte) ([]byte, error) {
	if len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, cryptoki.Errorf(cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE, "%d bytes of data, not a multiple of %d above 0", len(data), aes.BlockSize)
	}
	out := make([]byte, len(data))
	cipher.NewCBCDecrypter(c.block, c.iv[:]).CryptBlocks(out, data)
	padding, ok := paddingLength([aes.BlockSize]byte(out[len(out)-aes.BlockSize:]))
	if !ok {
		clear(out)
		return nil, errDecryption
	}
	return out[:len(out)-padding], nil
}

func (c *cbcDecrypt) Update(part []byte) ([]byte, error) {
	out := c.take(c.UpdateLength(len(part)), part)
	if len(out) > 0 {
		next := [aes.BlockSize]byte(out[len(out)-aes.BlockSize:])
		cipher.NewCBCDecrypter(c.block, c.iv[:]).CryptBlocks(out, out)
		c.iv = next
	}
	return out, nil
}

func (c *cbcDecrypt) UpdateLength(n int) int {
	total := c.n + n
	if total == 0 {
		return 0
	}
	return (total - 1) / aes.BlockSize * aes.BlockSize
}

func (c *cbcDecrypt) Final([]byte) ([]byte, error) { return c.Once(c.held[:c.n], nil) }

// paddingLength reads the PKCS #7 padding of the last block (RFC 5652, 6.3). It
// looks at every byte whatever the padding is, so that its time tells nothing.
func paddingLength(block [aes.BlockSize]byte) (n int, ok bool) {
	n = int(block[aes.BlockSize-1])
	good := subtle.ConstantTimeLessOrEq(1, n) & subtle.ConstantTimeLessOrEq(n, aes.BlockSize)
	for i, b := range block {
		inPadding := subtle.ConstantTimeLessOrEq(aes.BlockSize-i, n)
		good &= (1 ^ inPadding) | subtle.ConstantTimeByteEq(b, byte(n))
	}
	return n, good == 1
}
