// Package client is the Go side of a connection to a server: what the commands
// speak through.
//
// It may import wire, cryptoki, firmware and the standard library; never hsm.
package client

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/wire"
)

// silence is how long a server may say nothing while a call waits: it sends a
// working frame every two seconds.
const silence = 20 * time.Second

// Client is one connection and the application that it belongs to. It is safe for
// concurrent use; calls go one after the other.
type Client struct {
	mu          sync.Mutex
	socket      net.Conn
	reader      *wire.Reader
	writer      *wire.Writer
	application uint64
	request     uint64
}

// Dial connects to the server behind the socket at path, whose length is not
// bounded by a socket address, and says Hello as a new application of the newest client.
func Dial(path, program string) (*Client, error) {
	return DialAs(path, program, firmware.NewestClient)
}

// DialAs is Dial as a client of a level.
func DialAs(path, program string, level firmware.Level) (*Client, error) {
	dir, name := filepath.Split(path)
	fd, err := unix.Open(filepath.Clean(dir), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("the socket's directory %s: %w", dir, err)
	}
	defer unix.Close(fd)
	socket, err := net.Dial("unix", filepath.Join("/proc/self/fd", strconv.Itoa(fd), name))
	if err != nil {
		// The name below /proc tells the reader nothing.
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return nil, fmt.Errorf("connecting to %s: %w", path, err)
	}
	c := &Client{socket: socket, reader: wire.NewReader(socket, wire.KindReply, wire.KindWorking), writer: wire.NewWriter(socket)}
	hello := wire.HelloRequest{ProtocolMin: 1, ProtocolMax: 1, Process: uint64(os.Getpid()), Program: program, ClientLevel: firmware.ClientNumber(level)}
	rand.Read(hello.Application[:])
	rand.Read(hello.Secret[:])
	var welcome wire.HelloReply
	if err := c.Do(wire.CallHello, 0, &hello, &welcome); err != nil {
		socket.Close()
		return nil, fmt.Errorf("hello: %w", err)
	}
	c.application = welcome.Application
	return c, nil
}

// Close ends the application and the connection.
func (c *Client) Close() error {
	// The server ends the application with its last connection anyway.
	_ = c.Do(wire.CallGoodbye, 0, &wire.GoodbyeRequest{}, &wire.GoodbyeReply{})
	return c.socket.Close()
}

// Do makes one call. The error carries the server's code; a connection that failed
// gives CKR_DEVICE_ERROR. The reply is filled where the server answered in spite of an
// error, as CallGetAttributes does. Byte strings in the reply are valid until the next call.
func (c *Client) Do(call wire.Call, session cryptoki.SessionHandle, request, reply wire.Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.request++
	header := wire.Header{
		Kind: wire.KindRequest, Call: call, Request: c.request,
		Application: c.application, Session: session,
	}
	if err := c.writer.Write(header, request); err != nil {
		return cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "sending %v: %w", call, err)
	}
	for {
		if err := c.socket.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "%v: %w", call, err)
		}
		h, body, err := c.reader.Next()
		if err != nil {
			return cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "waiting for the reply of %v: %w", call, err)
		}
		if h.Kind == wire.KindWorking {
			continue
		}
		if h.Request != header.Request || h.Call != call {
			return cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "a reply to %v instead of %v", h.Call, call)
		}
		// Some codes come with the answer, as that of an attribute that is not there.
		if h.Code != cryptoki.CKR_OK && len(body) == 0 {
			return h.Code
		}
		if err := reply.Parse(body); err != nil {
			return err
		}
		if h.Code != cryptoki.CKR_OK {
			return h.Code
		}
		return nil
	}
}
