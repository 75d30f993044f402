package mech

import (
	"crypto/subtle"
	"hash"
	"sync"

	"tidelock.dev/tidelock/cryptoki"
)

// minMAC is the length in bytes of the shortest MAC that may be asked for: one of
// fewer than 32 bits is guessed (SP 800-107, 5.3.3; SP 800-38B, appendix A).
const minMAC = 4

// macLength reads the parameter of the mechanisms whose MAC may be cut short, the
// length in bytes; most is that of the whole.
func macLength(p *cryptoki.Mechanism, most int) (int, error) {
	n, err := p.ULong()
	if err != nil {
		return 0, err
	}
	if n < minMAC || n > uint64(most) {
		return 0, badParameter("MAC of %d bytes where %d to %d are possible", n, minMAC, most)
	}
	return int(n), nil
}

// mac is a C_Sign or C_Verify operation with a MAC.
type mac struct {
	state  hash.Hash // a MAC that has absorbed its key
	length int       // of the MAC in bytes: the leftmost of the state's
	verify bool
	pool   *sync.Pool // where the state goes back; nil if nowhere
}

func (m *mac) Rule() Rule {
	if m.verify {
		return Rule{RuleFixed, 0}
	}
	return Rule{RuleFixed, uint64(m.length)}
}

func (m *mac) Once(data, sig []byte) ([]byte, error) {
	m.state.Reset()
	m.state.Write(data)
	return m.Final(sig)
}

func (m *mac) Update(part []byte) ([]byte, error) {
	m.state.Write(part)
	return nil, nil
}

func (m *mac) UpdateLength(int) int { return 0 }

func (m *mac) Final(sig []byte) ([]byte, error) {
	if !m.verify {
		return m.state.Sum(nil)[:m.length], nil
	}
	if len(sig) != m.length {
		return nil, cryptoki.Errorf(cryptoki.CKR_SIGNATURE_LEN_RANGE, "MAC of %d bytes where %d are wanted", len(sig), m.length)
	}
	var own [maxDigest]byte
	if subtle.ConstantTimeCompare(m.state.Sum(own[:0])[:m.length], sig) != 1 {
		return nil, errVerification
	}
	return nil, nil
}

// Close gives the state, without data, to the next operation of the key.
func (m *mac) Close() {
	m.state.Reset()
	if m.pool != nil {
		m.pool.Put(m.state)
	}
	m.state = nil
}
