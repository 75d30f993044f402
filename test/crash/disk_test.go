package crash

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
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
	wantEnded(t, s, reason)

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

// wantEnded checks that a server ends by itself for the reason that its log has to name.
func wantEnded(t *testing.T, s *server, reason string) {
	t.Helper()
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
}

// wantExplained checks that a server says why it refused an act, and serves or ends.
func wantExplained(t *testing.T, s *server, a *app, reason string) {
	t.Helper()
	var v wire.AuditVerifyReply
	if err := a.do(wire.CallAuditVerify, &wire.AuditVerifyRequest{}, &v); err != nil {
		wantEnded(t, s, reason)
		return
	}
	s.kill()
	if log := s.log.String(); !v.Sound || !strings.Contains(log, reason) {
		t.Errorf("the audit log is sound: %v; the server's log does not say %q:\n%s", v.Sound, reason, log)
	}
}

// TestDiskFullDestruction destroys on a file system that somebody else has filled: it is done,
// or the server says why not, and once there is room again the next one does it. Then
// the file system is filled once more, and keys are made where the destroyed ones lay, whose
// space it had got back.
func TestDiskFullDestruction(t *testing.T) {
	const reason = "no space left on device"
	e := newEstate(t, random(t))
	for _, d := range destructions {
		// With no room at all, and with some that is used up on the way.
		for _, room := range []int{0, 200 << 10, 3 << 20} {
			t.Run(fmt.Sprintf("%s with %d bytes", d.name, room), func(t *testing.T) {
				disk := t.TempDir()
				if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=64m"); err != nil {
					t.Skipf("mounting a small file system needs root: %v", err)
				}
				t.Cleanup(func() {
					if err := unix.Unmount(disk, 0); err != nil {
						t.Error(err)
					}
				})
				home := filepath.Join(disk, "home")
				if out, err := exec.Command("cp", "-a", e.home, home).CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				for round, done := 0, false; !done; round++ {
					s, err := start(home)
					if err != nil {
						t.Fatal(err)
					}
					defer s.kill()
					a, err := d.enter(home)
					if err != nil {
						t.Fatal(err)
					}
					if round == 0 {
						use(t, disk, room)
					}
					err = d.act(e, a)
					acknowledged := err == nil
					if acknowledged {
						s.kill()
					} else {
						t.Logf("round %d: %v", round, err)
						if round > 0 || !errors.Is(err, cryptoki.CKR_DEVICE_ERROR) && !errors.Is(err, errLost) {
							t.Fatal(err)
						}
						wantExplained(t, s, a, reason)
					}
					leave(t, disk)
					happened, err := e.inspect(home, d)
					if err != nil || acknowledged && !happened {
						t.Fatalf("round %d: it happened: %v, %v", round, happened, err)
					}
					done = happened
				}
				if d.keys && !d.all && d.name != "delete" {
					e.intoHoles(t, disk, home, reason)
				}
			})
		}
	}
}

// intoHoles makes keys on a full file system, in the partition of slot 0 that is empty.
func (e *estate) intoHoles(t *testing.T, disk, home, reason string) {
	s, err := start(home)
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	a, err := enter(dial, home, cryptoki.CKU_USER, coPIN)
	if err != nil {
		t.Fatal(err)
	}
	use(t, disk, 0)
	o := &owner{name: "owner of holes", rng: e.rng, acts: newActs()}
	const enough = 10_000
	for len(o.things) < enough && err == nil {
		err = o.create(a)
	}
	if !errors.Is(err, cryptoki.CKR_DEVICE_ERROR) {
		t.Errorf("after %d keys: %v", len(o.things), err)
	}
	wantEnded(t, s, reason)
	leave(t, disk)
	if s, err = start(home); err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	if a, err = enter(dial, home, cryptoki.CKU_USER, coPIN); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(o.settle(a), o.check(a), o.create(a), s.stop()); err != nil {
		t.Error(err)
	}
}

// use fills a file system but for some bytes.
func use(t *testing.T, disk string, but int) {
	t.Helper()
	f, err := os.Create(filepath.Join(disk, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := int64(0)
	for err == nil {
		var n int
		n, err = f.Write(make([]byte, pageSize))
		size += int64(n)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Truncate(max(0, size-int64(but))); err != nil {
		t.Fatal(err)
	}
}

// leave takes away what use has put there.
func leave(t *testing.T, disk string) {
	t.Helper()
	if err := os.Remove(filepath.Join(disk, "filler")); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}
