package partition_test

import (
	"sync"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/partition"
)

// A request may have found its session before another thread closed that. It begins
// nothing there any more, which nobody would end.
func TestClosedSession(t *testing.T) {
	w := ready(t, 1<<20, nil)
	s := w.login(cryptoki.CKU_USER, ownerPIN)
	s.Close()
	digest := &cryptoki.Mechanism{Type: cryptoki.CKM_SHA256}
	_, err := s.Init(mech.Digest, digest, 0)
	code(t, err, cryptoki.CKR_SESSION_HANDLE_INVALID)
	_, err = s.OperateFused(mech.Digest, digest, 0, []byte("data"), nil, 32)
	code(t, err, cryptoki.CKR_SESSION_HANDLE_INVALID)
}

// Links of one application may bring the same session back at once.
func TestReopenAtOnce(t *testing.T) {
	w := ready(t, 1<<20, nil)
	m := w.p.Join(partition.Actor{Application: 1})
	for handle := cryptoki.SessionHandle(1); handle <= 200; handle++ {
		var found [4]*partition.Session
		var wg sync.WaitGroup
		for i := range found {
			wg.Go(func() { found[i], _ = w.p.Reopen(m, handle, 0, true, func() {}) })
		}
		wg.Wait()
		for _, s := range found {
			if s == nil || s != found[0] {
				t.Fatalf("sessions %p for one handle", found)
			}
		}
		found[0].Close()
	}
	if all, rw := w.p.SessionCounts(); all != 0 || rw != 0 {
		t.Errorf("%d sessions, %d of them read-write, are left", all, rw)
	}
}
