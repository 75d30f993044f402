package partition

import (
	"bytes"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/object"
)

// counted tells whether an attribute depends on a key's wrong authorizations, which the
// object does not have.
func counted(t cryptoki.AttributeType) bool {
	return t == cryptoki.CKA_KEY_STATUS || t == cryptoki.CKA_FAILED_KEY_AUTH_COUNT
}

// readStanding reads an attribute that is counted.
func (p *Partition) readStanding(o *object.Object, a cryptoki.AttributeType) ([]byte, object.Status, error) {
	v, guarded := o.Verifier()
	if !guarded {
		value, status := o.Read(a)
		return value, status, nil
	}
	t, err := p.standingOf(v.Family)
	if err != nil {
		return nil, object.Absent, err
	}
	if a == cryptoki.CKA_KEY_STATUS {
		return o.KeyStatus(t.locked()), object.Present, nil
	}
	return cryptoki.ULong(t.failed), object.Present, nil
}

// splitCounted parts a template by whether its attributes are counted.
func splitCounted(t cryptoki.Template) (stored, counts cryptoki.Template) {
	for _, a := range t {
		if counted(a.Type) {
			counts = append(counts, a)
		} else {
			stored = append(stored, a)
		}
	}
	return stored, counts
}

// findByStanding is Find with a template that has counts in it: it looks at each object
// that the rest of the template leaves.
func (s *Session) findByStanding(stored, counts cryptoki.Template, after cryptoki.ObjectHandle, limit int) (found []cryptoki.ObjectHandle, more bool, err error) {
	for more = true; more; {
		var page []cryptoki.ObjectHandle
		if page, more, err = s.Find(stored, after, limit); err != nil {
			return nil, false, err
		}
		for _, h := range page {
			after = h
			matches, err := s.hasCounts(h, counts)
			switch {
			case err != nil:
				return nil, false, err
			case !matches:
			case len(found) == limit:
				return found, true, nil
			default:
				found = append(found, h)
			}
		}
	}
	return found, false, nil
}

// hasCounts tells whether an object has the counts; one that is gone has not.
func (s *Session) hasCounts(h cryptoki.ObjectHandle, counts cryptoki.Template) (bool, error) {
	r, err := s.object(h)
	if cryptoki.Code(err) == cryptoki.CKR_OBJECT_HANDLE_INVALID {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, a := range counts {
		value, status, err := s.partition.readStanding(r.object, a.Type)
		if err != nil {
			return false, err
		}
		if status != object.Present || !bytes.Equal(value, a.Value) {
			return false, nil
		}
	}
	return true, nil
}
