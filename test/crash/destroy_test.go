package crash

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidelock.dev/tidelock/client"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

// destruction is an act that takes for good, out of an HSM or out of its log.
type destruction struct {
	name  string
	enter func(home string) (*app, error)
	act   func(e *estate, a *app) error
	// happened tells by what the next server says whether the act was done. state is that of
	// `hsm show`.
	happened func(home, state string) (bool, error)
	// keys says that it takes the keys of slot 0, all that it takes those of slot 1 too.
	keys, all bool
}

var destructions = []destruction{
	{
		name:  "zeroize",
		enter: administer,
		act: func(_ *estate, a *app) error {
			return a.do(wire.CallHSMZeroize, &wire.HSMZeroizeRequest{}, &wire.HSMZeroizeReply{})
		},
		happened: func(_, state string) (bool, error) { return state == "zeroized", nil },
		keys:     true, all: true,
	},
	{
		name:  "delete",
		enter: func(home string) (*app, error) { return enter(administer, home, cryptoki.CKU_SO, soPIN) },
		act: func(_ *estate, a *app) error {
			return a.do(wire.CallPartitionDelete, &wire.PartitionDeleteRequest{}, &wire.PartitionDeleteReply{})
		},
		happened: func(home, _ string) (bool, error) {
			a, err := dial(home)
			if err == nil {
				return false, a.c.Close()
			}
			if errors.Is(err, cryptoki.CKR_SLOT_ID_INVALID) {
				err = nil
			}
			return true, err
		},
		keys: true,
	},
	{
		name:  "policy",
		enter: func(home string) (*app, error) { return enter(dial, home, cryptoki.CKU_SO, soPIN) },
		act: func(_ *estate, a *app) error {
			return a.do(wire.CallSetPartitionPolicies, &wire.SetPartitionPoliciesRequest{
				Ids: []uint64{40, 41}, Values: []uint64{0, 0}, Destructive: true,
			}, &wire.SetPartitionPoliciesReply{})
		},
		happened: func(home, _ string) (bool, error) {
			a, err := dial(home)
			if err != nil {
				return false, err
			}
			defer a.c.Close()
			var info wire.PartitionInfoReply
			err = a.do(wire.CallPartitionInfo, &wire.PartitionInfoRequest{}, &info)
			return info.Version == 0, err
		},
		keys: true,
	},
	{
		name:  "clear",
		enter: func(home string) (*app, error) { return enter(administer, home, cryptoki.CKU_AUDIT, auditorPIN) },
		act: func(e *estate, a *app) error {
			return a.do(wire.CallAuditClear, &wire.AuditClearRequest{Segment: e.segment}, &wire.AuditClearReply{})
		},
		happened: func(home, _ string) (bool, error) {
			a, err := administer(home)
			if err != nil {
				return false, err
			}
			defer a.c.Close()
			var v wire.AuditVerifyReply
			err = a.do(wire.CallAuditVerify, &wire.AuditVerifyRequest{}, &v)
			return v.Oldest > 1, err
		},
	},
}

// enter connects and logs in.
func enter(connect func(home string) (*app, error), home string, user cryptoki.UserType, pin string) (*app, error) {
	a, err := connect(home)
	if err != nil {
		return nil, err
	}
	return a, a.login(user, pin)
}

// TestKillDestruction kills the server while it destroys, at random moments. The next one
// has everything, or nothing of what was to be destroyed and all of the rest.
func TestKillDestruction(t *testing.T) {
	kills := times(t, "TIDELOCK_CRASH_DESTRUCTIONS", 4, 1)
	rng := random(t)
	e := newEstate(t, rng)
	for _, d := range destructions {
		t.Run(d.name, func(t *testing.T) {
			whole := time.Duration(0)
			counts := make(map[string]int)
			for n := range kills + 1 {
				// The first says how long it takes.
				after := time.Duration(-1)
				if n > 0 {
					// More of them near the beginning, where the one update is that decides.
					at := rng.Float64()
					after = time.Duration(1.2 * at * at * float64(whole))
				}
				outcome, took, err := e.suffer(t, d, after)
				if err != nil {
					t.Fatalf("kill %d, after %v of %v: %v", n, after, whole, err)
				}
				if n == 0 {
					whole = took
				} else {
					counts[outcome]++
				}
			}
			t.Logf("%d kills, it takes %v: %v", kills, whole, counts)
			if kills >= 100 && (counts[untouched]+counts[unanswered] < kills/10 || counts[unanswered]+counts[answered] < kills/10) {
				t.Error("the kills are not where they should be: they came before it, or after it")
			}
		})
	}
}

// What becomes of a destruction whose server is killed.
const (
	untouched  = "not done"
	unanswered = "done and not answered"
	answered   = "done and answered"
)

// estate is an HSM with all that can be taken of it: a thousand objects and keys in slot 0,
// keys in slot 1, an Auditor, an exported log, and a checkpoint that is kept elsewhere.
type estate struct {
	rng                  *rand.Rand
	home                 string
	keys, others         *owner // of slot 0, of slot 1
	traces               traces
	checkpoint, exported string // files
	segment              string // what the HSM signed of exported
}

const auditorPIN = "auditor-5772"

func newEstate(t *testing.T, rng *rand.Rand) *estate {
	t.Helper()
	dir := t.TempDir()
	e := &estate{
		rng: rng, home: filepath.Join(dir, "home"), checkpoint: filepath.Join(dir, "checkpoint"), exported: filepath.Join(dir, "exported"),
		keys: &owner{name: "owner", rng: rng, acts: newActs()}, others: &owner{name: "neighbour", rng: rng, acts: newActs()},
	}
	// With version 1, of which a change of policy 41 makes version 0.
	cmd := quickstart(e.home)
	cmd.Args = append(cmd.Args, "--partition-version", "1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("quickstart: %v\n%s", err, out)
	}
	s, err := start(e.home)
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	if err := errors.Join(makeData(e.home), e.settle(t.TempDir())); err != nil {
		t.Fatal(err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if e.traces, err = sealedIn(e.home); err != nil {
		t.Fatal(err)
	}
	if n, err := e.traces.in(e.home); err != nil || n < 1000 {
		t.Fatalf("%d of %d traces are in the files, %v", n, len(e.traces), err)
	}
	for _, x := range e.keys.things {
		e.traces.add(x.value)
	}
	return e
}

// settle makes what an estate has beside its first objects.
func (e *estate) settle(pins string) error {
	for name, pin := range map[string]string{"so": soPIN, "co": coPIN, "auditor": auditorPIN} {
		if err := os.WriteFile(filepath.Join(pins, name), []byte(pin+"\n"), 0o600); err != nil {
			return err
		}
	}
	so, co, auditor := filepath.Join(pins, "so"), filepath.Join(pins, "co"), filepath.Join(pins, "auditor")
	for _, args := range [][]string{
		{"partition", "create", "neighbour", "--pin-file", so},
		{"partition", "init", "--partition", "neighbour", "--label", "neighbour", "--pin-file", so},
		{"role", "init", "co", "--partition", "neighbour", "--pin-file", so, "--new-pin-file", co},
		{"role", "init", "auditor", "--new-pin-file", auditor},
	} {
		if _, err := command(e.home, args...); err != nil {
			return err
		}
	}
	for slot, o := range []*owner{e.keys, e.others} {
		a, err := enter(at(uint64(slot)), e.home, cryptoki.CKU_USER, coPIN)
		for n := 0; n < maxThings && err == nil; n++ {
			err = o.create(a)
		}
		if err != nil {
			return err
		}
	}
	if _, err := command(e.home, "audit", "checkpoint", "--out", e.checkpoint); err != nil {
		return err
	}
	if _, err := command(e.home, "audit", "export", "--file", e.exported, "--pin-file", auditor); err != nil {
		return err
	}
	log, err := os.ReadFile(e.exported)
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	e.segment = lines[len(lines)-1]
	return err
}

// at is dial for a slot.
func at(slot uint64) func(home string) (*app, error) {
	return func(home string) (*app, error) {
		c, err := client.Dial(socketOf(home), "crash test")
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errLost, err)
		}
		return openSlot(c, slot)
	}
}

// suffer kills the server of a copy of the estate some time after a destruction began, or
// when that is over, and looks at what the next one has.
func (e *estate) suffer(t *testing.T, d destruction, after time.Duration) (outcome string, took time.Duration, err error) {
	home := filepath.Join(t.TempDir(), "home")
	// With the files' modes, which the server looks at.
	if out, err := exec.Command("cp", "-a", e.home, home).CombinedOutput(); err != nil {
		return "", 0, fmt.Errorf("%w\n%s", err, out)
	}
	defer os.RemoveAll(home)
	s, err := start(home)
	if err != nil {
		return "", 0, err
	}
	defer s.kill()
	a, err := d.enter(home)
	if err != nil {
		return "", 0, err
	}
	began := time.Now()
	done := make(chan error, 1)
	go func() { done <- d.act(e, a) }()
	if after < 0 {
		err = <-done
		took = time.Since(began)
		s.kill()
	} else {
		<-time.After(after)
		s.kill()
		err = <-done
	}
	acknowledged := err == nil
	if err != nil && (after < 0 || !errors.Is(err, errLost)) {
		return "", took, err
	}
	if acknowledged && d.keys {
		if err := e.traces.none(home); err != nil {
			return "", took, fmt.Errorf("it was acknowledged, and before the next start %w", err)
		}
	}
	if after >= 0 {
		// The next server goes on with it, and may not come far either.
		cut := serveCommand(home)
		if err := cut.Start(); err != nil {
			return "", took, err
		}
		<-time.After(time.Duration(e.rng.Int64N(int64(120 * time.Millisecond))))
		_ = cut.Process.Kill()
		_ = cut.Wait()
	}
	happened, err := e.inspect(home, d)
	switch {
	case err != nil:
		return "", took, err
	case happened && acknowledged:
		return answered, took, nil
	case happened:
		return unanswered, took, nil
	case acknowledged:
		return "", took, errors.New("it was acknowledged, and is not done")
	}
	return untouched, took, nil
}

// inspect starts the server of a home after a kill, looks at everything, and tells whether
// the destruction happened.
func (e *estate) inspect(home string, d destruction) (happened bool, err error) {
	s, err := start(home)
	if err != nil {
		return false, err
	}
	defer s.kill()
	state, err := stateOf(home)
	if err != nil {
		return false, err
	}
	if happened, err = d.happened(home, state); err != nil {
		return happened, err
	}
	if want := map[bool]string{false: "operational", true: "zeroized"}[happened && d.all]; state != want {
		return happened, fmt.Errorf("the HSM is %s, not %s", state, want)
	}
	for slot, o := range []*owner{e.keys, e.others} {
		check := o.check
		if happened && (d.all || d.keys && slot == 0) {
			check = o.mourn
		}
		if err := e.look(home, uint64(slot), check); err != nil {
			return happened, fmt.Errorf("slot %d: %w", slot, err)
		}
	}
	if happened && d.keys {
		if err := e.traces.none(home); err != nil {
			return happened, err
		}
	}
	return happened, errors.Join(e.auditHolds(home), s.stop())
}

// look lets the Crypto Officer of a slot check something. A slot that is gone, he sees as
// nil.
func (e *estate) look(home string, slot uint64, check func(*app) error) error {
	a, err := enter(at(slot), home, cryptoki.CKU_USER, coPIN)
	if errors.Is(err, cryptoki.CKR_SLOT_ID_INVALID) {
		return check(nil)
	}
	if err != nil {
		return err
	}
	defer a.c.Close()
	return check(a)
}

// mourn checks that all of an owner's things are gone, with whatever else there was.
func (o *owner) mourn(a *app) error {
	if a == nil {
		return nil
	}
	for _, x := range o.things {
		if err := x.use(a); !errors.Is(err, cryptoki.CKR_KEY_HANDLE_INVALID) {
			return fmt.Errorf("%s was destroyed, and its use gives %w", x.label, err)
		}
	}
	if all, err := a.find(nil); err != nil || len(all) != 0 {
		return fmt.Errorf("everything was destroyed, and there are %d objects: %w", len(all), err)
	}
	return nil
}

// auditHolds checks the log, inside and against the checkpoint, with what was exported where
// that was cleared.
func (e *estate) auditHolds(home string) error {
	if _, err := command(home, "audit", "verify", "--checkpoint", e.checkpoint); err != nil {
		return err
	}
	out, err := command(home, "audit", "show", "-o", "json")
	if err != nil {
		return err
	}
	rest := filepath.Join(home, "rest")
	if err := os.WriteFile(rest, out, 0o600); err != nil {
		return err
	}
	defer os.Remove(rest)
	files := []string{"audit", "verify", "--checkpoint", e.checkpoint, "--file", rest}
	if !strings.Contains(string(out[:strings.IndexByte(string(out), '\n')+1]), `"from":1,`) {
		files = append(files[:4:4], "--file", e.exported, "--file", rest)
	}
	out, err = command(home, files...)
	if err == nil && !strings.Contains(string(out), "up to entry") {
		err = fmt.Errorf("no checkpoint proves anything of the log:\n%s", out)
	}
	return err
}
