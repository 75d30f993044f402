package crash

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

const (
	oldFirmware = "7.4.2"
	newFirmware = "7.8.0"
)

// TestKillUpdate kills the server while its firmware is updated, at random moments. The
// next one is at the old level or at the new one, with every key.
func TestKillUpdate(t *testing.T) {
	kills := times(t, "TIDELOCK_CRASH_UPDATES", 10, 3)
	rng := random(t)
	old, err := newOldHSM(rng, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var whole time.Duration
	levels := make(map[string]int)
	for n := range kills + 1 {
		home := filepath.Join(t.TempDir(), fmt.Sprint("home", n))
		// With the files' modes, which the server looks at.
		if out, err := exec.Command("cp", "-a", old.home, home).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		s, err := start(home)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		updated := make(chan error, 1)
		go func() { updated <- updateFirmware(home) }()
		if n == 0 {
			// The first says how long an update takes.
			err = <-updated
			whole = time.Since(began)
			if err != nil {
				t.Fatal(err)
			}
		} else {
			<-time.After(time.Duration(rng.Int64N(int64(whole + whole/5))))
		}
		s.kill()
		if n > 0 {
			err = <-updated
		}
		if err == nil {
			if err := old.traces.none(home); err != nil {
				t.Errorf("kill %d: the update was acknowledged, and before the next start %v", n, err)
			}
		}
		level, failed := old.checkUpdate(home)
		if failed != nil {
			t.Fatalf("kill %d, %v of %v: %v", n, time.Since(began), whole, failed)
		}
		if err == nil && level != newFirmware {
			t.Errorf("kill %d: the update was acknowledged, and the firmware is %s", n, level)
		}
		levels[level]++
		if err := os.RemoveAll(home); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, an update takes %v: %v", kills, whole, levels)
	if kills >= 100 && (levels[oldFirmware] < kills/5 || levels[newFirmware] < kills/20) {
		t.Error("the kills are not where they should be: they came before the updates, or after them")
	}
}

// oldHSM is an HSM of the old level, whose owner has keys among a thousand objects: an
// update takes several batches.
type oldHSM struct {
	home       string
	owner      *owner
	traces     traces // of what an update writes anew
	checkpoint string // a file
}

func newOldHSM(rng *rand.Rand, dir string) (*oldHSM, error) {
	old := &oldHSM{
		home: filepath.Join(dir, "home"), checkpoint: filepath.Join(dir, "checkpoint"), owner: &owner{name: "owner", rng: rng, acts: newActs()},
	}
	if err := old.settle(); err != nil {
		return nil, err
	}
	var err error
	old.traces, err = sealedIn(old.home)
	return old, err
}

func (old *oldHSM) settle() error {
	cmd := quickstart(old.home)
	cmd.Args = append(cmd.Args, "--firmware", oldFirmware)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("quickstart: %w\n%s", err, out)
	}
	s, err := start(old.home)
	if err != nil {
		return err
	}
	defer s.kill()
	if err := makeData(old.home); err != nil {
		return err
	}
	a, err := dial(old.home)
	if err != nil {
		return err
	}
	if err := a.login(cryptoki.CKU_USER, coPIN); err != nil {
		return err
	}
	for range maxThings {
		if err := old.owner.create(a); err != nil {
			return err
		}
	}
	if _, err := command(old.home, "audit", "checkpoint", "--out", old.checkpoint); err != nil {
		return err
	}
	return s.stop()
}

// makeData makes a thousand objects in the partition of slot 0, each less than a page and
// more than half of one.
func makeData(home string) error {
	const (
		makers = 10
		each   = 100
	)
	errs := make([]error, makers)
	var wg sync.WaitGroup
	for i := range makers {
		wg.Go(func() {
			a, err := dial(home)
			if err == nil {
				err = a.login(cryptoki.CKU_USER, coPIN)
			}
			for n := 0; n < each && err == nil; n++ {
				err = a.do(wire.CallCreateObject, &wire.CreateObjectRequest{Token: newToken(), Template: labelled(cryptoki.Template{
					attribute(cryptoki.CKA_CLASS, cryptoki.ULong(cryptoki.CKO_DATA)), attribute(cryptoki.CKA_TOKEN, yes),
					attribute(cryptoki.CKA_VALUE, make([]byte, 2500)),
				}, fmt.Sprint("data ", i, " ", n))}, &wire.CreateObjectReply{})
			}
			errs[i] = err
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// updateFirmware updates as the HSM SO.
func updateFirmware(home string) error {
	a, err := administer(home)
	if err != nil {
		return err
	}
	defer a.c.Close()
	if err := a.login(cryptoki.CKU_SO, soPIN); err != nil {
		return err
	}
	return a.do(wire.CallFirmwareUpdate, &wire.FirmwareUpdateRequest{Level: newFirmware}, &wire.FirmwareUpdateReply{})
}

// checkUpdate starts the server of a home after a kill, looks at everything, and says at
// which level it is.
func (old *oldHSM) checkUpdate(home string) (level string, err error) {
	s, err := start(home)
	if err != nil {
		return "", err
	}
	defer s.kill()
	a, err := dial(home)
	if err != nil {
		return "", err
	}
	var firmware wire.FirmwareInfoReply
	if err := a.do(wire.CallFirmwareInfo, &wire.FirmwareInfoRequest{}, &firmware); err != nil {
		return "", err
	}
	var info wire.PartitionInfoReply
	if err := a.do(wire.CallPartitionInfo, &wire.PartitionInfoRequest{}, &info); err != nil {
		return "", err
	}
	previous, overhead := map[string]string{oldFirmware: "", newFirmware: oldFirmware}[firmware.Level], map[string]uint64{oldFirmware: 9648, newFirmware: 15560}[firmware.Level]
	if firmware.Previous != previous || info.OverheadBytes != overhead || firmware.Updating != "" {
		return "", fmt.Errorf("the firmware is %+v, the partition %+v", firmware, info)
	}
	if err := a.login(cryptoki.CKU_USER, coPIN); err != nil {
		return "", err
	}
	all, err := a.find(nil)
	if err != nil {
		return "", err
	}
	var used uint64
	for _, h := range all {
		var p wire.ObjectSizeReply
		if err := a.do(wire.CallObjectSize, &wire.ObjectSizeRequest{Object: h}, &p); err != nil {
			return "", err
		}
		used += p.Size
	}
	if used != info.UsedBytes || uint64(len(all)) != info.Objects {
		return "", fmt.Errorf("%d objects have %d bytes, the partition says %+v", len(all), used, info)
	}
	if err := old.owner.check(a); err != nil {
		return "", err
	}
	if state, err := stateOf(home); err != nil || state != "operational" {
		return "", fmt.Errorf("hsm show says %q, %v", state, err)
	}
	if _, err := command(home, "audit", "verify", "--checkpoint", old.checkpoint); err != nil {
		return "", err
	}
	if firmware.Level == newFirmware {
		if err := old.traces.none(home); err != nil {
			return "", err
		}
	}
	return firmware.Level, s.stop()
}
