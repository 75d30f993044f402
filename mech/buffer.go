package mech

import "tidelock.dev/tidelock/cryptoki"

// buffer collects the parts of an operation that cannot work piecewise. It leaves
// no copy behind when it grows.
type buffer struct{ bytes []byte }

// add appends a part; past maxParts the answer is tooLong.
func (b *buffer) add(part []byte, tooLong cryptoki.RV) error {
	n := len(b.bytes) + len(part)
	if n > maxParts {
		return cryptoki.Errorf(tooLong, "data in parts is limited to %d bytes", maxParts)
	}
	if n > cap(b.bytes) {
		grown := make([]byte, len(b.bytes), max(n, min(2*cap(b.bytes), maxParts)))
		copy(grown, b.bytes)
		clear(b.bytes)
		b.bytes = grown
	}
	b.bytes = append(b.bytes, part...)
	return nil
}

func (b *buffer) wipe() {
	clear(b.bytes)
	b.bytes = nil
}
