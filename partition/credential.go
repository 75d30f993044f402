package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/seal"
)

// credential is a role's PIN as the store keeps it.
type credential struct {
	wrap *seal.Wrap
	// initial says that another role has set the PIN, and that it must be changed.
	initial bool
	// empty says that the wrap holds no PartKEK, but a key that opens nothing.
	empty bool
}

// A credential record is a byte of flags and the encoded wrap.
const (
	credentialInitial = 1
	credentialEmpty   = 2
)

func (c *credential) encode() []byte {
	var flags byte
	if c.initial {
		flags |= credentialInitial
	}
	if c.empty {
		flags |= credentialEmpty
	}
	return append([]byte{flags}, c.wrap.Encode()...)
}

func parseCredential(b []byte) (*credential, error) {
	if len(b) == 0 || b[0] > credentialInitial|credentialEmpty {
		return nil, errRecord
	}
	wrap, err := seal.ParseWrap(b[1:])
	if err != nil {
		return nil, err
	}
	return &credential{wrap: wrap, initial: b[0]&credentialInitial != 0, empty: b[0]&credentialEmpty != 0}, nil
}

func (p *Partition) roleContext(role Role) seal.Context {
	return seal.NewContext("role").Uint64(uint64(p.id)).Uint64(uint64(role))
}

func (p *Partition) credential(role Role, epoch uint64) seal.Credential {
	return seal.Credential{Partition: uint64(p.id), Role: role.User(), Epoch: epoch}
}

// newCredential makes a role's credential, the epoch-th: a password hash, which is
// not for inside a transaction. Without a PartKEK its wrap is an empty one. Errors:
// CKR_PIN_LEN_RANGE, CKR_PIN_INVALID.
func (p *Partition) newCredential(role Role, epoch uint64, kek *seal.PartKEK, pin secret.Bytes) (*credential, error) {
	if err := p.checkPIN(pin); err != nil {
		return nil, err
	}
	c := &credential{empty: kek == nil}
	if c.empty {
		kek = seal.NewPartKEK()
		defer kek.Wipe()
	}
	var err error
	c.wrap, err = p.config.Stretcher.Wrap(p.credential(role, epoch), kek, []seal.Factor{seal.Password(p.config.Cost)}, pin)
	return c, err
}

// putCredential writes a role's credential and forgives its tries.
func (p *Partition) putCredential(w keystore.Writer, role Role, c *credential) error {
	record := p.records.Seal(nil, c.encode(), p.roleContext(role))
	if err := w.Put(keystore.TablePartition, p.id.roleKey(keyRole, role), record); err != nil {
		return err
	}
	return p.putTries(w, role, tries{})
}

// credentialOf reads a role's credential; nil when the role is not initialised.
func (p *Partition) credentialOf(r keystore.Reader, role Role) (*credential, error) {
	record, err := r.Get(keystore.TablePartition, p.id.roleKey(keyRole, role))
	if err != nil || record == nil {
		return nil, err
	}
	plain, err := p.records.Open(nil, record, p.roleContext(role))
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "the %v's credential: %w", role, err)
	}
	return parseCredential(plain)
}

// checkPIN checks a new PIN. Errors: CKR_PIN_LEN_RANGE, CKR_PIN_INVALID.
func (p *Partition) checkPIN(pin secret.Bytes) error {
	if err := p.checkPINLength(pin); err != nil {
		return err
	}
	for _, c := range pin.Expose() {
		if c < 0x20 || c == 0x7f {
			return cryptoki.Errorf(cryptoki.CKR_PIN_INVALID, "a PIN must not have control characters")
		}
	}
	return nil
}

func (p *Partition) checkPINLength(pin secret.Bytes) error {
	least, most := p.PINLengths()
	if n := pin.Len(); n < least || n > most {
		return cryptoki.Errorf(cryptoki.CKR_PIN_LEN_RANGE, "a PIN has %d to %d characters", least, most)
	}
	return nil
}

// tries is a role's count of wrong PINs.
type tries struct {
	// failed counts wrong PINs since the last right one.
	failed uint64
	// open says that a try was begun and its outcome is not known: the server ended in
	// between.
	open bool
	// since is when the limit was reached, zero while it was not.
	since time.Time
}

// locked tells whether the role takes no PIN now. Where the lock is for good, a limit that
// has been raised since does not undo it.
func (p *Partition) locked(role Role, t tries) bool {
	reached := t.failed >= p.limit(role)
	if pause := roleRules[role].pause; pause != 0 {
		return reached && p.config.Now().Before(t.since.Add(pause))
	}
	return reached || !t.since.IsZero()
}

// lock locks, inside an update, the roles whose wrong PINs so far reach the limit of other
// policies.
func (p *Partition) lock(w keystore.Writer, policies policy.Set) error {
	for _, role := range p.Roles() {
		c, err := p.credentialOf(w, role)
		if err != nil {
			return err
		}
		if c == nil || roleRules[role].limit != 0 {
			continue
		}
		t, err := p.tries(w, role)
		if err != nil {
			return err
		}
		if t.failed < role.limit(policies) || !t.since.IsZero() {
			continue
		}
		t.since = p.config.Now()
		if err := p.putTries(w, role, t); err != nil {
			return err
		}
	}
	return nil
}

// begin is the count at the start of the next try. One whose outcome was lost
// counts as wrong, but for the last: a crash alone must not lock a role. Nobody wins
// by that, since a wrong PIN is counted before it is answered.
func (t tries) begin(limit uint64) tries {
	switch {
	case t.failed >= limit:
		t.failed = 0 // the pause is over
	case t.open && t.failed < limit-1:
		t.failed++
	}
	return tries{failed: t.failed, open: true}
}

// authenticate checks a PIN and returns the key that it opens, for the caller to
// wipe; after a right PIN the caller calls forgive. The caller holds the role's
// mutex. That a try was begun is durable before the PIN is looked at, and that it
// was wrong before anybody hears of it: whoever kills the server gets no guess back.
//
// Errors: CKR_USER_PIN_NOT_INITIALIZED, CKR_PIN_LEN_RANGE, CKR_PIN_LOCKED,
// CKR_PIN_INCORRECT.
func (p *Partition) authenticate(m *Member, role Role, pin secret.Bytes) (*seal.PartKEK, *credential, error) {
	var c *credential
	var count tries
	err := p.config.Store.Update(func(w keystore.Writer) (err error) {
		if c, err = p.credentialOf(w, role); err != nil {
			return err
		}
		if c == nil {
			if err := p.exists(w); err != nil {
				return err
			}
			return cryptoki.CKR_USER_PIN_NOT_INITIALIZED
		}
		if err := p.checkPINLength(pin); err != nil {
			return err
		}
		if count, err = p.tries(w, role); err != nil {
			return err
		}
		if p.locked(role, count) {
			return cryptoki.Errorf(cryptoki.CKR_PIN_LOCKED, "the %v is locked after %d wrong PINs", role, count.failed)
		}
		count = count.begin(p.limit(role))
		return p.putTries(w, role, count)
	})
	if err != nil {
		return nil, nil, storeError(err)
	}
	credential := p.credential(role, c.wrap.Epoch)
	if kek, known := p.config.Verifier.Check(credential, pin); known {
		return kek, c, nil
	}
	kek, err := p.config.Stretcher.Open(c.wrap, uint64(p.id), pin)
	if errors.Is(err, seal.ErrWrongSecret) {
		return nil, nil, p.blame(m, role, count)
	}
	if err != nil {
		return nil, nil, err
	}
	p.config.Verifier.Remember(credential, pin, kek)
	if p.retired.Load() {
		p.config.Verifier.ForgetPartition(uint64(p.id)) // it has done so already, before this one
	}
	return kek, c, nil
}

// blame counts a wrong PIN, durably, and returns the error to answer it with. What the
// last one costs is in the same transaction.
func (p *Partition) blame(m *Member, role Role, count tries) error {
	limit := p.limit(role)
	count = tries{failed: count.failed + 1}
	answer, event := cryptoki.CKR_PIN_INCORRECT, audit.EventLogin
	if count.failed >= limit {
		answer, event = cryptoki.CKR_PIN_LOCKED, audit.EventRoleLock
		count.since = p.config.Now()
	}
	detail := fmt.Sprintf("wrong PIN %d of %d", count.failed, limit)
	var after func()
	err := p.config.Store.Update(func(w keystore.Writer) (err error) {
		if err := p.putTries(w, role, count); err != nil {
			return err
		}
		if err := m.record(w, role, audit.Record{Event: event, Result: answer, Detail: detail}); err != nil {
			return err
		}
		if answer == cryptoki.CKR_PIN_LOCKED && roleRules[role].costs {
			after, err = p.config.Lost(w, p, role)
		}
		return err
	})
	if err != nil {
		return storeError(err)
	}
	if answer == cryptoki.CKR_PIN_LOCKED {
		p.config.Verifier.Forget(uint64(p.id), role.User())
	}
	if after != nil {
		after()
	}
	return cryptoki.Errorf(answer, "the %v's %s", role, detail)
}

// forgive clears the count after a right PIN, together with what also does. Error:
// CKR_DEVICE_REMOVED when the partition or the role was erased since the PIN was looked
// at, of which nothing must be written any more, least of all a ticket.
func (p *Partition) forgive(role Role, also func(keystore.Writer) error) error {
	return storeError(p.config.Store.Update(func(w keystore.Writer) error {
		if err := p.remains(w, role); err != nil {
			return err
		}
		if err := p.putTries(w, role, tries{}); err != nil {
			return err
		}
		return also(w)
	}))
}

// remains checks inside an update that a role is still there.
func (p *Partition) remains(w keystore.Writer, role Role) error {
	record, err := w.Get(keystore.TablePartition, p.id.roleKey(keyRole, role))
	if err == nil && record == nil {
		return errErased(role)
	}
	return err
}

func errErased(role Role) error {
	return cryptoki.Errorf(cryptoki.CKR_DEVICE_REMOVED, "the %v was erased meanwhile", role)
}

// Tries are stored as their number in eight bytes, one byte that is 1 for an open
// try, the second since 1970 when the limit was reached in eight bytes, and a MAC, so that
// only the HSM's key can write them. An old count that is put back is a matter for a
// witness.
func (p *Partition) triesContext(role Role, b []byte) seal.Context {
	return seal.NewContext("tries").Uint64(uint64(p.id)).Uint64(uint64(role)).Bytes(b)
}

const triesSize = 8 + 1 + 8

func (p *Partition) putTries(w keystore.Writer, role Role, t tries) error {
	b := binary.BigEndian.AppendUint64(nil, t.failed)
	b = append(b, cryptoki.Bool(t.open)...)
	var since uint64
	if !t.since.IsZero() {
		since = uint64(t.since.Unix())
	}
	b = binary.BigEndian.AppendUint64(b, since)
	sum := p.config.Counters.Sum(p.triesContext(role, b))
	return w.Put(keystore.TableCounter, p.id.roleKey(keyTries, role), append(b, sum[:]...))
}

func (p *Partition) tries(r keystore.Reader, role Role) (tries, error) {
	b, err := r.Get(keystore.TableCounter, p.id.roleKey(keyTries, role))
	if err != nil {
		return tries{}, err
	}
	if len(b) != triesSize+seal.MACSize || !p.config.Counters.Verify(p.triesContext(role, b[:triesSize]), b[triesSize:]) {
		return tries{}, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "the count of the %v's tries is missing or damaged", role)
	}
	t := tries{failed: binary.BigEndian.Uint64(b), open: b[8] == 1}
	if since := binary.BigEndian.Uint64(b[9:]); since != 0 {
		t.since = time.Unix(int64(since), 0)
	}
	return t, nil
}
