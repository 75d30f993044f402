package seal

import "tidelock.dev/tidelock/internal/secret"

// PartPub is a partition's key for what the HSM reads with nobody logged in: public
// objects, the metadata of all objects, policies, role records.
type PartPub struct{ DerivationKey }

// NewPartPub makes a random key.
func NewPartPub() *PartPub { return &PartPub{newDerivationKey()} }

// Records seals the partition's own records.
func (p *PartPub) Records() *Key { return p.Key(NewContext("records")) }

// Objects seals the metadata of objects, and the values of public ones.
func (p *PartPub) Objects() *Key { return p.Key(NewContext("objects")) }

// Index makes the keyed hashes that objects are found by: of a label or an id, with
// what else the search fixes. Equal inputs have equal hashes, which is the point and
// all that the index shows.
func (p *PartPub) Index() *MAC { return p.MAC(NewContext("index")) }

// PartKEK is a partition's key for the values of private objects. It is in memory
// only while somebody is logged in, and at rest only in Wraps.
type PartKEK struct{ DerivationKey }

// NewPartKEK makes a random key.
func NewPartKEK() *PartKEK { return &PartKEK{newDerivationKey()} }

// Values seals the values of private objects.
func (p *PartKEK) Values() *Key { return p.Key(NewContext("values")) }

// Seal seals the key under another in a context.
func (p *PartKEK) Seal(k *Key, c Context) []byte { return p.seal(k, c) }

// Clone returns a copy, which is the caller's to wipe.
func (p *PartKEK) Clone() *PartKEK {
	return &PartKEK{DerivationKey{secret.Copy(p.raw.Expose())}}
}

// OpenPartKEK opens a record of PartKEK.Seal.
func OpenPartKEK(k *Key, record []byte, c Context) (*PartKEK, error) {
	key, err := openDerivationKey(k, record, c)
	if err != nil {
		return nil, err
	}
	return &PartKEK{key}, nil
}
