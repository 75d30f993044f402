package secret

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// newMapping maps memory for at least n bytes between two guard pages.
func newMapping(n int) (*mapping, error) {
	page := os.Getpagesize()
	size := (n + page - 1) / page * page
	whole, err := unix.Mmap(-1, 0, page+size+page, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("mmap: %w", err)
	}
	m := &mapping{whole: whole, usable: whole[page : page+size : page+size]}
	if err := unix.Mprotect(m.usable, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		m.unmap()
		return nil, fmt.Errorf("mprotect: %w", err)
	}
	// Where the kernel knows one of these not, the process settings of the server and
	// the lock still hold.
	_ = unix.Madvise(m.usable, unix.MADV_DONTDUMP)
	_ = unix.Madvise(m.usable, unix.MADV_WIPEONFORK)
	return m, nil
}

func (m *mapping) unmap() {
	// It fails for nothing but a mapping that is none.
	_ = unix.Munmap(m.whole)
}

// lockPages keeps memory out of the swap space.
func lockPages(b []byte) error {
	if err := unix.Mlock(b); err != nil {
		return fmt.Errorf("mlock: %w", err)
	}
	return nil
}
