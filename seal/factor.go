package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
)

// FactorKind is a kind of factor. The numbers are part of the format at rest.
type FactorKind uint8

// The kinds of factors.
const (
	// FactorKeyFile is 32 random bytes that are kept elsewhere.
	FactorKeyFile FactorKind = 1
	// FactorPassword is a PIN or passphrase.
	FactorPassword FactorKind = 2
)

// Factor is one thing that has to be brought to open a key. All factors of a list
// are needed. The list is stored beside the sealed key and bound to it.
type Factor struct {
	Kind FactorKind
	KDF  KDF // of a FactorPassword
}

// KeyFile is the factor of a key file. Its answer is the file's contents, KeyFileSize
// random bytes; reading the file is the caller's.
func KeyFile() Factor { return Factor{Kind: FactorKeyFile} }

// KeyFileSize is the size of a key file in bytes.
const KeyFileSize = keySize

// Password is the factor of a new PIN or passphrase, with a fresh salt. Its answer is
// the PIN or passphrase.
func Password(c Cost) Factor { return Factor{Kind: FactorPassword, KDF: newKDF(c)} }

// maxFactors bounds a list of factors.
const maxFactors = 8

func appendFactors(b []byte, factors []Factor) []byte {
	b = append(b, byte(len(factors)))
	for _, f := range factors {
		b = append(b, byte(f.Kind))
		if f.Kind == FactorPassword {
			b = f.KDF.appendTo(b)
		}
	}
	return b
}

// parseFactors reads a list from the beginning of b and returns the rest.
func parseFactors(b []byte) ([]Factor, []byte, error) {
	if len(b) == 0 {
		return nil, nil, malformed("a list of factors is cut short")
	}
	n, b := int(b[0]), b[1:]
	if n < 1 || n > maxFactors {
		return nil, nil, malformed("a list has %d factors, not 1 to %d", n, maxFactors)
	}
	factors := make([]Factor, n)
	for i := range factors {
		if len(b) == 0 {
			return nil, nil, malformed("a list of factors is cut short")
		}
		factors[i].Kind, b = FactorKind(b[0]), b[1:]
		switch factors[i].Kind {
		case FactorKeyFile:
		case FactorPassword:
			var err error
			if factors[i].KDF, b, err = parseKDF(b); err != nil {
				return nil, nil, err
			}
		default:
			return nil, nil, malformed("factor kind %d is not known", factors[i].Kind)
		}
	}
	return factors, b, nil
}

// combine makes a key from the answers to a list of factors, in the list's order.
func (s *Stretcher) combine(factors []Factor, answers []secret.Bytes) (DerivationKey, error) {
	if len(factors) < 1 || len(factors) > maxFactors || len(answers) != len(factors) {
		return DerivationKey{}, cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "seal: %d answers to %d factors", len(answers), len(factors))
	}
	// Each factor gives keySize bytes, so no other list of outputs looks the same.
	all := secret.New(len(factors) * keySize)
	defer all.Wipe()
	for i, f := range factors {
		out, err := s.output(f, answers[i])
		if err != nil {
			return DerivationKey{}, err
		}
		copy(all.Expose()[i*keySize:], out.Expose())
		out.Wipe()
	}
	// HKDF-Extract without a salt (RFC 5869, 2.2): crypto/hkdf's would leave the answers
	// in the state of its hash.
	extract := hmac.New(sha256.New, make([]byte, sha256.Size))
	extract.Write(all.Expose())
	key := secret.New(keySize)
	extract.Sum(key.Expose()[:0])
	scrub(extract)
	return DerivationKey{key}, nil
}

// output is what one factor gives: a new secret of keySize bytes.
func (s *Stretcher) output(f Factor, answer secret.Bytes) (secret.Bytes, error) {
	switch f.Kind {
	case FactorKeyFile:
		if answer.Len() != KeyFileSize {
			return secret.Bytes{}, cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "seal: a key file has %d bytes, not %d", KeyFileSize, answer.Len())
		}
		return secret.Copy(answer.Expose()), nil
	case FactorPassword:
		return s.stretch(f.KDF, answer)
	}
	return secret.Bytes{}, malformed("factor kind %d is not known", f.Kind)
}

// A key that factors open is stored as a commitment, then its record.
//
// AES-GCM does not commit to its key: who can write to the store can make one record
// that opens under many keys of his choice, and so learn from one login whether the
// PIN is among thousands. The commitment is a hash of one key only.
const (
	commitmentSize = keySize
	committedSize  = commitmentSize + Overhead + keySize
)

// sealCommitted seals key under a key from factors.
func sealCommitted(under, key DerivationKey, c Context) []byte {
	commitment := under.derive("commitment", c)
	defer commitment.Wipe()
	return slices.Concat(commitment.Expose(), key.seal(under.Key(c), c))
}

// openCommitted opens what sealCommitted sealed, or returns ErrWrongSecret.
func openCommitted(under DerivationKey, sealed []byte, c Context) (DerivationKey, error) {
	if len(sealed) != committedSize {
		return DerivationKey{}, malformed("a sealed key has %d bytes, not %d", len(sealed), committedSize)
	}
	commitment := under.derive("commitment", c)
	defer commitment.Wipe()
	if subtle.ConstantTimeCompare(commitment.Expose(), sealed[:commitmentSize]) != 1 {
		return DerivationKey{}, ErrWrongSecret
	}
	var key DerivationKey
	var err error
	// Go's AES keeps the key that all depends on in its schedule.
	erasing(func() { key, err = openDerivationKey(under.Key(c), sealed[commitmentSize:], c) })
	if err != nil {
		return DerivationKey{}, ErrWrongSecret
	}
	return key, nil
}
