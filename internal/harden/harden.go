// Package harden sets up the server's process so that its memory stays its own: no
// core dump, no other process that reads it, no privileges to gain, and locked memory
// for secrets.
//
// It may import internal/secret, the standard library and x/sys/unix.
package harden

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"tidelock.dev/tidelock/internal/secret"
)

// setting is one thing that is asked of the kernel.
type setting struct {
	name  string // what holds when it succeeds
	apply func() error
}

var settings = []setting{
	{"no process of the same user reads its memory", notDumpable},
	{"no core dump", noCore},
	{"no new privileges", noNewPrivileges},
}

// state is what Process did.
var state struct {
	mu    sync.Mutex
	holds []string
	lacks []string
	arena *secret.Arena
}

// Process hardens this process and makes secrets lie in locked memory. It is called
// once, before the first secret is read. Nothing of it is needed for the HSM to work:
// what the system refuses is logged as a warning, and Status says so.
func Process(log *slog.Logger) {
	state.mu.Lock()
	defer state.mu.Unlock()
	for _, s := range settings {
		if err := s.apply(); err != nil {
			log.Warn("the process is not hardened", "setting", s.name, "cause", err)
			state.lacks = append(state.lacks, s.name)
			continue
		}
		state.holds = append(state.holds, s.name)
	}
	limit := raiseMemoryLock()
	state.arena = secret.NewArena(func(err error) {
		log.Warn("secrets may be written to the swap space: raise the limit of locked memory (RLIMIT_MEMLOCK)", "limit", limit, "cause", err)
	})
	secret.SetArena(state.arena)
}

// Status describes what holds for this process, for people: one line without secrets.
func Status() string {
	state.mu.Lock()
	defer state.mu.Unlock()
	if state.arena == nil {
		return "off"
	}
	u := state.arena.Usage()
	memory := fmt.Sprintf("%d of %d KiB locked", u.Locked>>10, u.Mapped>>10)
	text := strings.Join(append([]string{memory}, state.holds...), ", ")
	if len(state.lacks) > 0 {
		text += "; refused by the system: " + strings.Join(state.lacks, ", ")
	}
	return text
}

// notDumpable closes /proc/PID/mem and ptrace to all but the superuser.
func notDumpable() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }

// noCore lowers the hard limit too, so that the process cannot raise it again.
func noCore() error { return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }

// noNewPrivileges sets PR_SET_NO_NEW_PRIVS for all threads. prctl sets it for the
// calling one only, and the runtime has others by now. Seccomp with TSYNC carries the
// setting to all of them along with a filter, which here lets everything pass.
func noNewPrivileges() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	pass := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}
	program := unix.SockFprog{Len: 1, Filter: &pass}
	// SPEC_ALLOW: a filter alone must not cost the older kernels' mitigations, which
	// slow all of the process down.
	const flags = unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	if thread != 0 {
		return fmt.Errorf("seccomp: thread %d has a filter of its own", thread)
	}
	return nil
}

// raiseMemoryLock raises the limit of locked memory as far as the process may, and
// describes it.
func raiseMemoryLock() string {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &l); err != nil {
		return "unknown"
	}
	if l.Cur < l.Max {
		raised := unix.Rlimit{Cur: l.Max, Max: l.Max}
		if unix.Setrlimit(unix.RLIMIT_MEMLOCK, &raised) == nil {
			l = raised
		}
	}
	if l.Cur == unix.RLIM_INFINITY {
		return "none"
	}
	return fmt.Sprintf("%d KiB", l.Cur>>10)
}
