package hsm_test

import (
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// An application's permit epochs only grow, whatever happens to its partition: with an earlier
// one it would take no permit any more.
func TestEpochsGrow(t *testing.T) {
	b := newHSM(t)
	so, c := b.officer(), b.app()
	work := func(user cryptoki.UserType, pin string) (epoch uint64) {
		s := c.open(readWrite)
		for range 5 {
			s.must(s.login(user, pin))
			s.must(s.logout())
		}
		epoch = c.epoch
		s.must(s.close())
		return epoch
	}
	last := work(cryptoki.CKU_USER, coPIN)
	for _, event := range []struct {
		what string
		do   func()
		user cryptoki.UserType
		pin  string
	}{
		{"another session", func() {}, cryptoki.CKU_USER, coPIN},
		{"a revocation", func() { so.must(so.revoke(0, 0, true)); so.must(so.assign(0, 0, true)) }, cryptoki.CKU_USER, coPIN},
		{"an initialization", func() { so.must(so.initPartition(0, "again", soPIN)) }, cryptoki.CKU_SO, soPIN},
	} {
		event.do()
		s := c.open(readWrite)
		s.state()
		if c.epoch < last {
			t.Errorf("after %s the epoch is %#x, it was %#x", event.what, c.epoch, last)
		}
		s.must(s.close())
		last = work(event.user, event.pin)
	}
}
