package mech

import "tidelock.dev/tidelock/cryptoki"

// transform wraps or unwraps a key.
type transform[K Key] func(p *cryptoki.Mechanism, key K, data []byte) ([]byte, error)

// wraps completes a table entry with Wrap and Unwrap that check the key and then
// call wrap and unwrap with the key in its own Go type; either may be nil. They
// answer with the codes of operations on data, which become those of keys.
func wraps[K Key](m Mechanism, wrap, unwrap transform[K]) Mechanism {
	with := func(do transform[K], private bool, recode func(error) error) func(*cryptoki.Mechanism, Key, []byte) ([]byte, error) {
		return func(p *cryptoki.Mechanism, key Key, data []byte) ([]byte, error) {
			k, err := fitting[K](&m, key, private)
			if err != nil {
				return nil, recode(err)
			}
			out, err := do(p, k, data)
			return out, recode(err)
		}
	}
	if wrap != nil {
		m.Flags |= cryptoki.CKF_WRAP
		m.Wrap = with(wrap, false, wrapError)
	}
	if unwrap != nil {
		m.Flags |= cryptoki.CKF_UNWRAP
		m.Unwrap = with(unwrap, true, unwrapError)
	}
	return m
}

// cipherAndWrap completes a table entry of a mechanism that encrypts, and wraps keys by
// encrypting them (PKCS#11 3.2, 5.18.5).
func cipherAndWrap[K Key](m Mechanism, begin func(f Function, p *cryptoki.Mechanism, key K) (Operation, error)) Mechanism {
	by := func(f Function) transform[K] {
		return func(p *cryptoki.Mechanism, key K, data []byte) ([]byte, error) {
			op, err := begin(f, p, key)
			if err != nil {
				return nil, err
			}
			defer op.Close()
			return op.Once(data, nil)
		}
	}
	return wraps(keyed(m, begin), by(Encrypt), by(Decrypt))
}

// wrapError gives an error the code that it has where a key is wrapped.
func wrapError(err error) error {
	switch cryptoki.Code(err) {
	case cryptoki.CKR_KEY_TYPE_INCONSISTENT:
		return cryptoki.Errorf(cryptoki.CKR_WRAPPING_KEY_TYPE_INCONSISTENT, "wrapping: %w", err)
	case cryptoki.CKR_KEY_SIZE_RANGE:
		return cryptoki.Errorf(cryptoki.CKR_WRAPPING_KEY_SIZE_RANGE, "wrapping: %w", err)
	case cryptoki.CKR_DATA_LEN_RANGE:
		return cryptoki.Errorf(cryptoki.CKR_KEY_SIZE_RANGE, "the key cannot be wrapped: %w", err)
	}
	return err
}

// unwrapError gives an error the code that it has where a key is unwrapped.
func unwrapError(err error) error {
	switch cryptoki.Code(err) {
	case cryptoki.CKR_KEY_TYPE_INCONSISTENT:
		return cryptoki.Errorf(cryptoki.CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, "unwrapping: %w", err)
	case cryptoki.CKR_KEY_SIZE_RANGE:
		return cryptoki.Errorf(cryptoki.CKR_UNWRAPPING_KEY_SIZE_RANGE, "unwrapping: %w", err)
	case cryptoki.CKR_ENCRYPTED_DATA_LEN_RANGE:
		return cryptoki.Errorf(cryptoki.CKR_WRAPPED_KEY_LEN_RANGE, "unwrapping: %w", err)
	case cryptoki.CKR_ENCRYPTED_DATA_INVALID:
		return errWrapped
	}
	return err
}

// derives completes a table entry with a Derive that checks the base key and then
// calls derive with it in its own Go type.
func derives[K Key](m Mechanism, derive func(p *cryptoki.Mechanism, base K, length int) ([]byte, error)) Mechanism {
	m.Flags |= cryptoki.CKF_DERIVE
	m.Derive = func(p *cryptoki.Mechanism, base Key, length int) ([]byte, error) {
		k, err := fitting[K](&m, base, true)
		if err != nil {
			return nil, err
		}
		return derive(p, k, length)
	}
	return m
}
