package main

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// hugeHeap is how much of the heap is to be made of huge pages, in bytes: what two
// password hashes take.
const hugeHeap = 128 << 20

// preferHugePages asks the kernel for huge pages where the heap is going to be. A
// password hash writes to 64 MiB that the heap has fresh from the kernel: in pages of 4
// KiB that costs more than the hash itself. The memory is not touched here, and a
// kernel that has no huge pages costs time alone.
func preferHugePages() {
	heap := make([]byte, hugeHeap)
	_ = unix.Madvise(heap, unix.MADV_HUGEPAGE)
	runtime.KeepAlive(heap)
	heap = nil
	runtime.GC()
}
