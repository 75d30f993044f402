package serve

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/wire"
)

// timing is what goes by the clock.
type timing struct {
	// working is how often a caller hears that its request still executes.
	working time.Duration
	// write ends a connection whose caller takes no replies.
	write time.Duration
	// frame is the time that a frame has from its first byte to its last, and a new
	// connection until its Hello.
	frame time.Duration
	// last is the time that a reply has when the server ends.
	last time.Duration
	// tend is how often the HSM looks after itself.
	tend time.Duration
}

// standardTiming is that of docs/wire.md; tests are in more of a hurry.
var standardTiming = timing{
	working: AliveInterval, write: 20 * time.Second, frame: 20 * time.Second, last: time.Second, tend: time.Hour,
}

// connection is one local connection. Its requests are executed one after the
// other in the goroutine that reads them, without a hand-over.
type connection struct {
	socket *net.UnixConn
	link   *hsm.Link
	reader *wire.Reader
	timing timing
	log    *slog.Logger

	// serial counts requests, odd while one executes; tick compares it with
	// what it saw a tick ago.
	serial atomic.Uint64
	seen   uint64 // used by the ticker alone

	// awaited says that the peer owes the rest of a frame, or its Hello; late counts the
	// ticks since then, and is used by the ticker alone.
	awaited atomic.Bool
	late    time.Duration

	mu      sync.Mutex   // held to write a frame
	writer  *wire.Writer // guarded by mu
	request wire.Header  // guarded by mu; the request that executes

	area    *area    // guarded by mu; nil when all replies go over the socket
	passing *os.File // guarded by mu; the area's, until the reply to Hello takes it along
}

func newConnection(socket *net.UnixConn, link *hsm.Link, t timing, log *slog.Logger) *connection {
	c := &connection{socket: socket, link: link, timing: t, log: log}
	c.writer = wire.NewWriter(c)
	c.reader = wire.NewReader(c, wire.KindRequest)
	c.awaited.Store(true)
	// The first reply may get stuck before the first tick.
	_ = socket.SetWriteDeadline(time.Now().Add(t.write))
	return c
}

// Read implements io.Reader for the frame reader: what has been read begins a frame
// until Next says that it is whole.
func (c *connection) Read(b []byte) (int, error) {
	n, err := c.socket.Read(b)
	if n > 0 {
		c.awaited.Store(true)
	}
	return n, err
}

// run serves the connection until it ends. An error says why it was not the
// caller's wish.
func (c *connection) run() error {
	defer func() { c.area.close() }()
	for first := true; ; first = false {
		header, body, err := c.reader.Next()
		c.awaited.Store(false)
		switch {
		case err == io.EOF || errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return err
		case first && header.Call != wire.CallHello:
			return fmt.Errorf("the first frame is %v, not Hello", header.Call)
		}
		if err := c.serve(header, body); err != nil {
			return err
		}
	}
}

func (c *connection) serve(header wire.Header, body []byte) error {
	c.mu.Lock()
	c.request = header
	c.mu.Unlock()
	c.serial.Add(1)
	reply, m := c.execute(header, body)
	c.serial.Add(1)
	if hello, ok := m.(*wire.HelloReply); ok {
		c.share(body, hello)
	}
	err := c.write(reply, m)
	if login, ok := m.(*wire.LoginReply); ok {
		login.Ticket.Wipe()
	}
	c.link.Sent()
	if err != nil {
		return fmt.Errorf("writing the reply of %v: %w", header.Call, err)
	}
	// An HSM that has failed answers nothing any more; the end of this connection ends
	// the server.
	if reply.Code == cryptoki.CKR_DEVICE_ERROR {
		if err := c.link.Failed(); err != nil {
			return err
		}
	}
	// A Hello that was refused leaves nobody to talk to.
	if header.Call == wire.CallHello && reply.Code != cryptoki.CKR_OK {
		return fmt.Errorf("hello: %w", reply.Code)
	}
	return nil
}

// execute runs the request. A panic is our fault; it costs the caller this call,
// and nobody else anything.
func (c *connection) execute(header wire.Header, body []byte) (reply wire.Header, m wire.Message) {
	defer func() {
		if fault := recover(); fault != nil {
			c.log.Error("internal error", "call", header.Call, "request", header.Request,
				"application", header.Application, "fault", fmt.Sprint(fault), "stack", string(debug.Stack()))
			reply = wire.Header{
				Kind: wire.KindReply, Call: header.Call, Request: header.Request,
				Application: header.Application, Session: header.Session, Code: cryptoki.CKR_GENERAL_ERROR,
			}
			m = nil
		}
	}()
	return c.link.Handle(header, body)
}

// end lets the connection end: what executes is still answered, if the caller takes the
// answer at once.
func (c *connection) end() {
	_ = c.socket.CloseRead()
	_ = c.socket.SetWriteDeadline(time.Now().Add(c.timing.last))
}

// write sends one frame. The deadline that tick keeps moving ends it when the
// caller takes no replies.
func (c *connection) write(h wire.Header, m wire.Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.writer.Write(h, m)
	if errors.Is(err, wire.ErrTooLong) {
		h.Code = cryptoki.CKR_DEVICE_MEMORY
		err = c.writer.Write(h, nil)
	}
	return err
}

// tick moves the deadline of writes, unless one is stuck, and sends a working frame
// if the request that executed at the last tick still does. Doing both by the tick
// spares every call the cost of a timer.
func (c *connection) tick(now time.Time) {
	serial := c.serial.Load()
	still := serial%2 == 1 && serial == c.seen
	c.seen = serial
	if !c.awaited.Load() {
		c.late = 0
	} else if c.late += c.timing.working; c.late > c.timing.frame {
		c.socket.Close()
		return
	}
	if !c.mu.TryLock() {
		// A reply is being written: no need for a working frame, and no more time for it.
		return
	}
	defer c.mu.Unlock()
	_ = c.socket.SetWriteDeadline(now.Add(c.timing.write))
	if !still || c.serial.Load() != serial {
		return
	}
	h := c.request
	h.Kind = wire.KindWorking
	// A lost connection shows when the reply is written.
	_ = c.writer.Write(h, nil)
}
