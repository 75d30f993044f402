//go:build !linux

package secret

import "errors"

// newMapping fails where nobody has said how memory is kept to oneself: secrets are
// on the Go heap there.
func newMapping(int) (*mapping, error) { return nil, errors.ErrUnsupported }

func (m *mapping) unmap() {}

func lockPages([]byte) error { return errors.ErrUnsupported }
