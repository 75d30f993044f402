package hsm

import (
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

// Development says what a new development HSM is to be: one partition, all roles
// ready.
type Development struct {
	// Label is the HSM's and the partition's.
	Label string
	// SOPIN serves the HSM SO and the Partition SO, PIN the Crypto Officer. They remain
	// the caller's.
	SOPIN, PIN secret.Bytes
	// Mode is ModeDevelopment or ModeTest.
	Mode Mode
	// By is who makes it, for the audit log.
	By audit.Actor
}

// The PIN lengths of a development partition. The hardware's default minimum is 8;
// a laptop's HSM is made by scripts that were written for tokens with 4.
const (
	developmentMinPIN = 4
	developmentMaxPIN = 255
)

// CreateDevelopment makes an HSM in an empty store, all in one transaction.
func CreateDevelopment(store keystore.Store, rootKey secret.Bytes, d Development) error {
	if err := partition.CheckLabel(d.Label); err != nil {
		return err
	}
	root, err := seal.NewStretcher(false).RootKEK([]seal.Factor{seal.KeyFile()}, rootKey)
	if err != nil {
		return err
	}
	defer root.Wipe()
	key := seal.NewHSMKey()
	defer key.Wipe()
	const first partition.ID = 1
	r := record{
		label: d.Label, serial: newSerial(), mode: d.Mode, level: firmware.Newest,
		partitions: []partition.ID{first},
	}
	identity := partition.Identity{
		Label: d.Label, Serial: newSerial(), Size: 1 << 30,
		Policies: policy.Set{}.With(policy.MinPIN, 255-developmentMinPIN).With(policy.MaxPIN, developmentMaxPIN),
	}
	config := partitionConfig(store, key, d.Mode)
	log := audit.New(audit.Config{Key: key, Serial: r.serial, Now: config.Now})
	draft, err := partition.NewDraft(config, first, partition.Application, identity, map[partition.Role]secret.Bytes{
		partition.RolePartitionSO: d.SOPIN, partition.RoleCryptoOfficer: d.PIN,
	})
	if err != nil {
		return err
	}
	officer, err := newSecurityOfficer(config, key, d.SOPIN)
	if err != nil {
		return fmt.Errorf("the HSM SO: %w", err)
	}
	return tally.New(store, key).Create(func(w keystore.Writer) error {
		if err := w.Put(keystore.TableHSM, keyHSMKey, root.WrapHSMKey(key)); err != nil {
			return err
		}
		if err := w.Put(keystore.TableHSM, keyRecord, key.Records().Seal(nil, r.encode(), recordContext())); err != nil {
			return err
		}
		if err := w.Put(keystore.TableHSM, keySecurityOfficer, officer); err != nil {
			return err
		}
		if err := draft.Write(w); err != nil {
			return err
		}
		return recordCreation(w, log, d, first)
	})
}

// recordCreation begins the audit log with the HSM itself and what it was made with.
func recordCreation(w keystore.Writer, log *audit.Log, d Development, id partition.ID) error {
	if err := log.Create(w, d.By); err != nil {
		return err
	}
	officer := d.By
	officer.Role = audit.RolePartitionSO
	for _, r := range []audit.Record{
		{Event: audit.EventHSMCreate, Actor: d.By, Detail: d.Mode.String()},
		{Event: audit.EventPartitionCreate, Actor: d.By, Partition: uint32(id)},
		{Event: audit.EventRoleCreate, Actor: officer, Partition: uint32(id), Detail: partition.RoleCryptoOfficer.String()},
	} {
		if err := log.Append(w, r); err != nil {
			return err
		}
	}
	return nil
}

// newSecurityOfficer makes the record of the HSM SO's credential. Like a Partition SO
// he has no share in any key: his PIN opens one that seals nothing.
func newSecurityOfficer(c partition.Config, key *seal.HSMKey, pin secret.Bytes) ([]byte, error) {
	nothing := seal.NewPartKEK()
	defer nothing.Wipe()
	credential := seal.Credential{Role: cryptoki.CKU_SO, Epoch: 1}
	wrap, err := c.Stretcher.Wrap(credential, nothing, []seal.Factor{seal.Password(c.Cost)}, pin)
	if err != nil {
		return nil, err
	}
	return key.Records().Seal(nil, wrap.Encode(), seal.NewContext("hsm so")), nil
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
