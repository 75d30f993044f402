package mech

import (
	"bytes"
	"crypto"
	"errors"

	"tidelock.dev/tidelock/cryptoki"
)

// ecdsaMechanisms are the ECDSA signatures (FIPS 186-5, 6; PKCS#11 3.2, 6.3). A signature is r and s, each as long as the order of the curve.
// CKM_ECDSA signs a digest that the caller has made; of one longer than the order
// the leftmost bits count. SHA-1 is there for what was signed long ago.
var ecdsaMechanisms = []Mechanism{
	ecdsaOf(cryptoki.CKM_ECDSA, 0),
	ecdsaOf(cryptoki.CKM_ECDSA_SHA1, crypto.SHA1),
	ecdsaOf(cryptoki.CKM_ECDSA_SHA224, crypto.SHA224),
	ecdsaOf(cryptoki.CKM_ECDSA_SHA256, crypto.SHA256),
	ecdsaOf(cryptoki.CKM_ECDSA_SHA384, crypto.SHA384),
	ecdsaOf(cryptoki.CKM_ECDSA_SHA512, crypto.SHA512),
	ecdsaOf(cryptoki.CKM_ECDSA_SHA3_224, crypto.SHA3_224),
	ecdsaOf(cryptoki.CKM_ECDSA_SHA3_256, crypto.SHA3_256),
	ecdsaOf(cryptoki.CKM_ECDSA_SHA3_384, crypto.SHA3_384),
	ecdsaOf(cryptoki.CKM_ECDSA_SHA3_512, crypto.SHA3_512),
}

func ecdsaOf(t cryptoki.MechanismType, h crypto.Hash) Mechanism {
	return keyed(Mechanism{
		Type:      t,
		Flags:     cryptoki.CKF_SIGN | cryptoki.CKF_VERIFY | ecFlags,
		KeyTypes:  []cryptoki.KeyType{cryptoki.CKK_EC},
		MinKey:    minEC,
		MaxKey:    maxEC,
		Shape:     cryptoki.ShapeNone,
		MultiPart: h != 0,
		Approved:  h != crypto.SHA1,
	}, func(f Function, p *cryptoki.Mechanism, key *ecKey) (Operation, error) {
		if err := p.None(); err != nil {
			return nil, err
		}
		return &signature{scheme: key, verify: f == Verify, hash: h}, nil
	})
}

// size is the length of a signature in bytes.
func (k *ecKey) size() int { return 2 * k.curve.size }

func (k *ecKey) sign(input []byte) ([]byte, error) {
	sig, err := k.private.sign(input)
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "ECDSA signature: %w", err)
	}
	return sig, nil
}

func (k *ecKey) verify(input, sig []byte) error {
	if !k.public.verify(input, sig) {
		return errVerification
	}
	return nil
}

// maxDERSignature is the length of the longest Ecdsa-Sig-Value (RFC 3279, 2.2.3) of
// the curves, in bytes.
const maxDERSignature = 3 + 2*(2+1+(maxEC+7)/8)

var errSignatureEncoding = errors.New("malformed Ecdsa-Sig-Value")

// splitSignature writes r and s of an Ecdsa-Sig-Value into the halves of sig.
func splitSignature(sig, der []byte) error {
	content := max(0, len(der)-2)
	if content > 128 {
		content-- // the length has a byte more
	}
	var header [3]byte
	rest, found := bytes.CutPrefix(der, appendHeader(header[:0], tagSequence, content))
	if !found || len(rest) != content {
		return errSignatureEncoding
	}
	half := len(sig) / 2
	rest, err := readInteger(sig[:half], rest)
	if err != nil {
		return err
	}
	rest, err = readInteger(sig[half:], rest)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return errSignatureEncoding
	}
	return nil
}

// readInteger writes the INTEGER at the start of der right-aligned into out, and
// returns what follows it. It must be in its shortest form, not negative, and fit.
func readInteger(out, der []byte) (rest []byte, err error) {
	if len(der) < 3 || der[0] != tagInteger || der[1] == 0 || int(der[1]) > len(der)-2 {
		return nil, errSignatureEncoding
	}
	v, rest := der[2:2+der[1]], der[2+der[1]:]
	if v[0]&0x80 != 0 {
		return nil, errSignatureEncoding
	}
	if v[0] == 0 && len(v) > 1 {
		if v[1]&0x80 == 0 {
			return nil, errSignatureEncoding
		}
		v = v[1:]
	}
	if len(v) > len(out) {
		return nil, errSignatureEncoding
	}
	pad := len(out) - len(v)
	clear(out[:pad])
	copy(out[pad:], v)
	return rest, nil
}

// joinSignature appends the Ecdsa-Sig-Value of r and s, the halves of sig.
func joinSignature(der, sig []byte) []byte {
	r, s := shortest(sig[:len(sig)/2]), shortest(sig[len(sig)/2:])
	der = appendHeader(der, tagSequence, integerSize(r)+integerSize(s))
	return appendInteger(appendInteger(der, r), s)
}

// shortest is a big-endian number without the zeros at its beginning, but for one
// that is 0.
func shortest(v []byte) []byte {
	for len(v) > 1 && v[0] == 0 {
		v = v[1:]
	}
	return v
}

// integerSize is the length of a number as DER INTEGER of less than 128 bytes: one
// whose first bit is set has a zero before it.
func integerSize(v []byte) int { return 2 + int(v[0]>>7) + len(v) }

// appendInteger appends a DER INTEGER; v is big-endian, not negative and the shortest.
func appendInteger(der, v []byte) []byte {
	der = append(der, tagInteger, byte(integerSize(v)-2))
	if v[0]>>7 == 1 {
		der = append(der, 0)
	}
	return append(der, v...)
}
