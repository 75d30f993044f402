package partition

import (
	"bytes"
	"fmt"
	"strconv"

	"tidelock.dev/tidelock/cryptoki"
)

// uniqueID is an object's CKA_UNIQUE_ID (PKCS#11 3.2, 4.4): its handle, which no other object
// that an application of this partition sees ever has, as 16 digits.
func uniqueID(h cryptoki.ObjectHandle) []byte {
	return fmt.Appendf(nil, "%016x", uint64(h))
}

// takeUniqueID finds the handle that a search asks for by CKA_UNIQUE_ID, if it does, and
// leaves what else it asks for. The handle is 0 where no object can have the ID.
func takeUniqueID(t cryptoki.Template) (h cryptoki.ObjectHandle, rest cryptoki.Template, asked bool) {
	id, asked := t.Find(cryptoki.CKA_UNIQUE_ID)
	if !asked {
		return 0, t, false
	}
	for _, a := range t {
		if a.Type != cryptoki.CKA_UNIQUE_ID {
			rest = append(rest, a)
		} else if !bytes.Equal(a.Value, id) {
			return 0, nil, true
		}
	}
	if n, err := strconv.ParseUint(string(id), 16, 64); err == nil && bytes.Equal(uniqueID(cryptoki.ObjectHandle(n)), id) {
		h = cryptoki.ObjectHandle(n)
	}
	return h, rest, true
}

// findOne is Find for the only object that can have a handle.
func (s *Session) findOne(h cryptoki.ObjectHandle, t cryptoki.Template, after cryptoki.ObjectHandle) (found []cryptoki.ObjectHandle, more bool, err error) {
	if h <= after {
		return nil, false, nil
	}
	r, err := s.object(h)
	if cryptoki.Code(err) == cryptoki.CKR_OBJECT_HANDLE_INVALID {
		return nil, false, nil
	}
	if err != nil || !r.object.Matches(t) {
		return nil, false, err
	}
	return []cryptoki.ObjectHandle{h}, false, nil
}
