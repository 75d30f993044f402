package serve

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"tidelock.dev/tidelock/wire"
)

// featureSharedReplies is the bit in Hello's features with which a caller asks for an
// area, and by which the reply tells that one comes along.
const featureSharedReplies = 1 << 0

// areaSize is that of an area in bytes.
const areaSize = 8 << 10

// area is memory that a connection shares with its caller, who finds small replies
// there: docs/wire.md. Nothing in it is ever believed: the server writes replies, and
// reads two numbers that decide how it delivers them, to the caller's own harm if
// they are wrong.
//
// It is for one goroutine at a time.
type area struct {
	memory []byte
	shared *areaLayout
	turn   uint32
}

// areaLayout is what both sides see. clib/shm.h has the same.
type areaLayout struct {
	turn    atomic.Uint32 // how many replies there were; the caller sleeps on it
	length  atomic.Uint32 // of the newest reply; 0 when it comes over the socket
	waiting atomic.Uint32 // not 0 while the caller sleeps
	ready   atomic.Uint32 // not 0 when the caller wants the next reply here
	_       [48]byte
	frame   [areaSize - 64]byte
}

// newArea returns an area and the file to pass to the caller. Its size is sealed:
// neither side can make the other's access fail.
func newArea() (*area, *os.File, error) {
	fd, err := unix.MemfdCreate("tidelock-replies", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, nil, fmt.Errorf("memfd_create: %w", err)
	}
	file := os.NewFile(uintptr(fd), "tidelock-replies")
	a := new(area)
	if err = unix.Ftruncate(fd, areaSize); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err == nil {
		a.memory, err = unix.Mmap(fd, 0, areaSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		file.Close()
		return nil, nil, fmt.Errorf("an area for replies: %w", err)
	}
	a.shared = (*areaLayout)(unsafe.Pointer(unsafe.SliceData(a.memory)))
	return a, file, nil
}

// close wipes the area. A nil area has nothing to close.
func (a *area) close() {
	if a == nil {
		return
	}
	clear(a.shared.frame[:])
	_ = unix.Munmap(a.memory)
	*a = area{}
}

// deliver tells the caller of a reply and reports whether the reply itself is in the
// area; else it must follow over the socket. A nil area delivers nothing.
func (a *area) deliver(frame []byte, secret bool) bool {
	if a == nil || a.shared.ready.Load() == 0 {
		return false
	}
	here := !secret && len(frame) <= len(a.shared.frame)
	length := 0
	if here {
		length = copy(a.shared.frame[:], frame)
	}
	a.shared.length.Store(uint32(length))
	a.turn++
	a.shared.turn.Store(a.turn)
	if a.shared.waiting.Swap(0) != 0 {
		const futexWake = 1
		// It does not block: the scheduler need not know.
		_, _, _ = syscall.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&a.shared.turn)), futexWake, 1, 0, 0, 0)
	}
	return here
}

// share gives a caller who asks for it in Hello an area, where the system has one.
func (c *connection) share(body []byte, reply *wire.HelloReply) {
	var q wire.HelloRequest
	if c.area != nil || q.Parse(body) != nil || q.Features&featureSharedReplies == 0 {
		return
	}
	a, file, err := newArea()
	if err != nil {
		c.log.Debug("replies go over the socket", "cause", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.area, c.passing = a, file
	reply.Features |= featureSharedReplies
}

// Write implements io.Writer for the frame writer: small replies go to the area, if the
// caller has one.
func (c *connection) Write(frame []byte) (int, error) {
	h, err := wire.ParseHeader(frame)
	if err != nil {
		return 0, err
	}
	if c.passing != nil && h.Kind == wire.KindReply {
		defer func() {
			c.passing.Close()
			c.passing = nil
		}()
		n, _, err := c.socket.WriteMsgUnix(frame, unix.UnixRights(int(c.passing.Fd())), nil)
		if err == nil && n < len(frame) {
			err = io.ErrShortWrite
		}
		return n, err
	}
	// A ticket has no business in memory that the system may write to a disk.
	if h.Kind == wire.KindReply && c.area.deliver(frame, h.Call == wire.CallLogin) {
		return len(frame), nil
	}
	return c.socket.Write(frame)
}
