package mech

import (
	"crypto"
	"crypto/hmac"
	"hash"

	"tidelock.dev/tidelock/cryptoki"
)

// hmacs are the HMACs of full length (FIPS 198-1; PKCS#11 3.2, "HMAC
// mechanisms"), each for generic secrets and for keys of its own type.
var hmacs = []Mechanism{
	hmacOf(cryptoki.CKM_SHA224_HMAC, crypto.SHA224, cryptoki.CKK_SHA224_HMAC),
	hmacOf(cryptoki.CKM_SHA256_HMAC, crypto.SHA256, cryptoki.CKK_SHA256_HMAC),
	hmacOf(cryptoki.CKM_SHA384_HMAC, crypto.SHA384, cryptoki.CKK_SHA384_HMAC),
	hmacOf(cryptoki.CKM_SHA512_HMAC, crypto.SHA512, cryptoki.CKK_SHA512_HMAC),
}

func hmacOf(t cryptoki.MechanismType, h crypto.Hash, own cryptoki.KeyType) Mechanism {
	return keyed(Mechanism{
		Type:      t,
		Flags:     cryptoki.CKF_SIGN | cryptoki.CKF_VERIFY,
		KeyTypes:  []cryptoki.KeyType{cryptoki.CKK_GENERIC_SECRET, own},
		MinKey:    minGeneric,
		MaxKey:    maxGeneric,
		Shape:     cryptoki.ShapeNone,
		MultiPart: true,
		Approved:  true,
	}, func(f Function, p *cryptoki.Mechanism, key *macKey) (Operation, error) {
		if err := p.None(); err != nil {
			return nil, err
		}
		return &mac{key: key, state: key.state(h), verify: f == Verify}, nil
	})
}

// macState is an HMAC that has absorbed its key.
type macState struct {
	hash.Hash
	function crypto.Hash
}

// state returns a fresh HMAC of the key. The pool spares the allocations and the
// two compressions that absorbing the key costs; a key is rarely used with two
// functions, so a state of another one is dropped.
func (k *macKey) state(h crypto.Hash) *macState {
	if s, ok := k.states.Get().(*macState); ok && s.function == h {
		return s
	}
	return &macState{hmac.New(h.New, k.value), h}
}

// mac is a C_Sign or C_Verify operation with an HMAC.
type mac struct {
	key    *macKey
	state  *macState
	verify bool
}

func (m *mac) Rule() Rule {
	if m.verify {
		return Rule{RuleFixed, 0}
	}
	return Rule{RuleFixed, uint64(m.state.Size())}
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
		return m.state.Sum(nil), nil
	}
	if len(sig) != m.state.Size() {
		return nil, cryptoki.Errorf(cryptoki.CKR_SIGNATURE_LEN_RANGE, "MAC of %d bytes where %d are wanted", len(sig), m.state.Size())
	}
	var own [maxDigest]byte
	if !hmac.Equal(m.state.Sum(own[:0]), sig) {
		return nil, errVerification
	}
	return nil, nil
}

// Close gives the state, without data, to the next operation of the key.
func (m *mac) Close() {
	m.state.Reset()
	m.key.states.Put(m.state)
	m.state = nil
}
