package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// waiting is a C_WaitForSlotEvent under way.
type waiting struct{ code chan error }

// event is C_WaitForSlotEvent: at once, or begun in one line and ended in another.
func (m *machine) event(args, _ []string) (string, error) {
	library, err := m.vendor()
	if err != nil {
		return "", err
	}
	switch args[0] {
	case "now":
		return "", answered(library.WaitForSlotEvent(false))
	case "begin":
		if m.waiting != nil {
			return "", errors.New("a wait is under way")
		}
		m.waiting = &waiting{make(chan error, 1)}
		thread := make(chan int)
		go func() {
			runtime.LockOSThread()
			thread <- unix.Gettid()
			m.waiting.code <- answered(library.WaitForSlotEvent(true))
		}()
		if err := m.waiting.asleep(<-thread); err != nil {
			m.waiting = nil
			return "", err
		}
		return "", nil
	case "end":
		if m.waiting == nil {
			return "", errors.New("no wait is under way")
		}
		defer func() { m.waiting = nil }()
		return "", <-m.waiting.code
	}
	return "", errUsage
}

// asleep returns when the kernel has put the thread to sleep, or with what came of a wait
// that has ended already.
func (w *waiting) asleep(thread int) error {
	for {
		status, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/stat", thread))
		i := bytes.LastIndexByte(status, ')')
		asleep := i >= 0 && bytes.HasPrefix(status[i+1:], []byte(" S"))
		select {
		case err := <-w.code:
			return cmp.Or(err, errors.New("there was an event"))
		default:
		}
		if asleep {
			return nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
			return err
		}
		runtime.Gosched()
	}
}
