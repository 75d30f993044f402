package harden

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tidelock.dev/tidelock/internal/secret"
)

// role makes the test program the process that is hardened, since the settings cannot
// be taken back.
const role = "TIDELOCK_HARDEN_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(role) != "" {
		os.Exit(child())
	}
	os.Exit(m.Run())
}

// child hardens itself and prints what is not as it should be.
func child() int {
	var log bytes.Buffer
	if os.Getenv(role) == "refused" {
		settings = append(settings, setting{"a thing that fails", func() error { return errors.New("no") }})
	}
	if os.Getenv(role) == "no lock" {
		// The capability passes over the limit.
		_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{})
		if err := dropIPCLock(); err != nil {
			os.Stdout.WriteString("dropping CAP_IPC_LOCK: " + err.Error())
			return 1
		}
	}
	Process(slog.New(slog.NewTextHandler(&log, nil)))
	s := secret.New(32)
	s.Expose()[0] = 1
	dumpable, _, _ := unix.Syscall(unix.SYS_PRCTL, unix.PR_GET_DUMPABLE, 0, 0)
	var core, lock unix.Rlimit
	_ = unix.Getrlimit(unix.RLIMIT_CORE, &core)
	_ = unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lock)
	if dumpable != 0 || core.Cur != 0 || core.Max != 0 || lock.Cur != lock.Max {
		os.Stdout.WriteString("dumpable, core or memory limit is not set\n")
	}
	tasks, _ := filepath.Glob("/proc/self/task/*/status")
	if len(tasks) < 2 {
		os.Stdout.WriteString("no threads to look at\n")
	}
	for _, t := range tasks {
		status, _ := os.ReadFile(t)
		if !strings.Contains(string(status), "NoNewPrivs:\t1") {
			os.Stdout.WriteString("a thread may gain privileges\n")
		}
	}
	os.Stdout.WriteString("status: " + Status() + "\n" + log.String())
	runtime.KeepAlive(s)
	return 0
}

func dropIPCLock() error {
	runtime.LockOSThread()
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1 << unix.CAP_IPC_LOCK
	return unix.Capset(&head, &data[0])
}

func run(t *testing.T, how string) string {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), role+"="+how)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func TestProcess(t *testing.T) {
	out := run(t, "all")
	if !regexp.MustCompile(`^status: \d+ of [1-9]\d* KiB locked, no process of the same user reads its memory, no core dump, no new privileges\n`).MatchString(out) {
		t.Errorf("the process says\n%s", out)
	}
}

func TestRefused(t *testing.T) {
	out := run(t, "refused")
	if !strings.Contains(out, "refused by the system: a thing that fails") || !strings.Contains(out, `level=WARN msg="the process is not hardened"`) {
		t.Errorf("the process says\n%s", out)
	}
}

// Without the right to lock memory the process works and says so once.
func TestNoLock(t *testing.T) {
	out := run(t, "no lock")
	if !strings.HasPrefix(out, "status: 0 of ") || strings.Count(out, "RLIMIT_MEMLOCK") != 1 || !strings.Contains(out, `limit="0 KiB"`) {
		t.Errorf("the process says\n%s", out)
	}
}

func TestStatusOff(t *testing.T) {
	if Status() != "off" {
		t.Error(Status())
	}
}
