package crash

import (
	"fmt"
	"sync"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/wire"
)

// acts are the acknowledged acts that the audit log has to have, and the handles
// that were given.
type acts struct {
	mu      sync.Mutex
	noted   map[string]int
	handles map[uint64]bool
	newest  uint64 // entry of the audit log
}

func newActs() *acts { return &acts{noted: make(map[string]int), handles: make(map[uint64]bool)} }

func act(event, result string, object uint64) string {
	return fmt.Sprintf("%s %s object %d", event, result, object)
}

// note takes down an act that was just acknowledged.
func (s *acts) note(event, result string, object uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noted[act(event, result, object)]++
}

func (s *acts) made(x *thing) {
	event := map[kind]string{generated: "key-generate", pair: "key-pair-generate", imported: "import"}[x.kind]
	s.note(event, "CKR_OK", x.handle[len(x.handle)-1])
}

// fresh checks that handles were never given before.
func (s *acts) fresh(handles []uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range handles {
		if s.handles[h] {
			return fmt.Errorf("handle %d was given twice", h)
		}
		s.handles[h] = true
	}
	return nil
}

// check reads the entries of the audit log since the last check, and finds among
// them each act that was noted.
func (s *acts) check(a *app) error {
	var v wire.AuditVerifyReply
	if err := a.do(wire.CallAuditVerify, &wire.AuditVerifyRequest{}, &v); err != nil {
		return err
	}
	if !v.Sound || v.Newest < s.newest {
		return fmt.Errorf("the audit log had %d entries, now %+v", s.newest, v)
	}
	for s.newest < v.Newest {
		var p wire.AuditReadReply
		if err := a.do(wire.CallAuditRead, &wire.AuditReadRequest{From: s.newest + 1, Limit: 400}, &p); err != nil {
			return err
		}
		for _, text := range p.Entries {
			e, err := audit.ParseEntry([]byte(text))
			if err != nil {
				return err
			}
			s.newest = e.Sequence
			key := act(e.Record.Event.String(), e.Record.Result.String(), uint64(e.Record.Object))
			if s.noted[key]--; s.noted[key] <= 0 {
				delete(s.noted, key)
			}
		}
	}
	for key, n := range s.noted {
		return fmt.Errorf("the audit log lacks %q, %d times", key, n)
	}
	return nil
}
