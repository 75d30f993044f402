// Package policy is what capabilities and policies are: numbers with a name, a
// range, a default and rules about each other. It knows no partition and stores
// nothing.
//
// It may import firmware and cryptoki.
package policy

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
)

// ID is a policy's number, unique within the HSM's or the partitions' policies.
type ID uint32

// Policies of the HSM that code asks for.
const (
	ResetPIN       ID = 15 // the Partition SO can reset the Crypto Officer's PIN
	ForcePINChange ID = 21 // a PIN that another role has set must be changed
	MaxPartitions  ID = 33
	Modules        ID = 50 // custom code may run in the HSM
)

// Policies of a partition that code asks for.
const (
	PrivateUnwrapping  ID = 2  // wrapped private keys may be brought in
	SecretWrapping     ID = 5  // extractable secret keys may be wrapped off the HSM
	SecretUnwrapping   ID = 6  // wrapped secret keys may be brought in
	DigestKey          ID = 9  // C_DigestKey takes secret keys
	Multipurpose       ID = 10 // a key may have more than one pair of purposes
	ChangingAttributes ID = 11 // purposes of a key may change after it was made
	KeyManagement      ID = 28 // keys may be made, changed and destroyed
	CBCPad             ID = 34 // CBC-PAD wraps keys below 128 bits, too

	MaxFailedLogins ID = 20
	MinPIN          ID = 25 // stored as 255 less the minimum
	MaxPIN          ID = 26
	NonLocalSigning ID = 17 // keys whose CKA_LOCAL is false may sign
	RawRSA          ID = 18 // CKM_RSA_X_509 is offered
	RSAPKCS         ID = 33 // CKM_RSA_PKCS is offered
	KeyDates        ID = 39 // CKA_START_DATE and CKA_END_DATE are enforced
)

// Set holds a value for each policy of a level. The zero Set is empty; With makes
// another.
type Set struct{ values map[ID]uint64 }

// Value is the value of a policy; 0 when the set has none.
func (s Set) Value(id ID) uint64 { return s.values[id] }

// Has tells whether the set has the policy.
func (s Set) Has(id ID) bool {
	_, has := s.values[id]
	return has
}

// On tells whether a policy is there and not 0.
func (s Set) On(id ID) bool { return s.values[id] != 0 }

// IDs are the policies of the set, in their order.
func (s Set) IDs() []ID { return slices.Sorted(maps.Keys(s.values)) }

// With returns the set with one value changed or added.
func (s Set) With(id ID, value uint64) Set {
	values := maps.Clone(s.values)
	if values == nil {
		values = make(map[ID]uint64)
	}
	values[id] = value
	return Set{values}
}

// To are the changes that make another set of the same level from this one.
func (s Set) To(other Set) []Change {
	var changes []Change
	for _, id := range other.IDs() {
		if v := other.Value(id); !s.Has(id) || s.Value(id) != v {
			changes = append(changes, Change{id, v})
		}
	}
	return changes
}

// Encode is the stored form: for each policy, in order, four bytes of number and
// eight of value, both big-endian.
func (s Set) Encode() []byte {
	b := make([]byte, 0, entrySize*len(s.values))
	for _, id := range s.IDs() {
		b = binary.BigEndian.AppendUint32(b, uint32(id))
		b = binary.BigEndian.AppendUint64(b, s.values[id])
	}
	return b
}

const entrySize = 4 + 8

var errSet = errors.New("a stored set of policies is malformed")

// ParseSet reads what Encode wrote.
func ParseSet(b []byte) (Set, error) {
	if len(b)%entrySize != 0 {
		return Set{}, errSet
	}
	s := Set{make(map[ID]uint64, len(b)/entrySize)}
	last := int64(-1)
	for ; len(b) > 0; b = b[entrySize:] {
		id := binary.BigEndian.Uint32(b)
		if int64(id) <= last {
			return Set{}, errSet
		}
		last = int64(id)
		s.values[ID(id)] = binary.BigEndian.Uint64(b[4:])
	}
	return s, nil
}
