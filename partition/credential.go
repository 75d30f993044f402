package partition

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/seal"
)

// maxTries is how many wrong PINs in a row lock a role (partition policy 20's
// default).
const maxTries = 10

func (p *Partition) roleContext(role Role) seal.Context {
	return seal.NewContext("role").Uint64(uint64(p.id)).Uint64(uint64(role))
}

func (p *Partition) credential(role Role, w *seal.Wrap) seal.Credential {
	return seal.Credential{Partition: uint64(p.id), Role: role.user(), Epoch: w.Epoch}
}

// newCredential makes a role's credential, the epoch-th: a password hash, which is
// not for inside a transaction. Errors: CKR_PIN_LEN_RANGE, CKR_PIN_INVALID.
func (p *Partition) newCredential(role Role, epoch uint64, kek *seal.PartKEK, pin secret.Bytes) (*seal.Wrap, error) {
	if err := p.checkPIN(pin); err != nil {
		return nil, err
	}
	c := seal.Credential{Partition: uint64(p.id), Role: role.user(), Epoch: epoch}
	return p.config.Stretcher.Wrap(c, kek, []seal.Factor{seal.Password(p.config.Cost)}, pin)
}

// putCredential writes a role's credential and forgives its tries.
func (p *Partition) putCredential(w keystore.Writer, role Role, wrap *seal.Wrap) error {
	record := p.records.Seal(nil, wrap.Encode(), p.roleContext(role))
	if err := w.Put(keystore.TablePartition, p.id.roleKey(keyRole, role), record); err != nil {
		return err
	}
	return p.putTries(w, role, tries{})
}

// wrapOf reads a role's credential; nil when the role is not initialised.
func (p *Partition) wrapOf(r keystore.Reader, role Role) (*seal.Wrap, error) {
	record, err := r.Get(keystore.TablePartition, p.id.roleKey(keyRole, role))
	if err != nil || record == nil {
		return nil, err
	}
	plain, err := p.records.Open(nil, record, p.roleContext(role))
	if err != nil {
		return nil, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "the %v's credential: %w", role, err)
	}
	return seal.ParseWrap(plain)
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
	if n := pin.Len(); n < p.identity.MinPIN || n > p.identity.MaxPIN {
		return cryptoki.Errorf(cryptoki.CKR_PIN_LEN_RANGE, "a PIN has %d to %d characters", p.identity.MinPIN, p.identity.MaxPIN)
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
}

// begin is the count at the start of the next try. One whose outcome was lost
// counts as wrong, but for the last: a crash alone must not lock a role. Nobody wins
// by that, since a wrong PIN is counted before it is answered.
func (t tries) begin() tries {
	if t.open && t.failed < maxTries-1 {
		t.failed++
	}
	return tries{t.failed, true}
}

// authenticate checks a PIN and returns the key that it opens, for the caller to
// wipe; after a right PIN the caller calls forgive. The caller holds the role's
// mutex. That a try was begun is durable before the PIN is looked at, and that it
// was wrong before anybody hears of it: whoever kills the server gets no guess back.
//
// Errors: CKR_USER_PIN_NOT_INITIALIZED, CKR_PIN_LEN_RANGE, CKR_PIN_LOCKED,
// CKR_PIN_INCORRECT.
func (p *Partition) authenticate(m *Member, role Role, pin secret.Bytes) (*seal.PartKEK, *seal.Wrap, error) {
	var wrap *seal.Wrap
	var count tries
	err := p.config.Store.Update(func(w keystore.Writer) (err error) {
		if wrap, err = p.wrapOf(w, role); err != nil {
			return err
		}
		if wrap == nil {
			return cryptoki.CKR_USER_PIN_NOT_INITIALIZED
		}
		if err := p.checkPINLength(pin); err != nil {
			return err
		}
		if count, err = p.tries(w, role); err != nil {
			return err
		}
		if count.failed >= maxTries {
			return cryptoki.Errorf(cryptoki.CKR_PIN_LOCKED, "the %v is locked after %d wrong PINs", role, count.failed)
		}
		count = count.begin()
		return p.putTries(w, role, count)
	})
	if err != nil {
		return nil, nil, storeError(err)
	}
	credential := p.credential(role, wrap)
	if kek, known := p.config.Verifier.Check(credential, pin); known {
		return kek, wrap, nil
	}
	kek, err := p.config.Stretcher.Open(wrap, uint64(p.id), pin)
	if errors.Is(err, seal.ErrWrongSecret) {
		return nil, nil, p.blame(m, role, count)
	}
	if err != nil {
		return nil, nil, err
	}
	p.config.Verifier.Remember(credential, pin, kek)
	return kek, wrap, nil
}

// blame counts a wrong PIN, durably, and returns the error to answer it with.
func (p *Partition) blame(m *Member, role Role, count tries) error {
	count = tries{failed: count.failed + 1}
	answer, event := cryptoki.CKR_PIN_INCORRECT, audit.EventLogin
	if count.failed >= maxTries {
		answer, event = cryptoki.CKR_PIN_LOCKED, audit.EventRoleLock
	}
	detail := fmt.Sprintf("wrong PIN %d of %d", count.failed, maxTries)
	err := p.config.Store.Update(func(w keystore.Writer) error {
		if err := p.putTries(w, role, count); err != nil {
			return err
		}
		return m.record(w, role, audit.Record{Event: event, Result: answer, Detail: detail})
	})
	if err != nil {
		return storeError(err)
	}
	if answer == cryptoki.CKR_PIN_LOCKED {
		p.config.Verifier.Forget(uint64(p.id), role.user())
	}
	return cryptoki.Errorf(answer, "the %v's %s", role, detail)
}

// forgive clears the count after a right PIN, together with what also does.
func (p *Partition) forgive(role Role, also func(keystore.Writer) error) error {
	return storeError(p.config.Store.Update(func(w keystore.Writer) error {
		if err := p.putTries(w, role, tries{}); err != nil {
			return err
		}
		return also(w)
	}))
}

// Tries are stored as their number in eight bytes, one byte that is 1 for an open
// try, and a MAC, so that only the HSM's key can write them. An old count that is put
// back is a matter for a witness.
func (p *Partition) triesContext(role Role, b []byte) seal.Context {
	return seal.NewContext("tries").Uint64(uint64(p.id)).Uint64(uint64(role)).Bytes(b)
}

func (p *Partition) putTries(w keystore.Writer, role Role, t tries) error {
	b := binary.BigEndian.AppendUint64(nil, t.failed)
	b = append(b, cryptoki.Bool(t.open)...)
	sum := p.config.Counters.Sum(p.triesContext(role, b))
	return w.Put(keystore.TableCounter, p.id.roleKey(keyTries, role), append(b, sum[:]...))
}

func (p *Partition) tries(r keystore.Reader, role Role) (tries, error) {
	b, err := r.Get(keystore.TableCounter, p.id.roleKey(keyTries, role))
	if err != nil {
		return tries{}, err
	}
	if len(b) != 9+seal.MACSize || !p.config.Counters.Verify(p.triesContext(role, b[:9]), b[9:]) {
		return tries{}, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "the count of the %v's tries is missing or damaged", role)
	}
	return tries{binary.BigEndian.Uint64(b), b[8] == 1}, nil
}

// TokenFlags are the CKF_ flags of CK_TOKEN_INFO.
func (p *Partition) TokenFlags() (cryptoki.Flags, error) {
	flags := cryptoki.CKF_RNG | cryptoki.CKF_LOGIN_REQUIRED | cryptoki.CKF_TOKEN_INITIALIZED
	err := p.config.Store.View(func(r keystore.Reader) error {
		for _, f := range [...]struct {
			role                               Role
			initialised, low, finalTry, locked cryptoki.Flags
		}{
			{RoleCryptoOfficer, cryptoki.CKF_USER_PIN_INITIALIZED, cryptoki.CKF_USER_PIN_COUNT_LOW, cryptoki.CKF_USER_PIN_FINAL_TRY, cryptoki.CKF_USER_PIN_LOCKED},
			{RolePartitionSO, 0, cryptoki.CKF_SO_PIN_COUNT_LOW, cryptoki.CKF_SO_PIN_FINAL_TRY, cryptoki.CKF_SO_PIN_LOCKED},
		} {
			wrap, err := p.wrapOf(r, f.role)
			if err != nil {
				return err
			}
			if wrap == nil {
				continue
			}
			flags |= f.initialised
			count, err := p.tries(r, f.role)
			if err != nil {
				return err
			}
			switch n := count.failed; {
			case n >= maxTries:
				flags |= f.locked
			case n == maxTries-1:
				flags |= f.finalTry | f.low
			case n > 0:
				flags |= f.low
			}
		}
		return nil
	})
	return flags, storeError(err)
}
