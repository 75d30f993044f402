package mech

import (
	"crypto"
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

func (d *digest) Close() {
	if d.state != nil {
		d.state.Reset()
	}
}
