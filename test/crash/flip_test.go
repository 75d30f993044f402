package crash

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

// TestFlip flips one bit of the store, and one after the other thousands: each is
// noticed, or changes nothing that anybody could see.
func TestFlip(t *testing.T) {
	flips := times(t, "TIDELOCK_CRASH_FLIPS", 2000, 100)
	rng := random(t)
	specimen := newSpecimen(t, rng)
	const workers = 2
	var mu sync.Mutex
	found := make(map[string]int)
	var wg sync.WaitGroup
	for range workers {
		own := rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64()))
		path := filepath.Join(fastDir(t), "store.db")
		wg.Go(func() {
			for range flips / workers {
				bit := specimen.choose(own)
				outcome, err := specimen.flip(path, bit)
				if err != nil {
					t.Errorf("bit %d of byte %d, at %d of page %d: %v", bit%8, bit/8, bit/8%pageSize, bit/8/pageSize, err)
				}
				mu.Lock()
				found[outcome]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d flips in %d bytes: %v", flips, len(specimen.store), found)
	if found[harmless] == 0 || found[noticed] == 0 {
		t.Error("the flips are not where they should be")
	}
}

// What becomes of a flip.
const (
	harmless = "harmless"
	noticed  = "noticed when the store is opened"
	later    = "noticed later"
	silent   = "not noticed"
)

const pageSize = 4096

// fastDir is a directory in memory where there is one: flushing is not what is
// tested here.
func fastDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "crash")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// specimen is a store and all that is known of it.
type specimen struct {
	store, rootKey []byte
	owners         []*owner
	before, after  string // what describe says of the store as it is, and with one more object
}

// newSpecimen lets a server make a store with some history.
func newSpecimen(t *testing.T, rng *rand.Rand) *specimen {
	home := filepath.Join(t.TempDir(), "home")
	if err := makeHome(home); err != nil {
		t.Fatal(err)
	}
	s, err := start(home)
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	x := new(specimen)
	acts := newActs()
	for n := range owners {
		a, err := dial(home)
		if err != nil {
			t.Fatal(err)
		}
		o := &owner{name: fmt.Sprint("owner ", n), rng: rng, acts: acts}
		x.owners = append(x.owners, o)
		if err := a.login(cryptoki.CKU_USER, coPIN); err != nil {
			t.Fatal(err)
		}
		for range 50 {
			if err := o.act(a); err != nil {
				t.Fatal(err)
			}
		}
	}
	a, err := dial(home)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.login(cryptoki.CKU_SO, wrongPIN); !errors.Is(err, cryptoki.CKR_PIN_INCORRECT) {
		t.Fatal(err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if x.store, err = os.ReadFile(filepath.Join(home, "store.db")); err != nil {
		t.Fatal(err)
	}
	if x.rootKey, err = os.ReadFile(filepath.Join(home, "root.key")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "store.db")
	if err := os.WriteFile(path, x.store, 0o600); err != nil {
		t.Fatal(err)
	}
	if x.before, x.after, err = x.examine(path); err != nil {
		t.Fatal(err)
	}
	return x
}

// choose takes a bit: of any byte, or of one of those at a page's beginning, where the
// page says what it is and where its records are.
func (x *specimen) choose(rng *rand.Rand) int {
	at := rng.IntN(len(x.store))
	if rng.IntN(2) == 0 {
		at = at/pageSize*pageSize + rng.IntN(256)
	}
	return at*8 + rng.IntN(8)
}

// flip looks at the store with one bit flipped. Its error tells what was silently
// changed.
func (x *specimen) flip(path string, bit int) (outcome string, err error) {
	damaged := bytes.Clone(x.store)
	damaged[bit/8] ^= 1 << (bit % 8)
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		return silent, err
	}
	watchdog := time.AfterFunc(time.Minute, func() { panic(fmt.Sprintf("bit %d: the store's reader hangs", bit)) })
	defer watchdog.Stop()
	defer func() {
		if fault := recover(); fault != nil {
			outcome, err = silent, fmt.Errorf("panic: %v\n%s", fault, debug.Stack())
		}
	}()
	before, after, err := x.examine(path)
	var atOpen openError
	switch {
	case errors.As(err, &atOpen):
		return noticed, nil
	case errors.Is(err, cryptoki.CKR_DEVICE_ERROR):
		return later, nil
	case err != nil:
		return silent, err
	case before != x.before:
		return silent, difference(before, x.before)
	case after != x.after:
		return silent, difference(after, x.after)
	}
	return harmless, nil
}

func difference(got, want string) error {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Errorf("it says %q instead of %q", g[i], w[i])
		}
	}
	return fmt.Errorf("it says %d things instead of %d", len(g), len(w))
}

// openError is the error of opening a store for the first time.
type openError struct{ error }

func (e openError) Unwrap() error { return e.error }

// examine opens a store and describes it, and again after one more object, which may
// have been written to a place that only seemed to be free.
func (x *specimen) examine(path string) (before, after string, err error) {
	i, err := openInside(path, x.rootKey)
	if err != nil {
		return "", "", openError{err}
	}
	before, err = x.describe(i)
	if err == nil {
		err = x.add(i)
	}
	if err = errors.Join(err, i.Close()); err != nil {
		return "", "", err
	}
	if i, err = openInside(path, x.rootKey); err != nil {
		// Noticed too late: the update may have been written over something else.
		return "", "", fmt.Errorf("after an update it does not open: %v", err)
	}
	after, err = x.describe(i)
	return before, after, errors.Join(err, i.Close())
}

// add makes a small object.
func (x *specimen) add(i *inside) error {
	a, err := open(i)
	if err != nil {
		return err
	}
	if err := a.login(cryptoki.CKU_USER, coPIN); err != nil {
		return err
	}
	added := thing{kind: imported, label: "added", id: "added", value: make([]byte, 32)}
	if _, err := added.make(a); err != nil {
		return err
	}
	return a.logout()
}

// described are the attributes that every key has.
var described = []cryptoki.AttributeType{
	cryptoki.CKA_CLASS, cryptoki.CKA_KEY_TYPE, cryptoki.CKA_LABEL, cryptoki.CKA_ID, cryptoki.CKA_TOKEN, cryptoki.CKA_PRIVATE,
	cryptoki.CKA_MODIFIABLE, cryptoki.CKA_DESTROYABLE, cryptoki.CKA_COPYABLE, cryptoki.CKA_LOCAL, cryptoki.CKA_DERIVE,
}

// describe checks everything that is known and says, line by line, what there is.
func (x *specimen) describe(i *inside) (string, error) {
	a, err := open(i)
	if err != nil {
		return "", err
	}
	flags, err := a.flags()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "start %d\nflags %#x\n", i.boot, flags)
	if err := a.login(cryptoki.CKU_USER, coPIN); err != nil {
		return "", err
	}
	for _, o := range x.owners {
		if err := o.check(a); err != nil {
			return "", err
		}
	}
	all, err := a.find(nil)
	if err != nil {
		return "", err
	}
	for _, h := range all {
		values, err := a.read(h, described...)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "object %d: %x\n", h, values)
	}
	var v wire.AuditVerifyReply
	if err := a.do(wire.CallAuditVerify, &wire.AuditVerifyRequest{}, &v); err != nil {
		return "", err
	}
	if !v.Sound {
		return "", fmt.Errorf("%w: the audit log: %s", cryptoki.CKR_DEVICE_ERROR, v.Fault)
	}
	fmt.Fprintf(&b, "audit log of %d entries\n", v.Newest)
	return b.String(), a.logout()
}
