package mech

import (
	"crypto/cipher"
	"crypto/rand"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
)

// Message is one message with the contents of its CK_GCM_MESSAGE_PARAMS (PKCS#11 3.2, "AES-GCM
// with message based encryption").
type Message struct {
	IV []byte
	// FixedBits is how many bits of the IV, from the first on, a generator keeps.
	FixedBits uint64
	// Generator is a CKG_ number; a decryption uses the IV as it is.
	Generator uint64
	TagBits   uint64
	AAD, Data []byte
	Tag       []byte // of a decryption
	// Budget gives the key's IVs that are made at random; nil where nobody counts them.
	Budget Budget
}

// Budget is how many IVs may be made at random for a key (SP 800-38D, 8.3). It is safe for
// concurrent use.
type Budget interface {
	// Take counts one before it is made. Error: CKR_KEY_EXHAUSTED when none is left, and those
	// of whoever keeps the count.
	Take() error
}

// Sealed is what became of a message. All of it is the caller's.
type Sealed struct {
	IV     []byte // under which it was encrypted
	Output []byte
	Tag    []byte // of an encryption
	// Approved says that the IV does not keep the service from being an approved one: the
	// module below has made all of it (SP 800-38D, 8.2.2; IG C.H, scenario 2), or the message
	// was decrypted.
	Approved bool
}

// gcmLeastRandom is how many bits of a generated IV are random at least (SP 800-38D, 8.2.2).
// A key then encrypts 2^32 messages (8.3), which a Budget counts.
const gcmLeastRandom = 96

// messages completes a table entry with Message and MessageBegin, whose checks are those of
// keyed, and the flags for them.
func messages[K Key](m Mechanism, do func(f Function, m *Message, key K) (Sealed, error),
	begin func(f Function, m *Message, key K) (MessageParts, []byte, error),
) Mechanism {
	m.Flags |= cryptoki.CKF_MESSAGE_ENCRYPT | cryptoki.CKF_MESSAGE_DECRYPT
	check := func(f Function, key Key) (k K, err error) {
		if err := m.offers(f); err != nil {
			return k, err
		}
		return fitting[K](&m, key, f == Decrypt)
	}
	m.Message = func(f Function, message *Message, key Key) (Sealed, error) {
		k, err := check(f, key)
		if err != nil {
			return Sealed{}, err
		}
		return do(f, message, k)
	}
	m.MessageBegin = func(f Function, message *Message, key Key) (MessageParts, []byte, error) {
		k, err := check(f, key)
		if err != nil {
			return nil, nil, err
		}
		return begin(f, message, k)
	}
	return m
}

func messageGCM(f Function, m *Message, k *aesKey) (Sealed, error) {
	if err := checkGCM(m.IV, m.TagBits); err != nil {
		return Sealed{}, err
	}
	if f == Decrypt {
		return k.openMessage(m)
	}
	generates, err := m.generates()
	switch {
	case err != nil:
		return Sealed{}, err
	case !generates:
		return k.sealMessage(m, slices.Clone(m.IV))
	case len(m.IV) == gcmUsualIV:
		return k.sealRandom(m)
	}
	return k.sealMessage(m, generateIV(m.IV, int(m.FixedBits)))
}

// generates tells whether an IV is to be generated for the message, which it then has taken
// from the budget. Error besides those of the budget: CKR_MECHANISM_PARAM_INVALID.
func (m *Message) generates() (bool, error) {
	switch m.Generator {
	case cryptoki.CKG_NO_GENERATE:
		return false, nil
	case cryptoki.CKG_GENERATE, cryptoki.CKG_GENERATE_RANDOM:
	default:
		// A counter would have to be kept for each key, durably.
		return false, badParameter("IV generator %d; CKG_NO_GENERATE, CKG_GENERATE and CKG_GENERATE_RANDOM are possible", m.Generator)
	}
	if bits := uint64(8 * len(m.IV)); m.FixedBits > bits || bits-m.FixedBits < gcmLeastRandom {
		return false, badParameter("an IV of %d bits, %d of them fixed, where at least %d are generated", bits, m.FixedBits, gcmLeastRandom)
	}
	if m.Budget != nil {
		if err := m.Budget.Take(); err != nil {
			return false, err
		}
	}
	return true, nil
}

// generateIV returns an IV whose first fixed bits are those of iv; the others are random.
func generateIV(iv []byte, fixed int) []byte {
	generated := make([]byte, len(iv))
	rand.Read(generated)
	copy(generated, iv[:fixed/8])
	if fixed%8 > 0 {
		keep := byte(0xff) << (8 - fixed%8)
		generated[fixed/8] = iv[fixed/8]&keep | generated[fixed/8]&^keep
	}
	return generated
}

// sealMessage encrypts under an IV, which it keeps.
func (k *aesKey) sealMessage(m *Message, iv []byte) (Sealed, error) {
	aead, err := k.aead(len(iv), gcmMaxTagBits/8)
	if err != nil {
		return Sealed{}, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "preparing GCM: %w", err)
	}
	out := aead.Seal(make([]byte, 0, len(m.Data)+aead.Overhead()), iv, m.Data, m.AAD)
	return sealed(m, iv, out, false), nil
}

// sealRandom encrypts under an IV of 96 bits that the module below makes.
func (k *aesKey) sealRandom(m *Message) (Sealed, error) {
	aead, err := cipher.NewGCMWithRandomNonce(k.block)
	if err != nil {
		return Sealed{}, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "preparing GCM: %w", err)
	}
	out := aead.Seal(make([]byte, 0, len(m.Data)+aead.Overhead()), nil, m.Data, m.AAD)
	return sealed(m, out[:gcmUsualIV:gcmUsualIV], out[gcmUsualIV:], true), nil
}

// sealed parts a ciphertext from its tag, of which the caller wants the beginning.
func sealed(m *Message, iv, out []byte, approved bool) Sealed {
	n := len(m.Data)
	return Sealed{IV: iv, Output: out[:n:n], Tag: out[n : n+int(m.TagBits/8)], Approved: approved}
}

func (k *aesKey) openMessage(m *Message) (Sealed, error) {
	tag := int(m.TagBits / 8)
	if len(m.Tag) != tag {
		return Sealed{}, badParameter("a tag of %d bytes where %d bits are told", len(m.Tag), m.TagBits)
	}
	aead, err := k.aead(len(m.IV), tag)
	if err != nil {
		return Sealed{}, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "preparing GCM: %w", err)
	}
	out, err := aead.Open(nil, m.IV, slices.Concat(m.Data, m.Tag), m.AAD)
	if err != nil {
		return Sealed{}, cryptoki.Errorf(cryptoki.CKR_AEAD_DECRYPT_FAILED, "the message or its tag is wrong")
	}
	return Sealed{IV: slices.Clone(m.IV), Output: out, Approved: true}, nil
}
