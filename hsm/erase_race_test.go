package hsm_test

import (
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
