package partition

import (
	"encoding/binary"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/seal"
)

// Identity is what a partition is called and how it is set up.
type Identity struct {
	// Label is 1 to 32 characters.
	Label string
	// Serial is up to 16 characters, unique in the world as far as chance goes.
	Serial string
	// Size is the room for objects, in bytes.
	Size uint64
	// Version is the partition version, 0 or 1.
	Version uint8
	// Policies are the partition's own.
	Policies policy.Set
}

// pinLengths are the bounds of a PIN, in bytes.
func (i Identity) pinLengths() (least, most int) {
	least, most = minPIN, maxPIN
	if i.Policies.Has(policy.MinPIN) {
		least = 255 - int(i.Policies.Value(policy.MinPIN))
	}
	if i.Policies.Has(policy.MaxPIN) {
		most = int(i.Policies.Value(policy.MaxPIN))
	}
	return least, most
}

// The lengths of PINs where no policy says otherwise, in bytes.
const (
	minPIN = 8
	maxPIN = 255
)

// Identity is what the partition is called and how it is set up, at this moment.
func (p *Partition) Identity() Identity { return *p.identity.Load() }

// written is the identity as a transaction sees it, which the running partition may not have
// adopted yet.
func (p *Partition) written(r keystore.Reader) (Identity, error) {
	i, _, err := readIdentity(r, p.id, p.records)
	return i, err
}

// readIdentity reads the identity of a partition, and its kind.
func readIdentity(r keystore.Reader, id ID, records *seal.Key) (Identity, Kind, error) {
	record, err := r.Get(keystore.TablePartition, id.key(keyIdentity))
	if err != nil {
		return Identity{}, 0, err
	}
	plain, err := records.Open(nil, record, identityContext(id))
	if err != nil {
		return Identity{}, 0, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "the identity of partition %d: %w", id, err)
	}
	i, kind, err := parseIdentity(plain)
	if err != nil {
		return Identity{}, 0, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "the identity of partition %d: %w", id, err)
	}
	return i, kind, nil
}

// SetIdentity writes a changed identity; Adopt makes it the running partition's when
// that is durable. A role that has been wrong as often as the new limit says is locked.
func (p *Partition) SetIdentity(w keystore.Writer, i Identity) error {
	if p.initialized {
		if err := p.lock(w, i.Policies); err != nil {
			return err
		}
	}
	record := p.records.Seal(nil, i.encode(p.kind), identityContext(p.id))
	return w.Put(keystore.TablePartition, p.id.key(keyIdentity), record)
}

// Adopt takes a written identity over. Permits from before it are void.
func (p *Partition) Adopt(i Identity) {
	p.identity.Store(&i)
	p.services.Store(newServices(p.level, p.config.HSMPolicies(), i.Policies))
	p.epoch.Add(1)
}

func identityContext(id ID) seal.Context {
	return seal.NewContext("partition identity").Uint64(uint64(id))
}

// An identity record is: version 1, kind, partition version, size in eight bytes, label and
// serial number behind a byte of length each, then the policies.
const identityVersion = 1

func (i Identity) encode(kind Kind) []byte {
	b := []byte{identityVersion, byte(kind), i.Version}
	b = binary.BigEndian.AppendUint64(b, i.Size)
	b = append(append(b, byte(len(i.Label))), i.Label...)
	b = append(append(b, byte(len(i.Serial))), i.Serial...)
	return append(b, i.Policies.Encode()...)
}

func parseIdentity(b []byte) (Identity, Kind, error) {
	if len(b) < 11 || b[0] != identityVersion {
		return Identity{}, 0, errRecord
	}
	kind := Kind(b[1])
	i := Identity{Version: b[2], Size: binary.BigEndian.Uint64(b[3:])}
	b = b[11:]
	for _, field := range []*string{&i.Label, &i.Serial} {
		if len(b) < 1 || len(b) < 1+int(b[0]) {
			return Identity{}, 0, errRecord
		}
		*field, b = string(b[1:1+b[0]]), b[1+b[0]:]
	}
	policies, err := policy.ParseSet(b)
	if err != nil || kind != Application && kind != Administration {
		return Identity{}, 0, errRecord
	}
	i.Policies = policies
	return i, kind, nil
}
