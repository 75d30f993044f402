package mech

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"

	"tidelock.dev/tidelock/cryptoki"
)

// aesCMAC is CMAC with AES (SP 800-38B; PKCS#11 3.2, "Additional AES mechanisms"),
// whole and with a length in bytes as its parameter.
var aesCMAC = []Mechanism{
	cmacOf(cryptoki.CKM_AES_CMAC, cryptoki.ShapeNone),
	cmacOf(cryptoki.CKM_AES_CMAC_GENERAL, cryptoki.ShapeULong),
}

func cmacOf(t cryptoki.MechanismType, shape cryptoki.Shape) Mechanism {
	return keyed(Mechanism{
		Type:      t,
		Flags:     cryptoki.CKF_SIGN | cryptoki.CKF_VERIFY,
		KeyTypes:  []cryptoki.KeyType{cryptoki.CKK_AES},
		MinKey:    minAES,
		MaxKey:    maxAES,
		Shape:     shape,
		MultiPart: true,
		Approved:  true,
	}, func(f Function, p *cryptoki.Mechanism, key *aesKey) (Operation, error) {
		length, err := aes.BlockSize, p.None()
		if shape == cryptoki.ShapeULong {
			length, err = macLength(p, aes.BlockSize)
		}
		if err != nil {
			return nil, err
		}
		return &mac{state: newCMAC(key.block), length: length, verify: f == Verify}, nil
	})
}

// cmac is CMAC with a block cipher of 16 bytes.
type cmac struct {
	block  cipher.Block
	k1, k2 [aes.BlockSize]byte // the subkeys
	chain  [aes.BlockSize]byte // CBC up to the last block that is known not to be the last
	held   [aes.BlockSize]byte
	n      int // bytes in held
}

func newCMAC(block cipher.Block) *cmac {
	c := &cmac{block: block}
	block.Encrypt(c.k1[:], c.k1[:])
	double(&c.k1)
	c.k2 = c.k1
	double(&c.k2)
	return c
}

// double multiplies by x in the field of SP 800-38B, 5.3, in constant time.
func double(b *[aes.BlockSize]byte) {
	carry := b[0] >> 7
	for i := range b[:aes.BlockSize-1] {
		b[i] = b[i]<<1 | b[i+1]>>7
	}
	b[aes.BlockSize-1] = b[aes.BlockSize-1]<<1 ^ carry*0x87
}

func (c *cmac) Size() int      { return aes.BlockSize }
func (c *cmac) BlockSize() int { return aes.BlockSize }

func (c *cmac) Reset() {
	clear(c.chain[:])
	clear(c.held[:])
	c.n = 0
}

// Write never fails.
func (c *cmac) Write(data []byte) (int, error) {
	written := len(data)
	for len(data) > 0 {
		if c.n == aes.BlockSize {
			subtle.XORBytes(c.chain[:], c.chain[:], c.held[:])
			c.block.Encrypt(c.chain[:], c.chain[:])
			c.n = 0
		}
		n := copy(c.held[c.n:], data)
		c.n += n
		data = data[n:]
	}
	return written, nil
}

// Sum appends the MAC of what was written; the state stays.
func (c *cmac) Sum(b []byte) []byte {
	var last [aes.BlockSize]byte
	copy(last[:], c.held[:c.n])
	if c.n == aes.BlockSize {
		subtle.XORBytes(last[:], last[:], c.k1[:])
	} else {
		last[c.n] = 0x80
		subtle.XORBytes(last[:], last[:], c.k2[:])
	}
	subtle.XORBytes(last[:], last[:], c.chain[:])
	c.block.Encrypt(last[:], last[:])
	return append(b, last[:]...)
}
