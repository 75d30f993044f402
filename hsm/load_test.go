package hsm_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/policy"
)

// Whatever is under way while a policy erases the partition is done, or is told that its
// object is gone; nothing of the HSM breaks over it, and what is counted is what is there.
func TestErasingUnderLoad(t *testing.T) {
	b := newHSM(t)
	so := b.app().open(readWrite)
	so.must(so.login(cryptoki.CKU_SO, soPIN))
	var over atomic.Bool
	var all sync.WaitGroup
	for range 4 {
		s := b.user()
		all.Go(func() {
			fine := func(what string, rv cryptoki.RV) {
				switch rv {
				case cryptoki.CKR_OK, cryptoki.CKR_OBJECT_HANDLE_INVALID, cryptoki.CKR_KEY_HANDLE_INVALID, cryptoki.CKR_DEVICE_REMOVED:
				default:
					t.Errorf("%s: %v", what, rv)
				}
			}
			for !over.Load() {
				key, rv := s.generate(newToken(), aesKeyGen, attrs(cryptoki.CKA_TOKEN, true, cryptoki.CKA_VALUE_LEN, 32, cryptoki.CKA_ENCRYPT, true))
				fine("generate", rv)
				_, rv = s.copyObject(newToken(), key, nil)
				fine("copy", rv)
				_, rv = s.fused(mech.Encrypt, cryptoki.New(cryptoki.CKM_AES_ECB), key, make([]byte, 16), nil, anyRoom)
				fine("encrypt", rv)
				_, rv = s.page(attrs(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY), 0, 100)
				fine("find", rv)
				fine("set", s.set(key, attrs(cryptoki.CKA_LABEL, "label")))
				_, rv = s.get(key, cryptoki.CKA_LABEL)
				fine("get", rv)
				fine("destroy", s.destroy(key))
			}
		})
	}
	for range 50 {
		for _, value := range []uint64{0, 1} {
			_, rv := so.setPolicies(value == 1, to(policy.Multipurpose, value))
			so.must(rv)
		}
	}
	over.Store(true)
	all.Wait()
	s := b.user()
	info := s.partitionInfo(0)
	if found := s.find(nil); uint64(len(found)) != info.Objects {
		t.Errorf("%d objects are found, %d are counted", len(found), info.Objects)
	}
}

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
