package partition

import (
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/object"
	"tidelock.dev/tidelock/policy"
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
	// TicketLife is how long a ticket outlives the server; 0 turns tickets off. It may be
	// another at each call. nil is 0.
	TicketLife func() time.Duration
	// Level gives the HSM's firmware level as it is now. A partition that is open keeps
	// the one that it was opened at.
	Level func() firmware.Level
	// HSMPolicies gives the HSM's policies as they are now.
	HSMPolicies func() policy.Set
	// Lost is called in the update that counts the last wrong PIN of a role whose loss
	// costs more than the role. What it writes commits with the count; after runs when
	// that is durable.
	Lost func(w keystore.Writer, p *Partition, role Role) (after func(), err error)
}

// Partition is one partition of an HSM. It is safe for concurrent use.
type Partition struct {
	config   Config
	id       ID
	kind     Kind
	level    firmware.Level
	format   object.Format
	overhead uint64
	identity atomic.Pointer[Identity]
	services atomic.Pointer[services]
	// initialized says that there is an SO.
	initialized bool
	records     *seal.Key // the partition's own records
	objects     *seal.Key // metadata, and values of public objects
	index       *seal.MAC
	states      *seal.Key            // saved states of operations, until the server's next start
	roles       map[Role]*sync.Mutex // held over a login attempt of the role
	families    [families]sync.Mutex // held over an authorization of keys; lockFamily

	// budgets are those of token keys by their handles, once they are used.
	budgets  sync.Map
	mostIVs  uint64 // that a key may use
	blockIVs uint64

	// private opens the values of private objects; nil while no user is logged in.
	private atomic.Pointer[seal.Key]
	// area is where the objects are; Cleared changes it when that is durable.
	area atomic.Uint32
	// epoch counts what may make a permit untrue for any application.
	epoch atomic.Uint64

	sessions, rwSessions atomic.Int64
	retired              atomic.Bool

	mu      sync.Mutex
	users   int                  // guarded by mu; logins that have private objects open
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
	identity, kind, err := readIdentity(r, id, pub.Records())
	if err != nil {
		return nil, err
	}
	p, err := newPartition(c, id, kind, identity, pub)
	if err != nil {
		return nil, err
	}
	u, err := p.usage(r)
	if err != nil {
		return nil, err
	}
	p.area.Store(uint32(u.area))
	officer, err := p.credentialOf(r, p.Roles()[0])
	p.initialized = officer != nil
	return p, err
}

func newPartition(c Config, id ID, kind Kind, identity Identity, pub *seal.PartPub) (*Partition, error) {
	level, err := firmware.Describe(c.Level())
	if err != nil {
		return nil, err
	}
	p := &Partition{
		config: c, id: id, kind: kind, level: level.Level, format: object.Format(level.Format), overhead: level.Overhead,
		records: pub.Records(), objects: pub.Objects(), index: pub.Index(),
		states:  pub.Key(seal.NewContext("operation states").Uint64(c.Boot)),
		roles:   make(map[Role]*sync.Mutex),
		cache:   cache{entries: make(map[cryptoki.ObjectHandle]*resident)},
		members: make(map[*Member]struct{}),
		mostIVs: mostRandomIVs, blockIVs: randomIVsBlock,
	}
	p.area.Store(uint32(Area(id)))
	p.Adopt(identity)
	for role, rule := range roleRules {
		if rule.kind == kind {
			p.roles[role] = new(sync.Mutex)
		}
	}
	// Half of the epoch's bits are the start of the server: a permit from before it is
	// older than any of this one.
	p.epoch.Store(c.Boot << 32)
	return p, nil
}

// Level is the firmware level that the partition was opened at.
func (p *Partition) Level() firmware.Level { return p.level }

// Overhead is what the partition takes of its HSM's memory beside its size, in bytes.
func (p *Partition) Overhead() uint64 { return p.overhead }

// ID is the partition's number in the store.
func (p *Partition) ID() ID { return p.id }

// Initialized tells whether the partition has an SO.
func (p *Partition) Initialized() bool { return p.initialized }

// Version is the partition version, 0 or 1.
func (p *Partition) Version() uint8 { return p.identity.Load().Version }

// Label is the partition's label.
func (p *Partition) Label() string { return p.Identity().Label }

// Serial is the partition's serial number.
func (p *Partition) Serial() string { return p.Identity().Serial }

// PINLengths are the bounds of a PIN, in bytes.
func (p *Partition) PINLengths() (least, most int) { return p.Identity().pinLengths() }

// SessionCounts are the open sessions of all applications.
func (p *Partition) SessionCounts() (all, readWrite uint64) {
	return uint64(p.sessions.Load()), uint64(p.rwSessions.Load())
}
