package mech

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
)

// aesKeyWraps are the key wraps KW and KWP of SP 800-38F, 6.2 and 6.3, which RFC 3394
// and RFC 5649 also specify (PKCS#11 3.2, "AES key wrap"), each under the number of
// the standard and that of the vendor. They authenticate what they wrap. The
// parameter is an initial value of 8 bytes for KW and of 4 for KWP; without one it is
// the specification's.
//
// CKM_AES_KEY_WRAP_PAD is not offered: implementations take it for KWP or for KW with
// the padding of PKCS #7, and the standard deprecates it for that.
var aesKeyWraps = []Mechanism{
	keyWrapOf(cryptoki.CKM_AES_KEY_WRAP, startKW),
	keyWrapOf(cryptoki.CKM_AES_KW, startKW),
	keyWrapOf(cryptoki.CKM_AES_KEY_WRAP_KWP, startKWP),
	keyWrapOf(cryptoki.CKM_AES_KWP, startKWP),
}

func keyWrapOf(t cryptoki.MechanismType, begin func(Function, *cryptoki.Mechanism, *aesKey) (Operation, error)) Mechanism {
	return cipherAndWrap(Mechanism{
		Type:     t,
		Flags:    cryptoki.CKF_ENCRYPT | cryptoki.CKF_DECRYPT,
		KeyTypes: []cryptoki.KeyType{cryptoki.CKK_AES},
		MinKey:   minAES,
		MaxKey:   maxAES,
		Shape:    cryptoki.ShapeBytes,
		Approved: true,
	}, begin)
}

const (
	semiblock = 8       // bytes; SP 800-38F, 4.2.1
	maxKWP    = 1 << 24 // bytes of plaintext: more than a frame of the wire has
)

// The initial values ICV1 and ICV2 of SP 800-38F, 6.2 and 6.3.
var (
	kwInitial  = []byte{0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6}
	kwpInitial = []byte{0xa6, 0x59, 0x59, 0xa6}
)

// initialValue reads the parameter: as many bytes as usual has, or none.
func initialValue(p *cryptoki.Mechanism, usual []byte) ([]byte, error) {
	if p.Shape == cryptoki.ShapeNone {
		return usual, p.None()
	}
	v, err := p.Bytes()
	if err != nil || len(v) == 0 {
		return usual, err
	}
	if len(v) != len(usual) {
		return nil, badParameter("initial value of %d bytes where %d are wanted", len(v), len(usual))
	}
	return slices.Clone(v), nil
}

func startKW(f Function, p *cryptoki.Mechanism, key *aesKey) (Operation, error) {
	initial, err := initialValue(p, kwInitial)
	if err != nil {
		return nil, err
	}
	w := &kw{key.block, initial}
	if f == Decrypt {
		return &onePart{Rule{RuleShorter, semiblock}, w.open}, nil
	}
	return &onePart{Rule{RuleLonger, semiblock}, w.seal}, nil
}

// kw is the key wrap KW.
type kw struct {
	block   cipher.Block
	initial []byte
}

func (w *kw) seal(data []byte) ([]byte, error) {
	if len(data) < 2*semiblock || len(data)%semiblock != 0 {
		return nil, cryptoki.Errorf(cryptoki.CKR_DATA_LEN_RANGE,
			"%d bytes are not a multiple of %d from %d on; CKM_AES_KEY_WRAP_KWP takes any length", len(data), semiblock, 2*semiblock)
	}
	out := slices.Concat(w.initial, data)
	wrapSemiblocks(w.block, out)
	return out, nil
}

func (w *kw) open(data []byte) ([]byte, error) {
	if len(data) < 3*semiblock || len(data)%semiblock != 0 {
		return nil, cryptoki.Errorf(cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE, "%d bytes of data, not a multiple of %d from %d on", len(data), semiblock, 3*semiblock)
	}
	out := slices.Clone(data)
	unwrapSemiblocks(w.block, out)
	if subtle.ConstantTimeCompare(out[:semiblock], w.initial) != 1 {
		clear(out)
		return nil, errDecryption
	}
	return out[semiblock:], nil
}

func startKWP(f Function, p *cryptoki.Mechanism, key *aesKey) (Operation, error) {
	initial, err := initialValue(p, kwpInitial)
	if err != nil {
		return nil, err
	}
	w := &kwp{key.block, initial}
	if f == Decrypt {
		return &onePart{Rule{RuleUnpadded, 2*semiblock - 1}, w.open}, nil
	}
	return &onePart{Rule{Kind: RuleAsk}, w.seal}, nil
}

// kwp is the key wrap with padding KWP: the initial value is followed by the length
// of the data in 4 bytes, and the data by zeros up to a multiple of 8.
type kwp struct {
	block   cipher.Block
	initial []byte
}

func (w *kwp) seal(data []byte) ([]byte, error) {
	if len(data) == 0 || len(data) > maxKWP {
		return nil, cryptoki.Errorf(cryptoki.CKR_DATA_LEN_RANGE, "%d bytes of data where 1 to %d are possible", len(data), maxKWP)
	}
	padded := (len(data) + semiblock - 1) / semiblock * semiblock
	out := make([]byte, semiblock+padded)
	copy(out, w.initial)
	binary.BigEndian.PutUint32(out[4:], uint32(len(data)))
	copy(out[semiblock:], data)
	if len(out) == aes.BlockSize {
		w.block.Encrypt(out, out)
	} else {
		wrapSemiblocks(w.block, out)
	}
	return out, nil
}

func (w *kwp) open(data []byte) ([]byte, error) {
	if len(data) < 2*semiblock || len(data) > 2*semiblock+maxKWP || len(data)%semiblock != 0 {
		return nil, cryptoki.Errorf(cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE, "%d bytes of data, not a multiple of %d from %d on", len(data), semiblock, 2*semiblock)
	}
	out := slices.Clone(data)
	if len(out) == aes.BlockSize {
		w.block.Decrypt(out, out)
	} else {
		unwrapSemiblocks(w.block, out)
	}
	// The three checks are one for whoever looks from outside, whatever fails.
	n := int(binary.BigEndian.Uint32(out[4:])) & (1<<31 - 1)
	plain := out[semiblock:]
	good := subtle.ConstantTimeCompare(out[:4], w.initial)
	good &= 1 ^ int(out[4]>>7)
	good &= subtle.ConstantTimeLessOrEq(len(plain)-semiblock+1, n) & subtle.ConstantTimeLessOrEq(n, len(plain))
	for i := len(plain) - semiblock; i < len(plain); i++ {
		good &= subtle.ConstantTimeLessOrEq(i+1, n) | subtle.ConstantTimeByteEq(plain[i], 0)
	}
	if good != 1 {
		clear(out)
		return nil, errDecryption
	}
	return plain[:n], nil
}

// wrapSemiblocks is the wrapping function W in place (SP 800-38F, 6.1, algorithm 1).
func wrapSemiblocks(block cipher.Block, s []byte) {
	var b [aes.BlockSize]byte
	copy(b[:semiblock], s)
	t := uint64(0)
	for range 6 {
		for i := semiblock; i < len(s); i += semiblock {
			t++
			copy(b[semiblock:], s[i:])
			block.Encrypt(b[:], b[:])
			copy(s[i:i+semiblock], b[semiblock:])
			addCount(&b, t)
		}
	}
	copy(s, b[:semiblock])
}

// unwrapSemiblocks is its inverse (algorithm 2).
func unwrapSemiblocks(block cipher.Block, s []byte) {
	var b [aes.BlockSize]byte
	copy(b[:semiblock], s)
	t := uint64(6 * (len(s)/semiblock - 1))
	for range 6 {
		for i := len(s) - semiblock; i >= semiblock; i -= semiblock {
			addCount(&b, t)
			t--
			copy(b[semiblock:], s[i:])
			block.Decrypt(b[:], b[:])
			copy(s[i:i+semiblock], b[semiblock:])
		}
	}
	copy(s, b[:semiblock])
	clear(b[:])
}

// addCount adds the number of the step to the first semiblock.
func addCount(b *[aes.BlockSize]byte, t uint64) {
	binary.BigEndian.PutUint64(b[:], binary.BigEndian.Uint64(b[:])^t)
}
