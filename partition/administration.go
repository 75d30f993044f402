package partition

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
)

// Confirm checks the PIN of a role for an act that is done without a login. A wrong one
// counts, as in a login. The PIN remains the caller's. Errors:
// CKR_USER_PIN_NOT_INITIALIZED, CKR_PIN_LEN_RANGE, CKR_PIN_LOCKED, CKR_PIN_INCORRECT.
func (p *Partition) Confirm(by Actor, role Role, pin secret.Bytes) error {
	attempt := p.roles[role]
	attempt.Lock()
	defer attempt.Unlock()
	kek, _, err := p.authenticate(p.stranger(by), role, pin)
	if err != nil {
		return err
	}
	kek.Wipe()
	return p.forgive(role, func(keystore.Writer) error { return nil })
}

// Resize gives the partition another size inside an update, in bytes. Error:
// CKR_DEVICE_MEMORY for one below what is in use.
func (p *Partition) Resize(w keystore.Writer, size uint64) error {
	u, err := p.usage(w)
	if err != nil {
		return err
	}
	if size < u.Used {
		return cryptoki.Errorf(cryptoki.CKR_DEVICE_MEMORY, "%d bytes are in use, the partition cannot have %d", u.Used, size)
	}
	i := p.Identity()
	i.Size = size
	if err := p.SetIdentity(w, i); err != nil {
		return err
	}
	// Whatever zeroizes the partition next must carry this size on.
	p.Adopt(i)
	return nil
}

// SetIdentity gives the drafted partition another identity than the one whose place it
// takes has.
func (d *Draft) SetIdentity(i Identity) { d.partition.Adopt(i) }
