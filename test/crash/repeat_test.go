package crash

import (
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// TestRepeatAtOnce sends a creating call again while the first is still under way,
// as somebody does whose connection was cut: both give the same objects.
func TestRepeatAtOnce(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	if err := makeHome(home); err != nil {
		t.Fatal(err)
	}
	s, err := start(home)
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	const callers = 4
	var apps [callers]*app
	for i := range apps {
		if apps[i], err = dial(home); err != nil {
			t.Fatal(err)
		}
		if err := apps[i].login(cryptoki.CKU_USER, coPIN); err != nil {
			t.Fatal(err)
		}
	}
	o := &owner{name: "owner", rng: random(t)}
	for range times(t, "TIDELOCK_CRASH_REPEATS", 100, 20) {
		x := o.newThing()
		var handles [callers][]uint64
		var wg sync.WaitGroup
		for i, a := range apps {
			wg.Go(func() {
				var err error
				if handles[i], err = x.make(a); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		found, err := apps[0].find(labelled(nil, x.label))
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range handles {
			if !slices.Equal(h, found) {
				t.Fatalf("the calls gave %d, there are %d", handles, found)
			}
		}
	}
}
