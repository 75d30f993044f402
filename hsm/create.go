package hsm

import (
	"cmp"
	"crypto/rand"
	"fmt"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/keystore/tally"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/seal"
)

// Creation says what a new HSM is to be.
type Creation struct {
	Label string
	// Level is the firmware's; the zero level is firmware.Newest.
	Level firmware.Level
	// SOPIN is the HSM SO's; it remains the caller's.
	SOPIN secret.Bytes
	// Memory is in bytes, MinMemory to MaxMemory; Licences is how many partitions there
	// may be, up to MaxLicences. 0 is the default.
	Memory   uint64
	Licences uint16
	Mode     Mode
	// By is who makes it, for the audit log.
	By audit.Actor
}

// Development says what a new development HSM is to be: one partition, everybody's and
// in slot 0, all roles ready.
type Development struct {
	// Label is the HSM's and the partition's.
	Label string
	// SOPIN serves the HSM SO and the Partition SO, PIN the Crypto Officer. They remain
	// the caller's.
	SOPIN, PIN secret.Bytes
	// Mode is ModeDevelopment or ModeTest.
	Mode Mode
	// Level, Memory and Licences are those of Creation; 0 is the default.
	Level    firmware.Level
	Memory   uint64
	Licences uint16
	// Version is the partition's; nil when nobody names one.
	Version *uint8
	// By is who makes it, for the audit log.
	By audit.Actor
}

// What `hsm init` and quickstart make when nobody says otherwise.
const (
	DefaultMemory   = 4 << 30
	DefaultLicences = 10
)

// The PIN lengths of a development HSM. The hardware's default minimum is 8; a laptop's
// HSM is made by scripts that were written for tokens with 4.
const (
	developmentMinPIN = 4
	developmentMaxPIN = 255
)

func shortPINs(s policy.Set) policy.Set {
	return s.With(policy.MinPIN, 255-developmentMinPIN).With(policy.MaxPIN, developmentMaxPIN)
}

// Create makes an operational HSM without partitions in an empty store, all in one
// transaction.
func Create(store keystore.Store, rootKey secret.Bytes, c Creation) error {
	f, err := c.found(store)
	if err != nil {
		return err
	}
	defer f.key.Wipe()
	return f.write(rootKey, func(keystore.Writer) error { return nil })
}

// CreateDevelopment makes a development HSM in an empty store, all in one transaction.
func CreateDevelopment(store keystore.Store, rootKey secret.Bytes, d Development) error {
	f, err := Creation{
		Label: d.Label, SOPIN: d.SOPIN, Level: d.Level, Memory: d.Memory, Licences: d.Licences, Mode: d.Mode, By: d.By,
	}.found(store)
	if err != nil {
		return err
	}
	defer f.key.Wipe()
	version, err := version(f.record.level, d.Version)
	if err != nil {
		return err
	}
	id := f.record.take()
	f.record.slots = []slot{{partition: id, everybody: true}}
	identity := partition.Identity{
		Label: d.Label, Serial: newSerial(), Size: f.record.share(), Version: version,
		Policies: shortPINs(policy.Partition(f.record.level).Under(version, f.record.policies)),
	}
	draft, err := partition.NewDraft(f.config, id, partition.Application, identity, map[partition.Role]secret.Bytes{
		partition.RolePartitionSO: d.SOPIN, partition.RoleCryptoOfficer: d.PIN,
	})
	if err != nil {
		return err
	}
	return f.write(rootKey, func(w keystore.Writer) error {
		if err := draft.Write(w); err != nil {
			return err
		}
		officer := d.By
		officer.Role = audit.RolePartitionSO
		return f.log(w,
			audit.Record{Event: audit.EventPartitionCreate, Actor: d.By, Partition: uint32(id)},
			audit.Record{Event: audit.EventRoleCreate, Actor: officer, Partition: uint32(id), Detail: partition.RoleCryptoOfficer.String()})
	})
}

// version is the partition version that somebody asks for at a level: 0 where he names
// none. Errors: CKR_ARGUMENTS_BAD, and those of firmware.Level.CanCreateVersion.
func version(level firmware.Level, named *uint8) (uint8, error) {
	if named == nil {
		return 0, nil
	}
	if *named > 1 {
		return 0, cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "a partition is of version 0 or 1, not %d", *named)
	}
	return *named, level.CanCreateVersion(*named)
}

// foundation is an HSM that is about to be written.
type foundation struct {
	Creation
	store          keystore.Store
	key            *seal.HSMKey
	record         record
	config         partition.Config
	audit          *audit.Log
	administration *partition.Draft
}

// found thinks a new HSM out. Its key is the caller's to wipe.
func (c Creation) found(store keystore.Store) (*foundation, error) {
	c.Level, c.Memory, c.Licences = cmp.Or(c.Level, firmware.Newest), cmp.Or(c.Memory, DefaultMemory), cmp.Or(c.Licences, DefaultLicences)
	if _, err := firmware.Describe(c.Level); err != nil {
		return nil, err
	}
	switch {
	case c.Memory < MinMemory || c.Memory > MaxMemory:
		return nil, cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "an HSM's memory is %d to %d bytes, not %d", uint64(MinMemory), uint64(MaxMemory), c.Memory)
	case c.Licences < 1 || c.Licences > MaxLicences:
		return nil, cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "an HSM has 1 to %d partitions, not %d", MaxLicences, c.Licences)
	}
	f := &foundation{Creation: c, store: store, key: seal.NewHSMKey(), record: record{
		label: c.Label, serial: newSerial(), mode: c.Mode, state: StateOperational, level: c.Level,
		memory: c.Memory, licences: c.Licences, policies: policy.HSM(c.Level).Defaults(0),
		officer: 1, next: partition.AdministrationID + 1,
	}}
	if f.record.usable()/uint64(c.Licences) <= f.record.overhead() {
		f.key.Wipe()
		return nil, cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "%d bytes of memory are too few for %d partitions: each takes %d beside its objects",
			c.Memory, c.Licences, f.record.overhead())
	}
	if c.Mode != ModeProduction {
		f.record.policies = f.record.policies.With(policy.ForcePINChange, 0)
	}
	f.config = partitionConfig(store, f.key, c.Mode)
	f.config.HSMPolicies = func() policy.Set { return f.record.policies }
	f.config.Level = func() firmware.Level { return f.record.level }
	f.audit = audit.New(audit.Config{Key: f.key, Serial: f.record.serial, Now: f.config.Now})
	var err error
	f.administration, err = partition.NewDraft(f.config, partition.AdministrationID, partition.Administration, f.record.administration(),
		map[partition.Role]secret.Bytes{partition.RoleHSMSO: c.SOPIN})
	if err != nil {
		f.key.Wipe()
		return nil, err
	}
	return f, nil
}

// administration is what the administration's slot shows of the HSM.
func (r *record) administration() partition.Identity {
	i := partition.Identity{Label: r.label, Serial: r.serial}
	if i.Label == "" {
		i.Label = model
	}
	if r.mode != ModeProduction {
		i.Policies = shortPINs(i.Policies)
	}
	return i
}

// write makes the HSM, and what else belongs to it, all in one transaction.
func (f *foundation) write(rootKey secret.Bytes, also func(keystore.Writer) error) error {
	root, err := seal.NewStretcher(false).RootKEK([]seal.Factor{seal.KeyFile()}, rootKey)
	if err != nil {
		return err
	}
	defer root.Wipe()
	return tally.New(f.store, f.key).Create(func(w keystore.Writer) error {
		if err := w.Put(keystore.TableHSM, keyHSMKey, root.WrapHSMKey(f.key)); err != nil {
			return err
		}
		if err := w.Put(keystore.TableHSM, keyRecord, f.key.Records().Seal(nil, f.record.encode(), recordContext())); err != nil {
			return err
		}
		if err := f.administration.Write(w); err != nil {
			return err
		}
		if err := f.audit.Create(w, f.By); err != nil {
			return err
		}
		if err := f.log(w, audit.Record{Event: audit.EventHSMCreate, Actor: f.By, Detail: f.Mode.String()}); err != nil {
			return err
		}
		return also(w)
	})
}

func (f *foundation) log(w keystore.Writer, entries ...audit.Record) error {
	for _, e := range entries {
		if err := f.audit.Append(w, e); err != nil {
			return err
		}
	}
	return nil
}

// newSerial makes a serial number of 13 digits, as the hardware's partitions have.
func newSerial() string {
	var b [8]byte
	rand.Read(b[:])
	n := uint64(0)
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return fmt.Sprintf("%013d", n%10_000_000_000_000)
}
