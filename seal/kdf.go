package seal

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/argon2"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
)

// Algorithm is a function that makes a key from what a person remembers. The
// numbers are part of the format at rest.
type Algorithm uint8

// The algorithms.
const (
	// Argon2id is RFC 9106's.
	Argon2id Algorithm = 1
	// PBKDF2 is SP 800-132's with HMAC-SHA-256, for FIPS configurations.
	PBKDF2 Algorithm = 2
)

// Cost is what one try at a secret costs.
type Cost struct {
	Algorithm Algorithm
	// Passes is the number of passes of Argon2id, or of iterations of PBKDF2.
	Passes uint32
	// Memory is in KiB; 0 with PBKDF2.
	Memory uint32
	// Lanes is the parallelism of Argon2id; 0 with PBKDF2.
	Lanes uint8
}

// The costs that new credentials get.
var (
	// DefaultCost is Argon2id with 64 MiB, the second recommendation of RFC 9106 but
	// for the number of lanes; about 0.2 s on two cores.
	DefaultCost = Cost{Argon2id, 3, 64 << 10, 2}
	// FIPSCost is for HSMs in a FIPS configuration.
	FIPSCost = Cost{PBKDF2, 600_000, 0, 0}
	// TestCost protects nothing. Only a Stretcher for an HSM that is marked test
	// accepts it.
	TestCost = Cost{Argon2id, 1, 64, 1}
)

// Bounds of a cost. Those below keep a credential from being weaker than any that
// this program makes outside of tests; those above are checked before anything is
// allocated, so that a forged record cannot ask for more than a few seconds or a
// gigabyte.
const (
	minArgonPasses  = 2
	minArgonMemory  = 19 << 10 // KiB
	maxArgonMemory  = 1 << 20  // KiB
	maxArgonWork    = 4 << 20  // passes x KiB
	maxArgonLanes   = 16
	minPBKDF2Passes = 600_000
	maxPBKDF2Passes = 10_000_000
)

// check returns an error for a cost out of bounds. It lets TestCost pass.
func (c Cost) check() error {
	ok := false
	switch c.Algorithm {
	case Argon2id:
		ok = c == TestCost ||
			c.Passes >= minArgonPasses && c.Memory >= minArgonMemory && c.Memory <= maxArgonMemory &&
				uint64(c.Passes)*uint64(c.Memory) <= maxArgonWork && c.Lanes >= 1 && c.Lanes <= maxArgonLanes
	case PBKDF2:
		ok = c.Passes >= minPBKDF2Passes && c.Passes <= maxPBKDF2Passes && c.Memory == 0 && c.Lanes == 0
	}
	if !ok {
		return malformed("KDF algorithm %d with %d passes, %d KiB and %d lanes is not known or out of bounds", c.Algorithm, c.Passes, c.Memory, c.Lanes)
	}
	return nil
}

// saltSize is the size of a salt in bytes, the least that SP 800-132 allows and
// what RFC 9106 recommends.
const saltSize = 16

// KDF is a cost with a salt: all that it takes, beside the secret, to compute the
// key again. It is stored with each credential.
type KDF struct {
	Cost Cost
	Salt [saltSize]byte
}

// kdfSize is the size of an encoded KDF in bytes.
const kdfSize = 1 + 4 + 4 + 1 + saltSize

func newKDF(c Cost) KDF {
	k := KDF{Cost: c}
	_, _ = rand.Read(k.Salt[:]) // never fails: crypto/rand ends the program instead
	return k
}

func (k KDF) appendTo(b []byte) []byte {
	b = append(b, byte(k.Cost.Algorithm))
	b = binary.BigEndian.AppendUint32(b, k.Cost.Passes)
	b = binary.BigEndian.AppendUint32(b, k.Cost.Memory)
	b = append(b, k.Cost.Lanes)
	return append(b, k.Salt[:]...)
}

// parseKDF reads a KDF from the beginning of b and returns the rest.
func parseKDF(b []byte) (KDF, []byte, error) {
	if len(b) < kdfSize {
		return KDF{}, nil, malformed("KDF parameters are cut short")
	}
	k := KDF{Cost: Cost{
		Algorithm: Algorithm(b[0]),
		Passes:    binary.BigEndian.Uint32(b[1:]),
		Memory:    binary.BigEndian.Uint32(b[5:]),
		Lanes:     b[9],
	}}
	copy(k.Salt[:], b[10:])
	return k, b[kdfSize:], k.Cost.check()
}

// Gate lets a number of computations run at once; others wait.
type Gate struct{ slots chan struct{} }

// NewGate makes a gate for n at once.
func NewGate(n int) *Gate { return &Gate{make(chan struct{}, n)} }

// Do waits for a place and calls fn.
func (g *Gate) Do(fn func()) {
	g.slots <- struct{}{}
	defer func() { <-g.slots }()
	fn()
}

// Stretcher makes keys from what people remember. A process has one, because the
// gate bounds the process's memory. It is safe for concurrent use.
type Stretcher struct {
	gate *Gate
	test bool
}

// stretches is the number of computations that run at once.
const stretches = 2

// NewStretcher makes a Stretcher. test says that the HSM is marked test, and so may
// have credentials of TestCost.
func NewStretcher(test bool) *Stretcher {
	return &Stretcher{NewGate(stretches), test}
}

// allow returns an error for a cost that this HSM must not use.
func (s *Stretcher) allow(c Cost) error {
	if err := c.check(); err != nil {
		return err
	}
	if c == TestCost && !s.test {
		return cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "seal: a credential has the KDF cost for tests, but the HSM is not marked test")
	}
	return nil
}

// stretch makes a key of keySize bytes from a password.
func (s *Stretcher) stretch(k KDF, password secret.Bytes) (secret.Bytes, error) {
	if err := s.allow(k.Cost); err != nil {
		return secret.Bytes{}, err
	}
	out := secret.New(keySize)
	var err error
	s.gate.Do(func() {
		erasing(func() { err = k.fill(out.Expose(), password.Expose()) })
	})
	if err != nil {
		out.Wipe()
		return secret.Bytes{}, cryptoki.Errorf(cryptoki.CKR_FUNCTION_FAILED, "seal: KDF: %w", err)
	}
	return out, nil
}

// fill computes a key into out.
func (k KDF) fill(out, password []byte) (err error) {
	var key []byte
	switch c := k.Cost; c.Algorithm {
	case Argon2id:
		key = argon2.IDKey(password, k.Salt[:], c.Passes, c.Memory, c.Lanes, uint32(len(out)))
	case PBKDF2:
		// The string is a copy that only erasing reaches. HMAC makes another one anyway.
		key, err = pbkdf2.Key(sha256.New, string(password), k.Salt[:], int(c.Passes), len(out))
	default:
		err = fmt.Errorf("algorithm %d", c.Algorithm)
	}
	copy(out, key)
	secret.Wipe(key)
	return err
}
