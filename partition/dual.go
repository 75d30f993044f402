package partition

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
)

// together tells whether two functions can take a part at once: other gets what f encrypts,
// or has decrypted.
func together(f, other mech.Function) bool {
	switch other {
	case mech.Digest:
		return f == mech.Encrypt || f == mech.Decrypt
	case mech.Sign:
		return f == mech.Encrypt
	case mech.Verify:
		return f == mech.Decrypt
	}
	return false
}

// UpdateBoth is C_DigestEncryptUpdate and its three siblings (PKCS#11 3.2, 5.14): a part for
// two active operations, of which both take it or neither does. A part whose output does not
// fit into capacity bytes, or is only asked for its length, changes neither; an error ends both.
//
// Errors: CKR_ARGUMENTS_BAD for functions that do not go together, CKR_OPERATION_NOT_INITIALIZED
// where one of the operations is missing, and those of Update.
func (s *Session) UpdateBoth(f, other mech.Function, part []byte, capacity uint64) (Output, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !together(f, other) {
		return Output{}, cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "functions %d and %d do not take a part together", f, other)
	}
	output, err := s.updateBoth(f, other, part, capacity)
	if err != nil {
		s.end(f)
		s.end(other)
	}
	return output, err
}

func (s *Session) updateBoth(f, other mech.Function, part []byte, capacity uint64) (Output, error) {
	op, err := s.inParts(f)
	if err != nil {
		return Output{}, err
	}
	second, err := s.inParts(other)
	if err != nil {
		return Output{}, err
	}
	if n := uint64(op.UpdateLength(len(part))); capacity == AskLength || n > capacity {
		return Output{Length: n}, nil
	}
	output, err := s.feed(op, part)
	if err != nil {
		return s.deliver(f, nil, err, capacity, false)
	}
	plaintext := part
	if f == mech.Decrypt {
		plaintext = output
	}
	if _, err := s.feed(second, plaintext); err != nil {
		clear(output)
		return s.deliver(other, nil, err, capacity, false)
	}
	return s.deliver(f, output, nil, capacity, false)
}
