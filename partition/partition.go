package partition

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/seal"
)

// Config is what a partition gets from the HSM that it is part of.
type Config struct {
	Store keystore.Store
	// Key is the HSM's key, Counters its MAC over what changes often.
	Key      *seal.HSMKey
	Counters *seal.MAC
	// Stretcher and Verifier are the process's.
	Stretcher *seal.Stretcher
	Verifier  *seal.Verifier
	Audit     *audit.Log
	// Cost is the password hash of new credentials.
	Cost seal.Cost
	// Boot tells this start of the server from all others; the permit epoch begins
	// with it.
	Boot uint64
	Now  func() time.Time
	// TicketLife is how long a ticket outlives the server; 0 turns tickets off.
	TicketLife time.Duration
}

// Identity is what a partition is called and how it is set up.
type Identity struct {
	// Label is 1 to 32 characters.
	Label string
	// Serial is up to 16 characters, unique in the world as far as chance goes.
	Serial string
	// MinPIN and MaxPIN bound a PIN's length, in bytes.
	MinPIN, MaxPIN int
}

// Partition is one partition of an HSM. It is safe for concurrent use.
type Partition struct {
	config   Config
	id       ID
	identity Identity
	records  *seal.Key // the partition's own records
	objects  *seal.Key // metadata, and values of public objects
	index    *seal.MAC
	roles    map[Role]*sync.Mutex // held over a login attempt of the role

	// private opens the values of private objects; nil while no user is logged in.
	private atomic.Pointer[seal.Key]
	// epoch counts what may make a permit untrue for any application.
	epoch atomic.Uint64

	sessions, rwSessions atomic.Int64

	mu      sync.Mutex
	users   int                  // guarded by mu; logins that use private objects
	members map[*Member]struct{} // guarded by mu

	cache cache
}

// MaxLabel is the length of a CK_TOKEN_INFO label in bytes.
const MaxLabel = 32

// CheckLabel tells what is wrong with a partition's label.
func CheckLabel(label string) error {
	switch {
	case label == "":
		return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "a partition's label must not be empty")
	case len(label) > MaxLabel:
		return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "the label %q is longer than %d bytes", label, MaxLabel)
	case !utf8.ValidString(label):
		return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "the label is not UTF-8")
	}
	for _, r := range label {
		if r == '?' || r == '"' || unicode.IsControl(r) {
			return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "the label %q has the character %q, which labels must not have", label, r)
		}
	}
	return nil
}

// Draft is a partition that has been thought out and not been written: what takes
// long, the password hashes, is done before the store is held.
type Draft struct {
	partition *Partition
	key       []byte
	roles     map[Role]*seal.Wrap
}

// NewDraft drafts a partition with its own key, its identity, its Partition SO and
// its Crypto Officer, who brings the key over private values with him: HSM policy 21
// is off, so his first PIN is for good. The PINs remain the caller's.
func NewDraft(c Config, id ID, identity Identity, partitionSO, cryptoOfficer secret.Bytes) (*Draft, error) {
	if err := CheckLabel(identity.Label); err != nil {
		return nil, err
	}
	pub := seal.NewPartPub()
	defer pub.Wipe()
	d := &Draft{
		partition: newPartition(c, id, identity, pub),
		key:       c.Key.WrapPartPub(uint64(id), pub),
		roles:     make(map[Role]*seal.Wrap),
	}
	for role, pin := range map[Role]secret.Bytes{RolePartitionSO: partitionSO, RoleCryptoOfficer: cryptoOfficer} {
		// The Partition SO has no share in the key over private values, so his PIN opens a
		// key of its own that seals nothing.
		kek := seal.NewPartKEK()
		wrap, err := d.partition.newCredential(role, 1, kek, pin)
		kek.Wipe()
		if err != nil {
			return nil, fmt.Errorf("the %v: %w", role, err)
		}
		d.roles[role] = wrap
	}
	return d, nil
}

// Write makes the partition.
func (d *Draft) Write(w keystore.Writer) error {
	p := d.partition
	if err := w.Put(keystore.TablePartition, p.id.key(keyKey), d.key); err != nil {
		return err
	}
	record := p.records.Seal(nil, p.identity.encode(), identityContext(p.id))
	if err := w.Put(keystore.TablePartition, p.id.key(keyIdentity), record); err != nil {
		return err
	}
	for role, wrap := range d.roles {
		if err := p.putCredential(w, role, wrap); err != nil {
			return err
		}
	}
	return nil
}

// Open reads a partition from the store.
func Open(c Config, id ID) (*Partition, error) {
	var p *Partition
	err := c.Store.View(func(r keystore.Reader) (err error) {
		p, err = open(r, c, id)
		return err
	})
	return p, err
}

func open(r keystore.Reader, c Config, id ID) (*Partition, error) {
	wrapped, err := r.Get(keystore.TablePartition, id.key(keyKey))
	if err != nil {
		return nil, err
	}
	pub, err := c.Key.OpenPartPub(uint64(id), wrapped)
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "the key of partition %d: %w", id, err)
	}
	defer pub.Wipe()
	record, err := r.Get(keystore.TablePartition, id.key(keyIdentity))
	if err != nil {
		return nil, err
	}
	plain, err := pub.Records().Open(nil, record, identityContext(id))
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "the identity of partition %d: %w", id, err)
	}
	identity, err := parseIdentity(plain)
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "the identity of partition %d: %w", id, err)
	}
	return newPartition(c, id, identity, pub), nil
}

func newPartition(c Config, id ID, identity Identity, pub *seal.PartPub) *Partition {
	p := &Partition{
		config: c, id: id, identity: identity,
		records: pub.Records(), objects: pub.Objects(), index: pub.Index(),
		roles:   map[Role]*sync.Mutex{RolePartitionSO: {}, RoleCryptoOfficer: {}, RoleLimitedCryptoOfficer: {}, RoleCryptoUser: {}},
		cache:   cache{entries: make(map[cryptoki.ObjectHandle]*resident)},
		members: make(map[*Member]struct{}),
	}
	// Half of the epoch's bits are the start of the server: a permit from before it is
	// older than any of this one.
	p.epoch.Store(c.Boot << 32)
	return p
}

// Label is the partition's label.
func (p *Partition) Label() string { return p.identity.Label }

// Serial is the partition's serial number.
func (p *Partition) Serial() string { return p.identity.Serial }

// PINLengths are the bounds of a PIN, in bytes.
func (p *Partition) PINLengths() (least, most int) { return p.identity.MinPIN, p.identity.MaxPIN }

// SessionCounts are the open sessions of all applications.
func (p *Partition) SessionCounts() (all, readWrite uint64) {
	return uint64(p.sessions.Load()), uint64(p.rwSessions.Load())
}

func identityContext(id ID) seal.Context {
	return seal.NewContext("partition identity").Uint64(uint64(id))
}

// An identity record is: version 1, the PIN bounds in two bytes each, then label and
// serial number, each behind a byte of length.
const identityVersion = 1

func (i Identity) encode() []byte {
	b := []byte{identityVersion}
	b = binary.BigEndian.AppendUint16(b, uint16(i.MinPIN))
	b = binary.BigEndian.AppendUint16(b, uint16(i.MaxPIN))
	b = append(append(b, byte(len(i.Label))), i.Label...)
	return append(append(b, byte(len(i.Serial))), i.Serial...)
}

func parseIdentity(b []byte) (Identity, error) {
	if len(b) < 6 || b[0] != identityVersion {
		return Identity{}, errRecord
	}
	i := Identity{MinPIN: int(binary.BigEndian.Uint16(b[1:])), MaxPIN: int(binary.BigEndian.Uint16(b[3:]))}
	b = b[5:]
	for _, field := range []*string{&i.Label, &i.Serial} {
		if len(b) < 1 || len(b) < 1+int(b[0]) {
			return Identity{}, errRecord
		}
		*field, b = string(b[1:1+b[0]]), b[1+b[0]:]
	}
	if len(b) != 0 {
		return Identity{}, errRecord
	}
	return i, nil
}
