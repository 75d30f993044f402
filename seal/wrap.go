package seal

import (
	"encoding/binary"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
)

// Credential names one state of a role's credential.
type Credential struct {
	Partition uint64 // the partition's serial number
	Role      cryptoki.UserType
	// Epoch grows with each change of the credential.
	Epoch uint64
}

func (c Credential) context(label string) Context {
	return NewContext(label).Uint64(c.Partition).Uint64(uint64(c.Role)).Uint64(c.Epoch)
}

// Wrap is a role's way to PartKEK: the factors to bring, and the key sealed under
// what they give. It does not change.
//
// Role and Epoch are the record's own claim, which Open binds the key to. A caller
// compares them with what it knows otherwise, so that an old record, with a PIN that
// was changed since, is not taken back.
type Wrap struct {
	Role    cryptoki.UserType
	Epoch   uint64
	Factors []Factor
	sealed  []byte
}

// wrapVersion is the first byte of an encoded Wrap. Then come role and epoch in
// eight big-endian bytes each, the factors, the sealed key.
const wrapVersion = 1

// MaxWrap is the size of the longest encoded Wrap, in bytes.
const MaxWrap = 1 + 8 + 8 + 1 + maxFactors*(1+kdfSize) + committedSize

// Wrap seals a partition's PartKEK for a credential, under the answers to factors in
// their order, which remain the caller's. An empty PIN gives CKR_PIN_LEN_RANGE.
func (s *Stretcher) Wrap(c Credential, p *PartKEK, factors []Factor, answers ...secret.Bytes) (*Wrap, error) {
	for i, f := range factors {
		if f.Kind == FactorPassword && i < len(answers) && answers[i].Len() == 0 {
			return nil, cryptoki.Errorf(cryptoki.CKR_PIN_LEN_RANGE, "seal: the PIN is empty")
		}
	}
	under, err := s.combine(factors, answers)
	if err != nil {
		return nil, err
	}
	defer under.Wipe()
	w := &Wrap{Role: c.Role, Epoch: c.Epoch, Factors: slices.Clone(factors)}
	w.sealed = sealCommitted(under, p.DerivationKey, w.context(c.Partition))
	return w, nil
}

// Open opens the PartKEK of a partition. It returns ErrWrongSecret when the answers
// are wrong, the wrap is another partition's, or it was changed: nothing tells these
// apart. It waits while other computations fill the gate.
func (s *Stretcher) Open(w *Wrap, partition uint64, answers ...secret.Bytes) (*PartKEK, error) {
	under, err := s.combine(w.Factors, answers)
	if err != nil {
		return nil, err
	}
	defer under.Wipe()
	key, err := openCommitted(under, w.sealed, w.context(partition))
	if err != nil {
		return nil, err
	}
	return &PartKEK{key}, nil
}

// context binds the sealed key to everything else in the wrap.
func (w *Wrap) context(partition uint64) Context {
	return NewContext("PartKEK").Uint64(partition).Bytes(w.head())
}

// head is the encoding up to the sealed key.
func (w *Wrap) head() []byte {
	b := append(make([]byte, 0, MaxWrap), wrapVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(w.Role))
	b = binary.BigEndian.AppendUint64(b, w.Epoch)
	return appendFactors(b, w.Factors)
}

// Encode gives the wrap's form at rest.
func (w *Wrap) Encode() []byte { return append(w.head(), w.sealed...) }

// ParseWrap reads what Encode gave; it keeps nothing of b. Costs are in bounds
// afterwards.
func ParseWrap(b []byte) (*Wrap, error) {
	if len(b) > MaxWrap {
		return nil, malformed("a wrap has %d bytes, more than %d", len(b), MaxWrap)
	}
	if len(b) < 1+8+8 {
		return nil, malformed("a wrap is cut short")
	}
	if b[0] != wrapVersion {
		return nil, malformed("a wrap has version %d, not %d", b[0], wrapVersion)
	}
	w := &Wrap{
		Role:  cryptoki.UserType(binary.BigEndian.Uint64(b[1:])),
		Epoch: binary.BigEndian.Uint64(b[9:]),
	}
	var err error
	if w.Factors, b, err = parseFactors(b[17:]); err != nil {
		return nil, err
	}
	if len(b) != committedSize {
		return nil, malformed("a wrap has %d bytes of sealed key, not %d", len(b), committedSize)
	}
	w.sealed = slices.Clone(b)
	return w, nil
}
