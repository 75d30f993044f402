package partition

import (
	"encoding/binary"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/seal"
)

// A saved state of a session's operations (PKCS#11 3.2, 5.6) is that of a digest: an
// operation with a key would be used out of sight of logins and policies. It is sealed under
// a key of this partition and this start of the server, so that nobody has it parsed who has not
// got it here, and holds
//
//	session state 8, mechanism 8, parts 1, the hash function's own
//
// A session of the same partition and the same state may restore it, as often as it likes.
const operationStateHead = 8 + 8 + 1

// maxOperationState is more than any saved state has, in bytes.
const maxOperationState = 512

var operationStateContext = seal.NewContext("operation state")

// OperationState is C_GetOperationState; capacity is the caller's room in bytes, or AskLength.
//
// Errors: CKR_OPERATION_NOT_INITIALIZED without an operation; CKR_STATE_UNSAVEABLE for one with
// a key, or a digest that has taken a key.
func (s *Session) OperationState(capacity uint64) (Output, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	digest, err := s.savable()
	if err != nil {
		return Output{}, err
	}
	state, err := s.saveDigest(digest)
	if err != nil {
		return Output{}, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "saving a digest: %w", err)
	}
	n := uint64(len(state))
	if n > capacityOf(capacity) {
		return Output{Length: n}, nil
	}
	return Output{Data: state, Length: n, Fits: true}, nil
}

// savable finds the digest that is all that the session has under way. s.mu is held.
func (s *Session) savable() (*operation, error) {
	for _, op := range s.operations {
		if op != nil && (op.key != nil || op.keyed) {
			return nil, cryptoki.Errorf(cryptoki.CKR_STATE_UNSAVEABLE, "an operation with a key stays in the HSM")
		}
	}
	return s.active(mech.Digest)
}

func (s *Session) saveDigest(op *operation) ([]byte, error) {
	inner, err := op.Operation.(mech.Resumable).Save()
	if err != nil {
		return nil, err
	}
	defer clear(inner)
	state, _ := s.Info()
	plain := binary.BigEndian.AppendUint64(nil, uint64(state))
	plain = binary.BigEndian.AppendUint64(plain, uint64(op.mechanism.Type))
	plain = append(plain, 0)
	if op.parts {
		plain[operationStateHead-1] = 1
	}
	plain = append(plain, inner...)
	defer clear(plain)
	return s.partition.states.Seal(nil, plain, operationStateContext), nil
}

// SetOperationState is C_SetOperationState: the digest of a saved state takes the place of all
// of the session's operations. parts says that it has had a part. With an error the session
// stays as it is.
//
// Errors: CKR_SAVED_STATE_INVALID for what is no state of this partition, of this start of the
// server, and of a session whose CKS_ is the same; CKR_KEY_NOT_NEEDED for a handle of a key.
func (s *Session) SetOperationState(state []byte, encryption, authentication cryptoki.ObjectHandle) (p Permit, parts bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Closed() {
		return Permit{}, false, cryptoki.CKR_SESSION_HANDLE_INVALID
	}
	op, err := s.restoreDigest(state)
	if err != nil {
		return Permit{}, false, cryptoki.Errorf(cryptoki.CKR_SAVED_STATE_INVALID, "%w", err)
	}
	if encryption|authentication != 0 {
		op.Close()
		return Permit{}, false, cryptoki.Errorf(cryptoki.CKR_KEY_NOT_NEEDED, "the state is a digest's, which has no key")
	}
	for f := range s.operations {
		s.end(mech.Function(f))
	}
	s.operations[mech.Digest] = op
	return Permit{Rule: op.Rule(), MultiPart: op.mechanism.MultiPart}, op.parts, nil
}

func (s *Session) restoreDigest(sealed []byte) (*operation, error) {
	if len(sealed) > maxOperationState {
		return nil, cryptoki.Errorf(cryptoki.CKR_SAVED_STATE_INVALID, "%d bytes are no saved state", len(sealed))
	}
	plain, err := s.partition.states.Open(nil, sealed, operationStateContext)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	if len(plain) < operationStateHead {
		return nil, cryptoki.Errorf(cryptoki.CKR_SAVED_STATE_INVALID, "a state of %d bytes", len(plain))
	}
	if now, _ := s.Info(); binary.BigEndian.Uint64(plain) != uint64(now) {
		return nil, cryptoki.Errorf(cryptoki.CKR_SAVED_STATE_INVALID, "the state is of a session that was in another state than %d", now)
	}
	m := cryptoki.New(cryptoki.MechanismType(binary.BigEndian.Uint64(plain[8:])))
	offer, err := s.partition.offer(m.Type, cryptoki.CKF_DIGEST)
	if err != nil {
		return nil, err
	}
	started, err := offer.Start(mech.Digest, &m, nil)
	if err != nil {
		return nil, err
	}
	if err := started.(mech.Resumable).Restore(plain[operationStateHead:]); err != nil {
		return nil, err
	}
	return &operation{
		Operation: started,
		mechanism: offer.Mechanism,
		epoch:     s.Epoch(),
		logins:    s.member.logins.Load(),
		parts:     plain[operationStateHead-1] == 1,
		approved:  offer.approved(cryptoki.CKF_DIGEST, &m, nil),
	}, nil
}
