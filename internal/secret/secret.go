// Package secret holds key bytes and PINs in a form that does not find its way
// into logs, error texts and encodings by accident.
//
// In a process that has called SetArena, secrets lie in memory that is locked and in
// no core dump. Elsewhere, in tests and commands, they lie on the Go heap.
//
// It may import nothing but the standard library and x/sys/unix.
package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
)

// redacted is what every printing of a secret shows. It tells nothing of the
// contents, the length included: the length of a PIN narrows a search.
const redacted = "[secret]"

// errEncode refuses an encoding. A redacted text would be accepted by whoever
// writes it to a file, and the secret would be missing only when it is needed.
var errEncode = errors.New("secret: a secret has no text or JSON form")

// Bytes is a secret. Copies of a Bytes share one memory: what Wipe does through
// one of them holds for all. The zero value is an empty secret.
//
// A Bytes may be read by several goroutines at once; Wipe must not run beside
// another use. Whoever makes one wipes it. One that is forgotten is wiped some time
// after the garbage collector has found that, but only when it lies in an Arena.
type Bytes struct {
	mem *memory
}

// memory is what the copies of a Bytes share.
//
// The two pointers keep the contents out of reach of fmt where it goes past the
// methods. Below an unexported field fmt prints by reflection: of a pointer the
// address, but for a verb that does not suit a pointer (%s) what it points to,
// one pointer deep.
type memory struct{ *cell }

// cell is where the contents are.
type cell struct {
	memory // so that both take one allocation; it refers to the cell itself
	b      []byte
	loan   *loan // nil on the heap
	watch  runtime.Cleanup
}

// allocate is the one place that memory for secrets comes from.
func allocate(n int) *memory {
	c := new(cell)
	c.memory.cell = c
	if a := current.Load(); a != nil && n > 0 {
		if c.loan = a.take(n); c.loan != nil {
			c.b = c.loan.slot[:n:n]
			c.watch = runtime.AddCleanup(c, (*loan).lost, c.loan)
			return &c.memory
		}
	}
	c.b = make([]byte, n)
	return &c.memory
}

// New makes a secret of n zero bytes, to be filled through Expose. Nothing may be
// appended to it.
func New(n int) Bytes { return Bytes{allocate(n)} }

// Copy makes a secret with the contents of b. The caller keeps b and wipes it when
// that is its duty.
func Copy(b []byte) Bytes {
	s := New(len(b))
	copy(s.mem.b, b)
	return s
}

// Take makes a secret of b and wipes b: from here on the contents are in the
// secret alone.
func Take(b []byte) Bytes {
	s := Copy(b)
	Wipe(b)
	return s
}

// Expose gives the contents themselves, not a copy; nil after Wipe. The caller may
// write to them where it owns the secret, and keeps no reference to them beyond
// the secret's life. Each use of this method is a place to look at in a review.
func (s Bytes) Expose() []byte {
	if s.mem == nil {
		return nil
	}
	return s.mem.b
}

// Len is the number of bytes; 0 after Wipe.
func (s Bytes) Len() int { return len(s.Expose()) }

// Equal compares in a time that depends on the lengths alone.
func (s Bytes) Equal(t Bytes) bool {
	return subtle.ConstantTimeCompare(s.Expose(), t.Expose()) == 1
}

// Wipe overwrites the contents and empties the secret. Wiping twice is harmless.
func (s Bytes) Wipe() {
	if s.mem == nil {
		return
	}
	c := s.mem.cell
	b := c.b
	if b == nil {
		return
	}
	c.b = nil
	if c.loan == nil {
		Wipe(b)
		return
	}
	c.watch.Stop()
	runtime.KeepAlive(c)
	c.loan.end()
}

// Wipe overwrites a buffer that held a secret.
func Wipe(b []byte) {
	clear(b)
	// A buffer that is never read again is still overwritten.
	runtime.KeepAlive(&b)
}

// String is redacted.
func (s Bytes) String() string { return redacted }

// GoString is redacted.
func (s Bytes) GoString() string { return redacted }

// Format is redacted for every verb: %x and %d included, which would otherwise ask
// for the bytes.
func (s Bytes) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue is redacted.
func (s Bytes) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText always fails.
func (s Bytes) MarshalText() ([]byte, error) { return nil, errEncode }

// MarshalJSON always fails.
func (s Bytes) MarshalJSON() ([]byte, error) { return nil, errEncode }

// MarshalBinary always fails; encoding/gob uses it.
func (s Bytes) MarshalBinary() ([]byte, error) { return nil, errEncode }
