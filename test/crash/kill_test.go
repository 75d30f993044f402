package crash

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"tidelock.dev/tidelock/cryptoki"
)

// TestKill kills the server under load at random moments, again and again, and
// compares what the next one has with what was acknowledged.
func TestKill(t *testing.T) {
	kills := times(t, "TIDELOCK_CRASH_KILLS", 300, 20)
	rng := random(t)
	// One instance computes while another waits for the disk.
	const instances = 2
	total := &tally{counts: make(map[string]int)}
	var wg sync.WaitGroup
	for i := range instances {
		own := rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64()))
		dir := t.TempDir()
		wg.Go(func() {
			for n := 0; n < kills/instances; {
				c := newCampaign(own, filepath.Join(dir, fmt.Sprint("home", n)), total)
				done, err := c.run(kills/instances - n)
				n += done
				if err != nil {
					t.Errorf("instance %d, kill %d: %v", i, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d kills: %+v", kills/instances*instances, total.counts)
	if !t.Failed() && kills >= 100 && (total.counts["lost making"] == 0 || total.counts["lost relabeling"] == 0 || total.counts["lost destroying"] == 0 || total.counts["lost guess"] == 0) {
		t.Error("the kills are not where they should be: some kind of call was never interrupted")
	}
}

// tally counts what a run came upon, to see that it came upon everything.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (y *tally) count(what string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.counts[what]++
}

// campaign is one HSM that is killed until its Crypto User is locked.
type campaign struct {
	rng     *rand.Rand
	home    string
	acts    *acts
	owners  []*owner
	guesser *guesser
	changer *changer
	tally   *tally
}

const owners = 3

func newCampaign(rng *rand.Rand, home string, total *tally) *campaign {
	split := func() *rand.Rand { return rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64())) }
	acts := newActs()
	c := &campaign{rng: rng, home: home, acts: acts, tally: total,
		guesser: &guesser{rng: split(), acts: acts}, changer: &changer{acts: acts, pin: coPIN}}
	for i := range owners {
		c.owners = append(c.owners, &owner{name: fmt.Sprint("owner ", i), rng: split(), acts: acts})
	}
	return c
}

// run kills the server at most n times, and returns how often it did.
func (c *campaign) run(n int) (int, error) {
	if err := makeHome(c.home); err != nil {
		return 0, err
	}
	if err := c.addUser(); err != nil {
		return 0, fmt.Errorf("making the Crypto User: %w", err)
	}
	for i := range n {
		if err := c.round(); err != nil {
			return i + 1, err
		}
		if c.guesser.locked() {
			c.tally.count("locked")
			// Once more, to see that it stays so.
			return i + 1, c.last()
		}
	}
	return n, c.last()
}

// addUser makes the role whose PIN is guessed.
func (c *campaign) addUser() error {
	s, err := start(c.home)
	if err != nil {
		return err
	}
	defer s.kill()
	a, err := dial(c.home)
	if err != nil {
		return err
	}
	if err := errors.Join(c.logIn(a), a.initRole(cryptoki.CKU_CRYPTO_USER, cuPIN), a.c.Close()); err != nil {
		return err
	}
	return s.stop()
}

// last checks after the last kill.
func (c *campaign) last() error {
	s, err := start(c.home)
	if err != nil {
		return err
	}
	defer s.kill()
	apps, err := c.settle()
	if err != nil {
		return err
	}
	apps.close()
	return s.stop()
}

// round starts the server, checks, works and kills.
func (c *campaign) round() error {
	s, err := start(c.home)
	if err != nil {
		return err
	}
	defer s.kill()
	apps, err := c.settle()
	if err != nil {
		return fmt.Errorf("%w\nlog of the server:\n%s", err, &s.log)
	}
	errs := make([]error, owners+2)
	var wg sync.WaitGroup
	for i, o := range c.owners {
		wg.Go(func() { errs[i] = o.work(apps.owners[i]) })
	}
	wg.Go(func() { errs[owners] = c.guesser.work(apps.guesser) })
	wg.Go(func() { errs[owners+1] = c.changer.work(apps.changer) })
	<-time.After(time.Duration(c.rng.IntN(int(60 * time.Millisecond))))
	s.kill()
	wg.Wait()
	for _, err := range errs {
		if !errors.Is(err, errLost) {
			return err
		}
	}
	for _, o := range c.owners {
		if o.unknown != nil {
			c.tally.count("lost " + o.unknown.call)
		}
	}
	if c.guesser.unknown != "" {
		c.tally.count("lost guess")
	}
	if c.changer.unknown != "" {
		c.tally.count("lost PIN change")
	}
	return nil
}

// apps are the connections to one server.
type apps struct {
	owners           []*app
	guesser, changer *app
}

func (p *apps) close() {
	for _, a := range append(slices.Clone(p.owners), p.guesser, p.changer) {
		_ = a.c.Close()
	}
}

// settle connects to a new server and checks everything.
func (c *campaign) settle() (*apps, error) {
	p := new(apps)
	var err error
	if p.changer, err = dial(c.home); err != nil {
		return nil, err
	}
	if p.guesser, err = dial(c.home); err != nil {
		return nil, err
	}
	if err := c.guesser.settle(p.guesser); err != nil {
		return nil, err
	}
	if err := c.changer.settle(p.changer); err != nil {
		return nil, err
	}
	var all []uint64
	for _, o := range c.owners {
		a, err := dial(c.home)
		if err != nil {
			return nil, err
		}
		p.owners = append(p.owners, a)
		if err := c.logIn(a); err != nil {
			return nil, err
		}
		if err := o.settle(a); err != nil {
			return nil, fmt.Errorf("settling: %w", err)
		}
		if err := o.check(a); err != nil {
			return nil, fmt.Errorf("checking: %w", err)
		}
		for _, x := range o.things {
			all = append(all, x.handle...)
		}
	}
	found, err := p.changer.find(nil)
	if err != nil {
		return nil, err
	}
	slices.Sort(all)
	if !slices.Equal(found, all) {
		return nil, fmt.Errorf("there are the objects %d, not %d", found, all)
	}
	return p, c.acts.check(p.changer)
}

// logIn logs the Crypto Officer in.
func (c *campaign) logIn(a *app) error {
	err := a.login(cryptoki.CKU_USER, c.changer.pin)
	if err == nil {
		c.acts.note("login", "CKR_OK", 0)
	}
	return err
}
