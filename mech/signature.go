package mech

import (
	"crypto"
	"hash"

	"tidelock.dev/tidelock/cryptoki"
)

// scheme is the public-key half of a signature mechanism: what is left when the
// hash has been taken.
type scheme interface {
	// sign signs a digest, or the data itself where the mechanism has no hash.
	sign(input []byte) ([]byte, error)
	// verify checks a signature of the right length: CKR_SIGNATURE_INVALID.
	verify(input, sig []byte) error
	// size is the length of a signature in bytes.
	size() int
}

// maxParts bounds the data that is collected over several parts by mechanisms
// which cannot work on it piecewise.
const maxParts = 16 << 20

// signature is a C_Sign or C_Verify operation over a scheme.
type signature struct {
	scheme  scheme
	verify  bool
	hash    crypto.Hash // 0 where the scheme takes the data as it is
	collect bool        // hash is 0 and data may come in parts

	state  hash.Hash // of the parts so far; nil before the first
	parts  buffer
	digest [maxDigest]byte // here, and not in Once, so that it costs no allocation
}

func (s *signature) Rule() Rule {
	if s.verify {
		return Rule{RuleFixed, 0}
	}
	return Rule{RuleFixed, uint64(s.scheme.size())}
}

func (s *signature) Once(data, sig []byte) ([]byte, error) {
	if s.hash != 0 {
		data = sum(s.hash, &s.digest, data)
	}
	return s.end(data, sig)
}

func (s *signature) Update(part []byte) ([]byte, error) {
	switch {
	case s.collect:
		return nil, s.parts.add(part, cryptoki.CKR_DATA_LEN_RANGE)
	case s.hash == 0:
		return nil, errOnePart
	case s.state == nil:
		s.state = s.hash.New()
	}
	s.state.Write(part)
	return nil, nil
}

func (s *signature) UpdateLength(int) int { return 0 }

func (s *signature) Final(sig []byte) ([]byte, error) {
	switch {
	case s.collect:
		return s.end(s.parts.bytes, sig)
	case s.hash == 0:
		return nil, errOnePart
	case s.state == nil:
		return s.Once(nil, sig)
	}
	return s.end(s.state.Sum(s.digest[:0]), sig)
}

// end signs or verifies the input of the scheme.
func (s *signature) end(input, sig []byte) ([]byte, error) {
	if !s.verify {
		return s.scheme.sign(input)
	}
	if len(sig) != s.scheme.size() {
		return nil, cryptoki.Errorf(cryptoki.CKR_SIGNATURE_LEN_RANGE, "signature of %d bytes where %d are wanted", len(sig), s.scheme.size())
	}
	return nil, s.scheme.verify(input, sig)
}

func (s *signature) Close() {
	if s.state != nil {
		s.state.Reset()
	}
	s.parts.wipe()
	clear(s.digest[:])
}
