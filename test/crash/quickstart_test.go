package crash

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidelock.dev/tidelock/cryptoki"
)

// TestKillQuickstart kills the making of an HSM. What is left is a whole HSM, or
// says that it is none; it is never overwritten, and can be removed.
func TestKillQuickstart(t *testing.T) {
	kills := times(t, "TIDELOCK_CRASH_QUICKSTARTS", 60, 10)
	rng := random(t)
	home := filepath.Join(t.TempDir(), "home")
	began := time.Now()
	if err := makeHome(home); err != nil {
		t.Fatal(err)
	}
	whole := time.Since(began)
	if err := os.RemoveAll(home); err != nil {
		t.Fatal(err)
	}
	var half, full int
	for range kills {
		cmd := quickstart(home)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Duration(rng.Int64N(int64(whole))))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if usable(t, home) {
			full++
		} else {
			half++
		}
		entries, _ := os.ReadDir(home)
		out, err := quickstart(home).CombinedOutput()
		if len(entries) > 0 && (err == nil || !strings.Contains(string(out), "not empty")) {
			t.Errorf("quickstart over what was there: %v, %s", err, out)
		}
		if err := os.RemoveAll(home); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d whole, %d half-made", full, half)
}

// usable tells whether a home's HSM starts and lets its user in. Otherwise it must
// say what is the matter.
func usable(t *testing.T, home string) bool {
	t.Helper()
	s, err := start(home)
	if err != nil {
		for _, clear := range []string{"holds no HSM", "was interrupted", "no such file"} {
			if strings.Contains(err.Error(), clear) {
				return false
			}
		}
		t.Errorf("a half-made HSM says: %v", err)
		return false
	}
	defer s.kill()
	a, err := dial(home)
	if err == nil {
		err = a.login(cryptoki.CKU_USER, coPIN)
	}
	if err != nil {
		t.Errorf("an HSM that starts: %v", err)
	}
	return true
}

// TestKillStart kills the server while it starts, the first time and later.
func TestKillStart(t *testing.T) {
	kills := times(t, "TIDELOCK_CRASH_STARTS", 40, 10)
	rng := random(t)
	home := filepath.Join(t.TempDir(), "home")
	if err := makeHome(home); err != nil {
		t.Fatal(err)
	}
	for range kills {
		killStart(t, rng, home)
	}
	if !usable(t, home) {
		t.Error("the HSM does not start any more")
	}
}

// killStart starts a server and kills it soon after.
func killStart(t *testing.T, rng *rand.Rand, home string) {
	t.Helper()
	cmd := serveCommand(home)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Duration(rng.Int64N(int64(60 * time.Millisecond))))
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}
