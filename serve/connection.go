package serve

import (
	"errors"
	"fmt"
	"io"
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

const (
	// workingInterval is how often a caller hears that its request still executes.
	workingInterval = 2 * time.Second
	// writeTimeout ends a connection whose caller takes no replies.
	writeTimeout = 20 * time.Second
)

// connection is one local connection. Its requests are executed one after the
// other in the goroutine that reads them, without a hand-over.
type connection struct {
	socket *net.UnixConn
	link   *hsm.Link
	reader *wire.Reader

	// serial counts requests, odd while one executes; tick compares it with
	// what it saw a tick ago.
	serial atomic.Uint64
	seen   uint64 // used by the ticker alone

	mu      sync.Mutex   // held to write a frame
	writer  *wire.Writer // guarded by mu
	request wire.Header  // guarded by mu; the request that executes
}

func newConnection(socket *net.UnixConn, link *hsm.Link) *connection {
	return &connection{
		socket: socket, link: link,
		reader: wire.NewReader(socket, wire.KindRequest),
		writer: wire.NewWriter(socket),
	}
}

// run serves the connection until it ends. An error says why it was not the
// caller's wish.
func (c *connection) run() error {
	for {
		header, body, err := c.reader.Next()
		switch {
		case err == io.EOF || errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return err
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
	err := c.write(reply, m)
	if login, ok := m.(*wire.LoginReply); ok {
		login.Ticket.Wipe()
	}
	if err != nil {
		return fmt.Errorf("writing the reply of %v: %w", header.Call, err)
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
			fmt.Fprintf(os.Stderr, "tidelock: internal error in %v: %v\n%s", header.Call, fault, debug.Stack())
			reply = wire.Header{
				Kind: wire.KindReply, Call: header.Call, Request: header.Request,
				Application: header.Application, Session: header.Session, Code: cryptoki.CKR_GENERAL_ERROR,
			}
			m = nil
		}
	}()
	return c.link.Handle(header, body)
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
	if !c.mu.TryLock() {
		// A reply is being written: no need for a working frame, and no more time for it.
		return
	}
	defer c.mu.Unlock()
	_ = c.socket.SetWriteDeadline(now.Add(writeTimeout))
	if !still || c.serial.Load() != serial {
		return
	}
	h := c.request
	h.Kind = wire.KindWorking
	// A lost connection shows when the reply is written.
	_ = c.writer.Write(h, nil)
}
