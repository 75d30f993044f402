package partition

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
)

// RoleState is what CA_RoleStateGet tells of a role.
type RoleState struct {
	Initialized bool
	Locked      bool
	// MustChange says that the PIN is an initial one.
	MustChange bool
	// AttemptsLeft is how many wrong PINs the role still bears.
	AttemptsLeft uint64
}

// Flags of the vendor's CA_ROLE_STATE.
const (
	roleInitialized = 0x01
	roleLocked      = 0x02
	roleMustChange  = 0x10
)

// Flags is the state in the form of CA_ROLE_STATE.
func (s RoleState) Flags() (f uint8) {
	if s.Initialized {
		f |= roleInitialized
	}
	if s.Locked {
		f |= roleLocked
	}
	if s.MustChange {
		f |= roleMustChange
	}
	return f
}

// RoleState tells the state of a role by its CKU_ number. Error:
// CKR_USER_TYPE_INVALID; a Limited Crypto Officer is not initialised.
func (p *Partition) RoleState(user cryptoki.UserType) (RoleState, error) {
	role, err := p.RoleOf(user)
	if cryptoki.Code(err) == cryptoki.CKR_USER_PIN_NOT_INITIALIZED {
		return RoleState{}, nil
	}
	if err != nil {
		return RoleState{}, err
	}
	var s RoleState
	err = p.config.Store.View(func(r keystore.Reader) (err error) {
		s, err = p.roleState(r, role)
		return err
	})
	return s, storeError(err)
}

func (p *Partition) roleState(r keystore.Reader, role Role) (RoleState, error) {
	c, err := p.credentialOf(r, role)
	if err != nil || c == nil {
		return RoleState{}, err
	}
	count, err := p.tries(r, role)
	if err != nil {
		return RoleState{}, err
	}
	s := RoleState{Initialized: true, MustChange: c.initial, Locked: p.locked(role, count)}
	switch limit := p.limit(role); {
	case s.Locked:
	case count.failed >= limit:
		s.AttemptsLeft = limit // the pause is over
	default:
		s.AttemptsLeft = limit - count.failed
	}
	return s, nil
}

// TokenFlags are the CKF_ flags of CK_TOKEN_INFO.
func (p *Partition) TokenFlags() (cryptoki.Flags, error) {
	flags := cryptoki.CKF_RNG | cryptoki.CKF_LOGIN_REQUIRED | cryptoki.CKF_DUAL_CRYPTO_OPERATIONS | cryptoki.CKF_RESTORE_KEY_NOT_NEEDED
	if p.initialized {
		flags |= cryptoki.CKF_TOKEN_INITIALIZED
	}
	officer, user := p.Roles()[0], p.Roles()[1]
	err := p.config.Store.View(func(r keystore.Reader) error {
		for _, f := range [...]struct {
			role                                           Role
			initialised, low, finalTry, locked, mustChange cryptoki.Flags
		}{
			{user, cryptoki.CKF_USER_PIN_INITIALIZED, cryptoki.CKF_USER_PIN_COUNT_LOW, cryptoki.CKF_USER_PIN_FINAL_TRY, cryptoki.CKF_USER_PIN_LOCKED, cryptoki.CKF_USER_PIN_TO_BE_CHANGED},
			{officer, 0, cryptoki.CKF_SO_PIN_COUNT_LOW, cryptoki.CKF_SO_PIN_FINAL_TRY, cryptoki.CKF_SO_PIN_LOCKED, cryptoki.CKF_SO_PIN_TO_BE_CHANGED},
		} {
			s, err := p.roleState(r, f.role)
			if err != nil {
				return err
			}
			if !s.Initialized {
				continue
			}
			flags |= f.initialised
			if s.MustChange {
				flags |= f.mustChange
			}
			switch left, limit := s.AttemptsLeft, p.limit(f.role); {
			case s.Locked:
				flags |= f.locked
			case left < limit:
				flags |= f.low
				if left == 1 {
					flags |= f.finalTry
				}
			case left == 1:
				flags |= f.finalTry
			}
		}
		return nil
	})
	return flags, storeError(err)
}

// Content is what a person wants to know of an object.
type Content struct {
	Handle  cryptoki.ObjectHandle
	Class   cryptoki.ObjectClass
	KeyType cryptoki.KeyType
	// Size is in bytes, as C_GetObjectSize gives it.
	Size      uint64
	Label, ID []byte
}

// Contents lists the objects above after that the session may see, at most limit of
// them, in the order of their handles, and tells whether there may be more.
func (s *Session) Contents(after cryptoki.ObjectHandle, limit int) (list []Content, more bool, err error) {
	if limit < 1 || limit > MaxFind {
		limit = MaxFind
	}
	take := func(r *resident) bool {
		if !s.member.sees(r) {
			return true
		}
		if len(list) == limit {
			more = true
			return false
		}
		o := r.object
		list = append(list, Content{
			Handle: r.handle, Class: o.Class(), KeyType: o.KeyType(), Size: o.Size(),
			Label: o.Value(cryptoki.CKA_LABEL), ID: o.Value(cryptoki.CKA_ID),
		})
		return true
	}
	if after&cryptoki.SessionObject == 0 {
		if err := s.partition.search(nil, after, take); err != nil || more {
			return list, more, err
		}
	}
	for _, r := range s.member.list(after) {
		if !take(r) {
			break
		}
	}
	return list, more, nil
}
