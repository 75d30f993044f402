package crash

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidelock.dev/tidelock/cryptoki"
)

// TestDiskFull fills a small file system with keys. The call that does not fit is
// refused, the server ends and says why, and once there is room again everything that
// was acknowledged is there.
func TestDiskFull(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mounting a small file system needs root: %v", err)
	}
	defer func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	}()
	fill(t, filepath.Join(disk, "home"), "no space left on device", func(*server) error { return nil }, func() error {
		return unix.Mount("tmpfs", disk, "tmpfs", unix.MS_REMOUNT, "size=64m")
	})
}

// TestFileLimit is TestDiskFull by the limit of a process's files, for which nobody
// has to be root.
func TestFileLimit(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	fill(t, home, "file too large", func(s *server) error {
		const limit = 512 << 10
		return unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit, Max: limit}, nil)
	}, func() error { return nil })
}

// fill makes keys until that fails for the reason that the server's log has to
// name. limit is called when the server runs, makeRoom when it has ended.
func fill(t *testing.T, home, reason string, limit func(*server) error, makeRoom func() error) {
	t.Helper()
	if err := makeHome(home); err != nil {
		t.Fatal(err)
	}
	s, err := start(home)
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	if err := limit(s); err != nil {
		t.Fatal(err)
	}
	a, err := dial(home)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.login(cryptoki.CKU_USER, coPIN); err != nil {
		t.Fatal(err)
	}
	o := &owner{name: "owner", rng: random(t), acts: newActs()}
	const enough = 10_000
	for len(o.things) < enough && err == nil {
		err = o.create(a)
	}
	if !errors.Is(err, cryptoki.CKR_DEVICE_ERROR) {
		t.Errorf("after %d keys: %v", len(o.things), err)
	}
	select {
	case <-s.ended:
	case <-time.After(startLimit):
		t.Fatal("the server goes on with a store that has failed")
	}
	if log := s.log.String(); !strings.Contains(log, reason) || strings.Contains(log, "goroutine ") {
		t.Errorf("the server's log does not say %q, or has a panic:\n%s", reason, log)
	}
	var exit *exec.ExitError
	if !errors.As(s.result, &exit) || exit.ExitCode() != 1 {
		t.Errorf("the server ended with %v", s.result)
	}

	if err := makeRoom(); err != nil {
		t.Fatal(err)
	}
	if s, err = start(home); err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	if a, err = dial(home); err != nil {
		t.Fatal(err)
	}
	if err := a.login(cryptoki.CKU_USER, coPIN); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(o.settle(a), o.check(a), o.create(a), o.acts.check(a)); err != nil {
		t.Error(err)
	}
	t.Logf("%d keys", len(o.things))
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	_ = os.RemoveAll(home)
}
