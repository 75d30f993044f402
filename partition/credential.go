package partition

import (
	"encoding/binary"
	"errors"

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

// setCredential writes a role's credential, the epoch-th, and forgives its tries.
func (p *Partition) setCredential(w keystore.Writer, role Role, epoch uint64, kek *seal.PartKEK, pin secret.Bytes) error {
	if err := p.checkPIN(pin); err != nil {
		return err
	}
	c := seal.Credential{Partition: uint64(p.id), Role: role.user(), Epoch: epoch}
	wrap, err := p.config.Stretcher.Wrap(c, kek, []seal.Factor{seal.Password(p.config.Cost)}, pin)
	if err != nil {
		return err
	}
	return p.putCredential(w, role, wrap)
}

func (p *Partition) putCredential(w keystore.Writer, role Role, wrap *seal.Wrap) error {
	record := p.records.Seal(nil, wrap.Encode(), p.roleContext(role))
	if err := w.Put(keystore.TablePartition, p.id.roleKey(keyRole, role), record); err != nil {
		return err
	}
	return w.Put(keystore.TableCounter, p.id.roleKey(keyTries, role), p.encodeTries(role, 0))
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

// authenticate checks a PIN and returns the key that it opens, for the caller to
// wipe. The caller holds the role's mutex. A try is counted, durably, before the PIN
// is looked at, and forgiven after a right one: whoever kills the server in between
// has lost the try.
//
// Errors: CKR_USER_PIN_NOT_INITIALIZED, CKR_PIN_LEN_RANGE, CKR_PIN_LOCKED,
// CKR_PIN_INCORRECT.
func (p *Partition) authenticate(role Role, pin secret.Bytes) (*seal.PartKEK, *seal.Wrap, error) {
	var wrap *seal.Wrap
	var tries uint64
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
		if tries, err = p.tries(w, role); err != nil {
			return err
		}
		if tries >= maxTries {
			return cryptoki.Errorf(cryptoki.CKR_PIN_LOCKED, "the %v is locked after %d wrong PINs", role, tries)
		}
		tries++
		return w.Put(keystore.TableCounter, p.id.roleKey(keyTries, role), p.encodeTries(role, tries))
	})
	if err != nil {
		return nil, nil, storeError(err)
	}
	credential := p.credential(role, wrap)
	kek, known := p.config.Verifier.Check(credential, pin)
	if !known {
		kek, err = p.config.Stretcher.Open(wrap, uint64(p.id), pin)
		if err != nil {
			if tries >= maxTries && errors.Is(err, seal.ErrWrongSecret) {
				p.config.Verifier.Forget(uint64(p.id), role.user())
				err = cryptoki.Errorf(cryptoki.CKR_PIN_LOCKED, "that was the %v's last try: %w", role, err)
			}
			return nil, nil, err
		}
		p.config.Verifier.Remember(credential, pin, kek)
	}
	err = p.config.Store.Update(func(w keystore.Writer) error {
		return w.Put(keystore.TableCounter, p.id.roleKey(keyTries, role), p.encodeTries(role, 0))
	})
	if err != nil {
		kek.Wipe()
		return nil, nil, storeError(err)
	}
	return kek, wrap, nil
}

// Tries are stored as a number in eight bytes and its MAC, so that only the HSM's
// key can write one. An old number that is put back is a matter for a witness.
func (p *Partition) triesContext(role Role, n uint64) seal.Context {
	return seal.NewContext("tries").Uint64(uint64(p.id)).Uint64(uint64(role)).Uint64(n)
}

func (p *Partition) encodeTries(role Role, n uint64) []byte {
	sum := p.config.Counters.Sum(p.triesContext(role, n))
	return append(binary.BigEndian.AppendUint64(nil, n), sum[:]...)
}

func (p *Partition) tries(r keystore.Reader, role Role) (uint64, error) {
	b, err := r.Get(keystore.TableCounter, p.id.roleKey(keyTries, role))
	if err != nil {
		return 0, err
	}
	if len(b) != 8+seal.MACSize {
		return 0, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "the count of the %v's tries is missing or damaged", role)
	}
	n := binary.BigEndian.Uint64(b)
	if !p.config.Counters.Verify(p.triesContext(role, n), b[8:]) {
		return 0, cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "the count of the %v's tries is damaged", role)
	}
	return n, nil
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
			n, err := p.tries(r, f.role)
			if err != nil {
				return err
			}
			switch {
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
