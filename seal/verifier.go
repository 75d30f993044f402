package seal

import (
	"sync"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
)

// Verifier remembers in memory which PINs were right, so that bringing one again
// costs no KDF. What it holds is worthless without its random key, which never
// leaves the process: for each role one PartKEK, sealed under a MAC of the credential
// and the PIN. It is safe for concurrent use.
type Verifier struct {
	mac *MAC // under a random key

	mu      sync.Mutex
	entries map[account][]byte // sealed, and bound to the credential's epoch
}

type account struct {
	partition uint64
	role      cryptoki.UserType
}

// NewVerifier makes an empty Verifier.
func NewVerifier() *Verifier {
	return &Verifier{mac: &MAC{newDerivationKey().raw}, entries: map[account][]byte{}}
}

// under is the key that a PIN of a credential gives.
func (v *Verifier) under(c Credential, pin secret.Bytes) *Key {
	return v.mac.key(c.context("pin").Bytes(pin.Expose()))
}

// Remember notes that pin opens a credential's PartKEK, in place of what was
// remembered for that role. Both remain the caller's.
func (v *Verifier) Remember(c Credential, pin secret.Bytes, p *PartKEK) {
	sealed := p.Seal(v.under(c, pin), c.context("verifier"))
	v.mu.Lock()
	defer v.mu.Unlock()
	v.entries[account{c.Partition, c.Role}] = sealed
}

// Check gives the PartKEK, which becomes the caller's, when pin is the one that was
// remembered for this state of the credential. Otherwise nothing is known about it
// and the Wrap decides.
func (v *Verifier) Check(c Credential, pin secret.Bytes) (*PartKEK, bool) {
	v.mu.Lock()
	sealed, ok := v.entries[account{c.Partition, c.Role}]
	v.mu.Unlock()
	if !ok {
		return nil, false
	}
	p, err := OpenPartKEK(v.under(c, pin), sealed, c.context("verifier"))
	return p, err == nil
}

// Forget forgets a role's PIN: after a lock-out, or when the role is gone.
func (v *Verifier) Forget(partition uint64, role cryptoki.UserType) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.entries, account{partition, role})
}

// ForgetPartition forgets the PINs of all roles of a partition.
func (v *Verifier) ForgetPartition(partition uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for a := range v.entries {
		if a.partition == partition {
			delete(v.entries, a)
		}
	}
}

// Wipe forgets everything. The Verifier is not used afterwards.
func (v *Verifier) Wipe() {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.entries)
	v.mac.Wipe()
}
