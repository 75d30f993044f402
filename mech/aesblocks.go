package mech

import (
	"crypto/aes"
	"crypto/cipher"

	"tidelock.dev/tidelock/cryptoki"
)

// aesBlocks are AES-ECB and AES-CBC without padding (SP 800-38A, 6.1 and 6.2; PKCS#11
// 3.2, "AES"): the data is a multiple of 16 bytes. ECB shows which blocks are equal,
// and so it wraps no keys here.
var aesBlocks = []Mechanism{
	keyed(aesBlocksEntry(cryptoki.CKM_AES_ECB, cryptoki.ShapeNone), startECB),
	cipherAndWrap(aesBlocksEntry(cryptoki.CKM_AES_CBC, cryptoki.ShapeBytes), startUnpaddedCBC),
}

func aesBlocksEntry(t cryptoki.MechanismType, shape cryptoki.Shape) Mechanism {
	return Mechanism{
		Type:      t,
		Flags:     cryptoki.CKF_ENCRYPT | cryptoki.CKF_DECRYPT,
		KeyTypes:  []cryptoki.KeyType{cryptoki.CKK_AES},
		MinKey:    minAES,
		MaxKey:    maxAES,
		Shape:     shape,
		MultiPart: true,
		Approved:  true,
	}
}

func startECB(f Function, p *cryptoki.Mechanism, key *aesKey) (Operation, error) {
	if err := p.None(); err != nil {
		return nil, err
	}
	mode := ecb{key.block, key.block.Encrypt}
	if f == Decrypt {
		mode.crypt = key.block.Decrypt
	}
	return &blocks{decrypt: f == Decrypt, begin: func() cipher.BlockMode { return mode }}, nil
}

func startUnpaddedCBC(f Function, p *cryptoki.Mechanism, key *aesKey) (Operation, error) {
	iv, err := blockIV(p)
	if err != nil {
		return nil, err
	}
	if f == Decrypt {
		return &blocks{decrypt: true, begin: func() cipher.BlockMode { return cipher.NewCBCDecrypter(key.block, iv[:]) }}, nil
	}
	return &blocks{begin: func() cipher.BlockMode { return cipher.NewCBCEncrypter(key.block, iv[:]) }}, nil
}

// ecb is the mode that package cipher leaves out.
type ecb struct {
	cipher.Block
	crypt func(dst, src []byte)
}

func (e ecb) CryptBlocks(dst, src []byte) {
	for len(src) > 0 {
		e.crypt(dst[:aes.BlockSize], src[:aes.BlockSize])
		dst, src = dst[aes.BlockSize:], src[aes.BlockSize:]
	}
}

// carry holds the bytes of the input, less than two blocks, that are not worked on
// yet.
type carry struct {
	held [aes.BlockSize]byte
	n    int
}

// take returns the first n bytes of what is held and part, and holds the rest.
func (c *carry) take(n int, part []byte) []byte {
	if n == 0 {
		c.n += copy(c.held[c.n:], part)
		return nil
	}
	out := make([]byte, n)
	used := copy(out, c.held[:c.n])
	used = copy(out[used:], part)
	c.n = copy(c.held[:], part[used:])
	return out
}

// complete is the length of the complete blocks of what is held and n bytes more.
func (c *carry) complete(n int) int {
	total := c.n + n
	return total - total%aes.BlockSize
}

func (c *carry) Close() {
	clear(c.held[:])
	c.n = 0
}

// blocks is an encryption or decryption of whole blocks.
type blocks struct {
	decrypt bool
	begin   func() cipher.BlockMode
	mode    cipher.BlockMode // of the parts so far; nil before the first
	carry
}

func (b *blocks) Rule() Rule { return Rule{RuleLonger, 0} }

func (b *blocks) Once(data, _ []byte) ([]byte, error) {
	if err := b.whole(len(data)); err != nil {
		return nil, err
	}
	out := make([]byte, len(data))
	b.begin().CryptBlocks(out, data)
	return out, nil
}

func (b *blocks) whole(n int) error {
	if n%aes.BlockSize == 0 {
		return nil
	}
	code := cryptoki.CKR_DATA_LEN_RANGE
	if b.decrypt {
		code = cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	return cryptoki.Errorf(code, "%d bytes of data, not a multiple of %d", n, aes.BlockSize)
}

func (b *blocks) Update(part []byte) ([]byte, error) {
	if b.mode == nil {
		b.mode = b.begin()
	}
	out := b.take(b.UpdateLength(len(part)), part)
	b.mode.CryptBlocks(out, out)
	return out, nil
}

func (b *blocks) UpdateLength(n int) int { return b.complete(n) }

func (b *blocks) Final([]byte) ([]byte, error) { return nil, b.whole(b.n) }
