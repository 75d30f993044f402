package partition

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/policy"
)

// leastDigested is the shortest secret key in bytes that is digested: the digest of a
// shorter one tells which it is.
const leastDigested = 14

// DigestKey is C_DigestKey: the value of a secret key goes into the active digest as a part
// of the data. Like any other part, one that is refused ends the operation.
//
// Errors: CKR_OPERATION_NOT_INITIALIZED, CKR_KEY_HANDLE_INVALID; CKR_KEY_INDIGESTIBLE for a
// key that is not secret, or with partition policy 9 off; CKR_KEY_SIZE_RANGE;
// CKR_KEY_NOT_ACTIVE and CKR_KEY_NOT_AUTHORIZED of a key with authorization data.
func (s *Session) DigestKey(h cryptoki.ObjectHandle) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	op, err := s.active(mech.Digest)
	if err != nil {
		return err
	}
	op.parts, op.keyed = true, true
	err = s.digestKey(op, h)
	if err != nil {
		s.end(mech.Digest)
	}
	return err
}

func (s *Session) digestKey(op *operation, h cryptoki.ObjectHandle) error {
	r, err := s.digestible(h)
	if err != nil {
		return err
	}
	if err := s.logUse(r, r.object.Guarded(), op.mechanism.Type, functionNames[mech.Digest], nil); err != nil {
		return err
	}
	_, err = op.Operation.Update(r.object.Value(cryptoki.CKA_VALUE))
	return err
}

// digestible finds a key whose value may be digested.
func (s *Session) digestible(h cryptoki.ObjectHandle) (*resident, error) {
	r, err := s.key(h, cryptoki.CKR_KEY_HANDLE_INVALID)
	if err != nil {
		return nil, err
	}
	if class := r.object.Class(); class != cryptoki.CKO_SECRET_KEY {
		return nil, cryptoki.Errorf(cryptoki.CKR_KEY_INDIGESTIBLE, "a %v is not digested", class)
	}
	if !s.partition.Identity().Policies.On(policy.DigestKey) {
		return nil, cryptoki.Errorf(cryptoki.CKR_KEY_INDIGESTIBLE, "partition policy %d: secret keys are not digested", policy.DigestKey)
	}
	if value := r.object.Value(cryptoki.CKA_VALUE); len(value) < leastDigested {
		return nil, cryptoki.Errorf(cryptoki.CKR_KEY_SIZE_RANGE, "a key of %d bytes could be found by its digest, at least %d are needed", len(value), leastDigested)
	}
	if err := s.authorized(r); err != nil {
		return nil, err
	}
	return r, nil
}
