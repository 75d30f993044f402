package hsm_test

import (
	"sync"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
)

// Whoever works in a partition that is deleted hears that it is gone, not that the HSM is
// broken.
func TestDeletingUnderLoad(t *testing.T) {
	for range 10 {
		b := newHSM(t)
		so := b.officer()
		key := b.user().aesKey(true, "key")
		var all sync.WaitGroup
		for n := range 5 {
			s := b.user()
			work := []func() cryptoki.RV{
				func() cryptoki.RV { _, rv := s.create(newToken(), dataObject(true, true, "x")); return rv },
				func() cryptoki.RV { _, rv := s.page(attrs(cryptoki.CKA_CLASS, cryptoki.CKO_DATA), 0, 10); return rv },
				func() cryptoki.RV { _, rv := s.copyObject(newToken(), key, nil); return rv },
				func() cryptoki.RV {
					_, rv := s.fused(mech.Encrypt, cryptoki.New(cryptoki.CKM_AES_ECB), key, make([]byte, 16), nil, anyRoom)
					return rv
				},
				func() cryptoki.RV {
					if rv := s.logout(); rv != cryptoki.CKR_OK {
						return rv
					}
					return s.login(cryptoki.CKU_USER, coPIN)
				},
			}[n]
			all.Go(func() {
				for {
					switch rv := work(); rv {
					case cryptoki.CKR_OK:
					case cryptoki.CKR_DEVICE_REMOVED, cryptoki.CKR_SESSION_HANDLE_INVALID, cryptoki.CKR_USER_NOT_LOGGED_IN,
						cryptoki.CKR_OBJECT_HANDLE_INVALID, cryptoki.CKR_KEY_HANDLE_INVALID:
						return
					default:
						t.Errorf("worker %d: %v", n, rv)
						return
					}
				}
			})
		}
		so.must(so.deletePartition(0))
		all.Wait()
	}
}
