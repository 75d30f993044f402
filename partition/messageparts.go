package partition

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
)

// inMessage is the function whose operation is a message in parts of f.
func inMessage(f mech.Function) mech.Function {
	if f == mech.Encrypt {
		return mech.MessageEncrypt
	}
	return mech.MessageDecrypt
}

// MessageBegin is C_EncryptMessageBegin or C_DecryptMessageBegin: the checks of Message that need
// no data, and then the message is an operation of the session, in place of one that was begun
// before. It returns the IV that an encryption uses.
func (s *Session) MessageBegin(f mech.Function, m *cryptoki.Mechanism, key cryptoki.ObjectHandle, message *mech.Message) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Closed() {
		return nil, cryptoki.CKR_SESSION_HANDLE_INVALID
	}
	epoch, logins := s.Epoch(), s.member.logins.Load()
	offer, r, err := s.messageKey(f, m, key)
	if err != nil {
		return nil, err
	}
	if err := s.authorized(r); err != nil {
		return nil, err
	}
	k, err := r.parsedKey()
	if err != nil {
		return nil, err
	}
	message.Budget = s.partition.budgetOf(r)
	parts, iv, err := offer.MessageBegin(f, message, k)
	if err != nil {
		return nil, err
	}
	s.end(inMessage(f))
	op := &operation{
		Operation: parts,
		mechanism: offer.Mechanism,
		key:       r,
		epoch:     epoch,
		logins:    logins,
		guarded:   r.object.Guarded(),
		approved:  offer.approvedKey(flagOf[f], r),
	}
	if err := s.hold(op, uint64(len(message.AAD))); err != nil {
		op.Close()
		return nil, err
	}
	s.operations[inMessage(f)] = op
	return iv, nil
}

// MessagePart is C_EncryptMessageNext or C_DecryptMessageNext for a part that is not the last. It
// is kept; an error ends the message.
//
// Errors: CKR_OPERATION_NOT_INITIALIZED without a message; CKR_DEVICE_MEMORY; and past 16 MiB
// CKR_DATA_LEN_RANGE, CKR_ENCRYPTED_DATA_LEN_RANGE.
func (s *Session) MessagePart(f mech.Function, part []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.messagePart(f, part)
	return err
}

func (s *Session) messagePart(f mech.Function, part []byte) (*operation, error) {
	if f != mech.Encrypt && f != mech.Decrypt {
		return nil, cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "function %d has no messages", f)
	}
	op, err := s.inParts(inMessage(f))
	if err != nil {
		return nil, err
	}
	if _, err := s.feed(op, part); err != nil {
		_, err = s.deliver(inMessage(f), nil, err, 0, false)
		return nil, err
	}
	return op, nil
}

// MessageEnd is the same for the last part, which has all of the message's output, and the tag of
// an encryption. What does not fit into a reply is for Drain.
//
// Errors besides those of MessagePart: CKR_AEAD_DECRYPT_FAILED, CKR_MECHANISM_PARAM_INVALID for a
// tag of another length than was told.
func (s *Session) MessageEnd(f mech.Function, part, tag []byte) (Output, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	op, err := s.messagePart(f, part)
	if err != nil {
		return Output{}, nil, err
	}
	sealed, err := op.Operation.(mech.MessageParts).End(tag)
	op.approved = op.approved && sealed.Approved
	output, err := s.deliver(inMessage(f), sealed.Output, err, AskLength-1, true)
	if err != nil {
		return Output{}, nil, err
	}
	return output, sealed.Tag, nil
}
