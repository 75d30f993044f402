package hsm_test

import (
	"slices"
	"sync"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// What was answered before an update is there after it, and nothing else: the update comes in
// between calls, not within them.
func TestUpdateUnderLoad(t *testing.T) {
	b := old(t)
	so := b.officer()
	var mu sync.Mutex
	there := b.user().find(nil)
	var all sync.WaitGroup
	for range 4 {
		s := b.user()
		all.Go(func() {
			for {
				h, rv := s.create(newToken(), dataObject(true, true, "under load"))
				switch rv {
				case cryptoki.CKR_OK:
					if h%2 == 0 && s.destroy(h) == cryptoki.CKR_OK {
						continue
					}
					mu.Lock()
					there = append(there, h)
					mu.Unlock()
				case cryptoki.CKR_OPERATION_NOT_ALLOWED: // being updated
				case cryptoki.CKR_SESSION_HANDLE_INVALID: // was updated
					return
				default:
					t.Errorf("%v", rv)
					return
				}
			}
		})
	}
	_, rv := so.updateFirmware("7.7.0")
	so.must(rv)
	all.Wait()
	slices.Sort(there)
	if found := b.user().find(nil); !slices.Equal(found, there) {
		t.Errorf("%v are there, %v were made", found, there)
	}
}
