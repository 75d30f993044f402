package mech

import (
	"cmp"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
)

// registry is every mechanism, in the order of the types.
var registry = index(
	digests, hmacs, hmacKeys, genericSecrets,
	rsaKeyPairs, rsaPKCS1, rsaPSS, rsaOAEP, rsaX509,
	ecKeyPairs, ecdsaMechanisms, ecdhMechanisms, edwardsKeyPairs, eddsaMechanisms, montgomeryKeyPairs,
	hkdfMechanisms, kbkdfMechanisms, rsaAESKeyWrap,
	aesKeys, aesBlocks, aesCBC, aesCTR, aesGCM, aesCMAC, aesKeyWraps,
)

func index(families ...[]Mechanism) []*Mechanism {
	var all []*Mechanism
	for _, family := range families {
		for i := range family {
			all = append(all, &family[i])
		}
	}
	slices.SortFunc(all, func(a, b *Mechanism) int { return cmp.Compare(a.Type, b.Type) })
	return all
}

// Lookup returns the mechanism of type t.
func Lookup(t cryptoki.MechanismType) (*Mechanism, bool) {
	i, found := slices.BinarySearchFunc(registry, t, func(m *Mechanism, t cryptoki.MechanismType) int {
		return cmp.Compare(m.Type, t)
	})
	if !found {
		return nil, false
	}
	return registry[i], true
}

// All returns every mechanism, in the order of the types. The slice is the
// caller's, the entries are not.
func All() []*Mechanism { return slices.Clone(registry) }

// keyed completes a table entry with a Start that makes the checks which all
// mechanisms share, in the order that Start documents, and then calls begin with
// the key in its own Go type.
func keyed[K Key](m Mechanism, begin func(f Function, p *cryptoki.Mechanism, key K) (Operation, error)) Mechanism {
	m.Start = func(f Function, p *cryptoki.Mechanism, key Key) (Operation, error) {
		if err := m.offers(f); err != nil {
			return nil, err
		}
		k, err := fitting[K](&m, key, f == Sign || f == SignRecover || f == Decrypt)
		if err != nil {
			return nil, err
		}
		return begin(f, p, k)
	}
	return m
}

// fitting returns a key in its own Go type after the checks that all mechanisms
// share: CKR_KEY_TYPE_INCONSISTENT, CKR_KEY_SIZE_RANGE.
func fitting[K Key](m *Mechanism, key Key, private bool) (k K, err error) {
	k, ok := key.(K)
	if !ok || !slices.Contains(m.KeyTypes, key.Type()) {
		return k, cryptoki.Errorf(cryptoki.CKR_KEY_TYPE_INCONSISTENT, "%v does not work with this type of key", m.Type)
	}
	if h, ok := key.(halved); ok && private && !h.hasPrivate() {
		return k, cryptoki.Errorf(cryptoki.CKR_KEY_TYPE_INCONSISTENT, "%v needs a private key", m.Type)
	}
	if size := key.Size(); size < m.MinKey || size > m.MaxKey {
		return k, cryptoki.Errorf(cryptoki.CKR_KEY_SIZE_RANGE, "key size %d is not within %d to %d", size, m.MinKey, m.MaxKey)
	}
	return k, nil
}

// halved is a key of a pair. A private one has both halves: the public one costs
// nothing to keep, and so it can also verify and encrypt.
type halved interface{ hasPrivate() bool }

// offers checks that the mechanism has function f.
func (m *Mechanism) offers(f Function) error {
	var flag cryptoki.Flags
	switch f {
	case Encrypt:
		flag = cryptoki.CKF_ENCRYPT
	case Decrypt:
		flag = cryptoki.CKF_DECRYPT
	case Digest:
		flag = cryptoki.CKF_DIGEST
	case Sign:
		flag = cryptoki.CKF_SIGN
	case Verify:
		flag = cryptoki.CKF_VERIFY
	case SignRecover:
		flag = cryptoki.CKF_SIGN_RECOVER
	case VerifyRecover:
		flag = cryptoki.CKF_VERIFY_RECOVER
	}
	if m.Flags&flag == 0 {
		return cryptoki.Errorf(cryptoki.CKR_MECHANISM_INVALID, "%v does not have function %d", m.Type, f)
	}
	return nil
}
