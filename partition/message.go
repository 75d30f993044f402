package partition

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
)

// messageFlags are the flags of CK_MECHANISM_INFO for the functions that work message by
// message.
var messageFlags = map[cryptoki.Flags]cryptoki.Flags{
	cryptoki.CKF_ENCRYPT: cryptoki.CKF_MESSAGE_ENCRYPT,
	cryptoki.CKF_DECRYPT: cryptoki.CKF_MESSAGE_DECRYPT,
}

// withoutMessages takes the message functions away whose function is not offered.
func withoutMessages(flags cryptoki.Flags) cryptoki.Flags {
	for function, message := range messageFlags {
		if flags&function == 0 {
			flags &^= message
		}
	}
	return flags
}

// MessageInit is C_MessageEncryptInit or C_MessageDecryptInit: the checks of Init that need no
// message. Nothing is kept: Message makes them again.
func (s *Session) MessageInit(f mech.Function, m *cryptoki.Mechanism, key cryptoki.ObjectHandle) error {
	_, _, err := s.messageKey(f, m, key)
	return err
}

// Message is C_EncryptMessage or C_DecryptMessage: all checks of docs/check-order.md, then
// the message.
func (s *Session) Message(f mech.Function, m *cryptoki.Mechanism, key cryptoki.ObjectHandle, message *mech.Message) (mech.Sealed, error) {
	offer, r, err := s.messageKey(f, m, key)
	if err != nil {
		return mech.Sealed{}, err
	}
	if err := s.authorized(r); err != nil {
		return mech.Sealed{}, err
	}
	k, err := r.parsedKey()
	if err != nil {
		return mech.Sealed{}, err
	}
	message.Budget = s.partition.budgetOf(r)
	sealed, err := offer.Message(f, message, k)
	if logged := s.logUse(r, r.object.Guarded(), m.Type, functionNames[f], err); logged != nil {
		clear(sealed.Output)
		return mech.Sealed{}, logged
	}
	if err != nil {
		return mech.Sealed{}, err
	}
	s.served(sealed.Approved && offer.approvedKey(flagOf[f], r))
	return sealed, nil
}

// messageKey finds the mechanism and the key and makes the checks of Init, whose parameter
// is that of each message.
func (s *Session) messageKey(f mech.Function, m *cryptoki.Mechanism, key cryptoki.ObjectHandle) (service, *resident, error) {
	if f != mech.Encrypt && f != mech.Decrypt {
		return service{}, nil, cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "function %d has no messages", f)
	}
	offer, err := s.partition.offer(m.Type, messageFlags[flagOf[f]])
	if err != nil {
		return service{}, nil, err
	}
	r, err := s.usableKey(f, offer.Mechanism, m.Type, key)
	if err != nil {
		return service{}, nil, err
	}
	if err := s.partition.mayUse(offer, flagOf[f], r); err != nil {
		return service{}, nil, err
	}
	if err := m.None(); err != nil {
		return service{}, nil, err
	}
	return offer, r, nil
}
