package mech

import (
	"crypto"
	"encoding"
	"hash"

	"tidelock.dev/tidelock/cryptoki"
)

// digests are the hash functions as mechanisms (FIPS 180-4, FIPS 202).
var digests = func() []Mechanism {
	var all []Mechanism
	for _, f := range hashFunctions {
		all = append(all, digestOf(f.name, f.hash))
	}
	return all
}()

func digestOf(t cryptoki.MechanismType, h crypto.Hash) Mechanism {
	m := Mechanism{
		Type:      t,
		Flags:     cryptoki.CKF_DIGEST,
		Shape:     cryptoki.ShapeNone,
		MultiPart: true,
		Approved:  h != crypto.SHA1,
	}
	m.Start = func(f Function, p *cryptoki.Mechanism, key Key) (Operation, error) {
		if err := m.offers(f); err != nil {
			return nil, err
		}
		if err := p.None(); err != nil {
			return nil, err
		}
		return &digest{hash: h}, nil
	}
	return m
}

// digest is a C_Digest operation.
type digest struct {
	hash  crypto.Hash
	state hash.Hash // of the parts so far; nil before the first
}

func (d *digest) Rule() Rule { return Rule{RuleFixed, uint64(d.hash.Size())} }

func (d *digest) Once(data, _ []byte) ([]byte, error) {
	return sum(d.hash, new([maxDigest]byte), data), nil
}

func (d *digest) Update(part []byte) ([]byte, error) {
	if d.state == nil {
		d.state = d.hash.New()
	}
	d.state.Write(part)
	return nil, nil
}

func (d *digest) UpdateLength(int) int { return 0 }

func (d *digest) Final(_ []byte) ([]byte, error) {
	if d.state == nil {
		return d.Once(nil, nil)
	}
	return d.state.Sum(nil), nil
}

// Resumable is an operation whose state, after any of its parts, can be kept elsewhere: a
// digest. It holds the end of the data that it was given.
type Resumable interface {
	Operation
	// Save returns the state, which is the caller's.
	Save() ([]byte, error)
	// Restore gives an operation that was just begun the state of another one with the
	// same mechanism. The error says that it is no such state.
	Restore(state []byte) error
}

func (d *digest) Save() ([]byte, error) {
	if d.state == nil {
		d.state = d.hash.New()
	}
	return d.state.(encoding.BinaryMarshaler).MarshalBinary()
}

func (d *digest) Restore(state []byte) error {
	h := d.hash.New()
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		return err
	}
	d.state = h
	return nil
}

func (d *digest) Close() {
	if d.state != nil {
		d.state.Reset()
	}
}
