package partition

import (
	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/policy"
)

// WrapKey is C_WrapKey: a secret key's value, or a private key as PKCS #8, encrypted.
// capacity is the caller's room in bytes, or AskLength. That a key left, or was refused to,
// is in the audit log before the caller hears of it; a question for the length is not.
//
// The checks are those of docs/check-order.md, "Keys".
func (s *Session) WrapKey(m *cryptoki.Mechanism, wrapping, key cryptoki.ObjectHandle, capacity uint64) (Output, error) {
	offer, err := s.partition.offer(m.Type, useToWrap.flag)
	if err != nil {
		return Output{}, err
	}
	w, err := s.key(wrapping, useToWrap.handle)
	if err != nil {
		return Output{}, err
	}
	k, err := s.key(key, cryptoki.CKR_KEY_HANDLE_INVALID)
	if err != nil {
		return Output{}, err
	}
	if !s.member.Role().usesPrivate() {
		return Output{}, cryptoki.CKR_USER_NOT_LOGGED_IN
	}
	if err := s.fits(useToWrap, offer, w); err != nil {
		return Output{}, err
	}
	entry := audit.Record{
		Event: audit.EventWrap, Mechanism: audit.Some(m.Type), Class: audit.Some(k.object.Class()), Object: key, Related: wrapping,
	}
	must := w.object.Guarded() || k.object.Guarded()
	wrapped, err := s.wrapped(offer, m, w, k)
	if err != nil {
		entry.Result = cryptoki.Code(err)
		if failed := s.log(entry, must, nil); failed != nil {
			return Output{}, failed
		}
		return Output{}, err
	}
	out := Output{Length: uint64(len(wrapped)), Data: wrapped, Fits: true}
	if capacity == AskLength || capacity < out.Length {
		return Output{Length: out.Length}, nil
	}
	err = s.log(entry, must, func(r keystore.Reader) error {
		if err := s.member.holds(r, wrapping, useToWrap.handle); err != nil {
			return err
		}
		return s.member.holds(r, key, cryptoki.CKR_KEY_HANDLE_INVALID)
	})
	if err != nil {
		return Output{}, err
	}
	s.served(offer.approved(useToWrap.flag, m, w))
	return out, nil
}

// wrapped gives the wrapped key, if the one may wrap the other and the session may use it.
func (s *Session) wrapped(m service, parameter *cryptoki.Mechanism, wrapping, key *resident) ([]byte, error) {
	if err := s.mayWrap(m, wrapping, key); err != nil {
		return nil, err
	}
	if err := s.authorized(key); err != nil {
		return nil, err
	}
	return encryptKey(m, parameter, wrapping, key)
}

// log writes an entry about the partition, durably, unless check, which may be nil, finds
// that there is nothing to tell any more. must is for what is recorded whatever its class.
func (s *Session) log(entry audit.Record, must bool, check func(keystore.Reader) error) error {
	return storeError(s.partition.config.Store.Update(func(w keystore.Writer) error {
		if check != nil {
			if err := check(w); err != nil {
				return err
			}
		}
		return s.member.require(w, s.member.Role(), entry, must)
	}))
}

// mayWrap checks what must hold between the two keys.
// Errors: CKR_KEY_UNEXTRACTABLE, CKR_KEY_NOT_WRAPPABLE, CKR_WRAPPING_KEY_SIZE_RANGE,
// CKR_KEY_SIZE_RANGE.
func (s *Session) mayWrap(m service, wrapping, key *resident) error {
	var needs policy.ID
	switch class := key.object.Class(); class {
	case cryptoki.CKO_SECRET_KEY:
		needs = policy.SecretWrapping
	case cryptoki.CKO_PRIVATE_KEY:
		needs = policy.PrivateWrapping
	default:
		return cryptoki.Errorf(cryptoki.CKR_KEY_NOT_WRAPPABLE, "a %v is not wrapped", class)
	}
	if err := wrapping.object.MayWrap(key.object); err != nil {
		return err
	}
	if s.partition.denies(needs) {
		return cryptoki.Errorf(cryptoki.CKR_KEY_NOT_WRAPPABLE, "partition policy %d: a %v is not wrapped", needs, key.object.Class())
	}
	if key.object.Bool(cryptoki.CKA_SENSITIVE) {
		if err := asStrong(wrapping, key); err != nil {
			return err
		}
	}
	if padded(m.Type) && s.partition.denies(policy.CBCPad) && len(key.object.Value(cryptoki.CKA_VALUE)) < leastPadded && needs == policy.SecretWrapping {
		return cryptoki.Errorf(cryptoki.CKR_KEY_SIZE_RANGE, "partition policy %d: CBC-PAD wraps keys of %d bytes and more", policy.CBCPad, leastPadded)
	}
	return nil
}

// leastPadded is the shortest key in bytes that CBC-PAD takes with policy 34 off.
const leastPadded = 16

// padded tells whether a mechanism is CBC with padding, whose ciphertexts can be cut and
// whose padding can be asked for.
func padded(t cryptoki.MechanismType) bool {
	return t == cryptoki.CKM_AES_CBC_PAD || t == cryptoki.CKM_DES3_CBC_PAD
}

// asStrong checks that a key is wrapped by one that is as strong. RSA is taken as strong
// enough from 2048 bits on: that is what there is for bringing keys to others.
// Error: CKR_WRAPPING_KEY_SIZE_RANGE.
func asStrong(wrapping, key *resident) error {
	by, err := strength(wrapping)
	if err != nil {
		return err
	}
	of, err := strength(key)
	if err != nil {
		return err
	}
	if wrapping.object.Class() == cryptoki.CKO_PUBLIC_KEY && by >= 112 || by >= of {
		return nil
	}
	return cryptoki.Errorf(cryptoki.CKR_WRAPPING_KEY_SIZE_RANGE, "a key of %d bits of security is not wrapped by one of %d", of, by)
}

// strength is a key's security strength in bits (SP 800-57 part 1, table 2), 256 at most.
func strength(r *resident) (uint64, error) {
	key, err := r.parsedKey()
	if err != nil {
		return 0, err
	}
	size := key.Size()
	switch key.Type() {
	case cryptoki.CKK_RSA:
		for _, row := range [...]struct{ modulus, strength uint64 }{{15360, 256}, {7680, 192}, {3072, 128}, {2048, 112}, {1024, 80}} {
			if size >= row.modulus {
				return row.strength, nil
			}
		}
		return 0, nil
	case cryptoki.CKK_EC, cryptoki.CKK_EC_EDWARDS, cryptoki.CKK_EC_MONTGOMERY:
		return min((size+1)/2, 256), nil
	}
	return min(8*size, 256), nil
}

// encryptKey gives the wrapped key.
func encryptKey(m service, parameter *cryptoki.Mechanism, wrapping, key *resident) ([]byte, error) {
	w, err := wrapping.parsedKey()
	if err != nil {
		return nil, err
	}
	o := key.object
	if o.Class() == cryptoki.CKO_SECRET_KEY {
		return m.Wrap(parameter, w, o.Value(cryptoki.CKA_VALUE))
	}
	plain, err := mech.EncodePrivate(o.KeyType(), o.Value)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return m.Wrap(parameter, w, plain)
}
