package mech

import (
	"bytes"
	"encoding/binary"
	"hash"

	"tidelock.dev/tidelock/cryptoki"
)

// kbkdfMechanisms is the key derivation in counter mode (SP 800-108, 4.1; PKCS#11 3.2,
// "SP 800-108 key derivation"), with HMAC under a generic secret or CMAC under an AES key.
var kbkdfMechanisms = []Mechanism{
	derives(Mechanism{
		Type:     cryptoki.CKM_SP800_108_COUNTER_KDF,
		KeyTypes: []cryptoki.KeyType{cryptoki.CKK_GENERIC_SECRET, cryptoki.CKK_AES},
		MinKey:   minGeneric,
		MaxKey:   maxGeneric,
		Shape:    cryptoki.ShapeKDF,
		Approved: true,
	}, deriveKBKDF),
}

// deriveKBKDF makes a key of the outputs of the pseudo-random function. The natural
// length is that of one output.
func deriveKBKDF(m *cryptoki.Mechanism, base Key, length int) ([]byte, error) {
	p, err := m.KDF()
	if err != nil {
		return nil, err
	}
	prf, err := prfOf(p.PRF, base)
	if err != nil {
		return nil, err
	}
	defer prf.Reset()
	if length, err = derivedLength(length, prf.Size()); err != nil {
		return nil, err
	}
	rounds := (length + prf.Size() - 1) / prf.Size()
	input, err := prfInput(p.Data, uint64(length), uint64(rounds*prf.Size()))
	if err != nil {
		return nil, err
	}
	if !input.counter.fits(uint64(rounds)) {
		return nil, badParameter("a counter of %d bits where the key takes %d rounds", 8*input.counter.bytes, rounds)
	}
	out := make([]byte, 0, rounds*prf.Size())
	for i := range rounds {
		prf.Reset()
		prf.Write(input.before)
		prf.Write(input.counter.append(nil, uint64(i+1)))
		prf.Write(input.after)
		out = prf.Sum(out)
	}
	clear(out[length:])
	return out[:length], nil
}

// prfOf returns the pseudo-random function, which has absorbed the key.
// CKR_KEY_TYPE_INCONSISTENT for a key that it does not take.
func prfOf(t cryptoki.MechanismType, base Key) (hash.Hash, error) {
	if t == cryptoki.CKM_AES_CMAC {
		if key, ok := base.(*aesKey); ok {
			return newCMAC(key.block), nil
		}
		return nil, cryptoki.Errorf(cryptoki.CKR_KEY_TYPE_INCONSISTENT, "%v takes an AES key", t)
	}
	for _, h := range hmacFunctions {
		if h.whole != t {
			continue
		}
		if key, ok := base.(*macKey); ok {
			return key.state(h.hash), nil
		}
		return nil, cryptoki.Errorf(cryptoki.CKR_KEY_TYPE_INCONSISTENT, "%v takes a generic secret", t)
	}
	return nil, badParameter("pseudo-random function %v is not offered", t)
}

// counterInput is what the pseudo-random function gets in each round.
type counterInput struct {
	before, after []byte
	counter       numberFormat
}

// prfInput puts the data of the parameter together: the counter once, the length of the
// key at most once, and byte strings. Length is that of the key, segments that of all
// rounds, in bytes.
func prfInput(data []cryptoki.PRFDataParameters, length, segments uint64) (counterInput, error) {
	var in counterInput
	var part bytes.Buffer
	counted, measured := false, false
	for _, d := range data {
		switch d.Type {
		case cryptoki.CK_SP800_108_ITERATION_VARIABLE:
			format, err := counterFormat(d.Value)
			if err != nil {
				return in, err
			}
			if counted {
				return in, badParameter("two counters")
			}
			counted, in.counter = true, format
			in.before = bytes.Clone(part.Bytes())
			part.Reset()
		case cryptoki.CK_SP800_108_DKM_LENGTH:
			method, format, err := lengthFormat(d.Value)
			if err != nil {
				return in, err
			}
			if measured {
				return in, badParameter("two lengths of the key")
			}
			measured = true
			bits := 8 * length
			if method == cryptoki.CK_SP800_108_DKM_LENGTH_SUM_OF_SEGMENTS {
				bits = 8 * segments
			}
			if !format.fits(bits) {
				return in, badParameter("%d bits as length of the key do not fit in %d bytes", bits, format.bytes)
			}
			part.Write(format.append(nil, bits))
		case cryptoki.CK_SP800_108_BYTE_ARRAY:
			part.Write(d.Value)
		default:
			return in, badParameter("data of type %d is not offered in counter mode", d.Type)
		}
	}
	if !counted {
		return in, badParameter("no counter: CK_SP800_108_ITERATION_VARIABLE is missing")
	}
	in.after = part.Bytes()
	return in, nil
}

// numberFormat is how a number is written.
type numberFormat struct {
	littleEndian bool
	bytes        int // 1 to 8
}

func (f numberFormat) fits(n uint64) bool { return f.bytes == 8 || n>>(8*f.bytes) == 0 }

func (f numberFormat) append(b []byte, n uint64) []byte {
	if f.littleEndian {
		return append(b, binary.LittleEndian.AppendUint64(nil, n)[:f.bytes]...)
	}
	return append(b, binary.BigEndian.AppendUint64(nil, n)[8-f.bytes:]...)
}

// The sizes of structures in memory and the places of their members, in bytes, on a
// 64-bit machine (docs/wire.md, "Mechanisms").
const (
	counterFormatSize = 16 // CK_BBOOL bLittleEndian, CK_ULONG ulWidthInBits at 8
	lengthFormatSize  = 24 // CK_ULONG dkmLengthMethod, and from 8 on the same
)

// counterFormat reads a CK_SP800_108_COUNTER_FORMAT; the width is 8, 16, 24 or 32 bits.
func counterFormat(v []byte) (numberFormat, error) {
	if len(v) != counterFormatSize {
		return numberFormat{}, badParameter("a counter format of %d bytes, not %d", len(v), counterFormatSize)
	}
	return readNumberFormat(v, 32)
}

// lengthFormat reads a CK_SP800_108_DKM_LENGTH_FORMAT; the width is 8 to 64 bits.
func lengthFormat(v []byte) (method uint64, format numberFormat, err error) {
	if len(v) != lengthFormatSize {
		return 0, format, badParameter("a length format of %d bytes, not %d", len(v), lengthFormatSize)
	}
	method = binary.LittleEndian.Uint64(v)
	if method != cryptoki.CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS && method != cryptoki.CK_SP800_108_DKM_LENGTH_SUM_OF_SEGMENTS {
		return 0, format, badParameter("length method %d", method)
	}
	format, err = readNumberFormat(v[8:], 64)
	return method, format, err
}

// readNumberFormat reads bLittleEndian and ulWidthInBits, whole bytes of at most so
// many bits.
func readNumberFormat(v []byte, most uint64) (numberFormat, error) {
	width := binary.LittleEndian.Uint64(v[8:])
	if v[0] > 1 || width == 0 || width > most || width%8 != 0 {
		return numberFormat{}, badParameter("a number of %d bits, byte order %d, where 8 to %d in whole bytes and 0 or 1 are possible", width, v[0], most)
	}
	return numberFormat{v[0] == 1, int(width / 8)}, nil
}
