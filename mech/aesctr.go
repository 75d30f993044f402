package mech

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"math"

	"tidelock.dev/tidelock/cryptoki"
)

// aesCTR is AES-CTR (SP 800-38A, 6.5; PKCS#11 3.2, "AES with counter"). The parameter
// has the first counter block and how many of its last bits count; they wrap without
// a carry into the others, and data so long that a block would come again is refused.
// That no block comes again under the same key is the caller's care. The data is not
// authenticated, and so it wraps no keys here.
var aesCTR = []Mechanism{
	keyed(Mechanism{
		Type:      cryptoki.CKM_AES_CTR,
		Flags:     cryptoki.CKF_ENCRYPT | cryptoki.CKF_DECRYPT,
		KeyTypes:  []cryptoki.KeyType{cryptoki.CKK_AES},
		MinKey:    minAES,
		MaxKey:    maxAES,
		Shape:     cryptoki.ShapeCTR,
		MultiPart: true,
		Approved:  true,
	}, startCTR),
}

func startCTR(f Function, p *cryptoki.Mechanism, key *aesKey) (Operation, error) {
	params, err := p.CTR()
	if err != nil {
		return nil, err
	}
	if params.CounterBits < 1 || params.CounterBits > 8*aes.BlockSize {
		return nil, badParameter("counter of %d bits where 1 to %d are possible", params.CounterBits, 8*aes.BlockSize)
	}
	tooLong := cryptoki.CKR_DATA_LEN_RANGE
	if f == Decrypt {
		tooLong = cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	return &ctr{newKeyStream(key.block, params.CounterBlock, uint(params.CounterBits)), tooLong}, nil
}

// ctr is an encryption or decryption with AES-CTR.
type ctr struct {
	stream  keyStream // after the parts so far
	tooLong cryptoki.RV
}

func (c *ctr) Rule() Rule { return Rule{RuleLonger, 0} }

func (c *ctr) Once(data, _ []byte) ([]byte, error) {
	stream := c.stream
	return c.crypt(&stream, data)
}

func (c *ctr) Update(part []byte) ([]byte, error) { return c.crypt(&c.stream, part) }

func (c *ctr) crypt(stream *keyStream, data []byte) ([]byte, error) {
	if uint64(len(data)) > stream.left {
		return nil, cryptoki.Errorf(c.tooLong, "the counter has room for %d bytes more, not for %d", stream.left, len(data))
	}
	out := make([]byte, len(data))
	stream.xor(out, data)
	return out, nil
}

func (c *ctr) UpdateLength(n int) int { return n }

func (c *ctr) Final([]byte) ([]byte, error) { return nil, nil }

func (c *ctr) Close() { c.stream = keyStream{} }

// keyStream is the key stream of counter blocks of which the last bits count.
type keyStream struct {
	block   cipher.Block
	stream  cipher.Stream // nil at the beginning of counter
	counter [aes.BlockSize]byte
	wrapped [aes.BlockSize]byte // counter with its counting bits 0
	turn    uint64              // bytes until the counter wraps
	left    uint64              // bytes until a block comes again
}

func newKeyStream(block cipher.Block, counter [aes.BlockSize]byte, bits uint) keyStream {
	// Shifts of 64 bits and more give 0 in Go.
	maskHigh, maskLow := uint64(0), uint64(1)<<bits-1
	if bits >= 64 {
		maskHigh, maskLow = uint64(1)<<(bits-64)-1, math.MaxUint64
	}
	high, low := binary.BigEndian.Uint64(counter[:8]), binary.BigEndian.Uint64(counter[8:])
	k := keyStream{block: block, counter: counter}
	binary.BigEndian.PutUint64(k.wrapped[:8], high&^maskHigh)
	binary.BigEndian.PutUint64(k.wrapped[8:], low&^maskLow)
	k.turn = streamLength(^high&maskHigh, ^low&maskLow)
	k.left = streamLength(maskHigh, maskLow)
	return k
}

// streamLength is the length in bytes of one block more than a number of 128 bits
// tells; what needs more than 64 bits is endless.
func streamLength(high, low uint64) uint64 {
	if high > 0 || low >= math.MaxUint64/aes.BlockSize {
		return math.MaxUint64
	}
	return (low + 1) * aes.BlockSize
}

// xor adds the key stream to src, which is not longer than left.
func (k *keyStream) xor(dst, src []byte) {
	for len(src) > 0 {
		if k.stream == nil {
			k.stream = cipher.NewCTR(k.block, k.counter[:])
		}
		n := int(min(uint64(len(src)), k.turn))
		k.stream.XORKeyStream(dst[:n], src[:n])
		dst, src = dst[n:], src[n:]
		k.turn -= uint64(n)
		k.left -= uint64(n)
		if k.turn == 0 {
			k.counter, k.stream = k.wrapped, nil
			k.turn = math.MaxUint64 // left ends before the next turn
		}
	}
}
