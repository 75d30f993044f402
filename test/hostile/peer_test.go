package hostile

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"tidelock.dev/tidelock/wire"
)

// peer is one connection, spoken to without the library.
type peer struct {
	t           *testing.T
	conn        net.Conn
	reader      *wire.Reader
	application uint64
	since       time.Time // when it last sent something
}

func newPeer(t *testing.T, c net.Conn) *peer {
	return &peer{t: t, conn: c, reader: wire.NewReader(c, wire.KindReply), since: time.Now()}
}

// request is a call that needs no session.
type request struct {
	call wire.Call
	body wire.Message
}

var slotList = request{wire.CallSlotList, &wire.SlotListRequest{TokenPresent: true}}

func (p *peer) frame(r request) []byte {
	p.t.Helper()
	b, err := wire.AppendFrame(nil, wire.Header{Kind: wire.KindRequest, Call: r.call, Request: 1, Application: p.application}, r.body)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

func (p *peer) send(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Error(err)
	}
	p.since = time.Now()
}

// call makes a call, and waits for the answer.
func (p *peer) call(r request) error {
	if _, err := p.conn.Write(p.frame(r)); err != nil {
		return err
	}
	if err := p.conn.SetReadDeadline(time.Now().Add(slack)); err != nil {
		return err
	}
	h, body, err := p.reader.Next()
	if err != nil {
		return err
	}
	if h.Code != 0 {
		return h.Code
	}
	if r.call == wire.CallHello {
		var welcome wire.HelloReply
		if err := welcome.Parse(body); err != nil {
			return err
		}
		p.application = welcome.Application
	}
	return nil
}

func (p *peer) hello() {
	p.t.Helper()
	m := wire.HelloRequest{ProtocolMin: 1, ProtocolMax: 1, Process: uint64(os.Getpid()), Program: "hostile"}
	rand.Read(m.Application[:])
	rand.Read(m.Secret[:])
	if err := p.call(request{wire.CallHello, &m}); err != nil {
		p.t.Fatalf("hello: %v", err)
	}
}

// expectCut waits for the server to end the connection, neither sooner nor later than
// it says.
func (p *peer) expectCut(why string) {
	if err := p.conn.SetReadDeadline(p.since.Add(deadline + slack)); err != nil {
		p.t.Error(err)
		return
	}
	n, err := p.conn.Read(make([]byte, 1))
	after := time.Since(p.since)
	switch {
	case n != 0:
		p.t.Errorf("%s: it is answered", why)
	case !ended(err):
		p.t.Errorf("%s: not cut after %v: %v", why, after, err)
	case after < deadline-time.Second:
		p.t.Errorf("%s: cut after %v already", why, after)
	}
}

// expectStuck asks without reading the answers until the server takes no more, and
// expects it to end the connection then. Filling what lies between takes a moment.
func (p *peer) expectStuck() {
	frame := p.frame(slotList)
	if err := p.conn.SetWriteDeadline(time.Now().Add(deadline + slack + 5*time.Second)); err != nil {
		p.t.Error(err)
		return
	}
	for {
		began := time.Now()
		_, err := p.conn.Write(frame)
		if err == nil {
			continue
		}
		if after := time.Since(began); !ended(err) {
			p.t.Errorf("replies not taken: not cut after %v: %v", after, err)
		}
		return
	}
}

func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// babble sends what is no frame, and expects to be cut off at once.
func (s *server) babble(n int) {
	c, err := net.Dial("unix", s.home+"/run/tidelock.sock")
	if err != nil {
		s.t.Error(err)
		return
	}
	defer c.Close()
	p := newPeer(s.t, c)
	b := p.frame(slotList)
	what := ""
	switch n % 4 {
	case 0:
		what = "garbage"
		rand.Read(b)
		b[4] = 0xff // a version that there is not, whatever the rest
	case 1:
		what = "a frame of 4 GiB"
		binary.LittleEndian.PutUint32(b, 0xffffffff)
	case 2:
		what = "a frame one byte too long"
		binary.LittleEndian.PutUint32(b, wire.MaxFrame+1)
	case 3:
		what = "a call without a Hello"
	}
	if _, err := c.Write(b); err != nil && !ended(err) {
		s.t.Errorf("%s: %v", what, err)
	}
	_ = c.SetReadDeadline(time.Now().Add(slack))
	if answer, err := io.ReadAll(c); err != nil && !ended(err) {
		s.t.Error(fmt.Errorf("%s: not cut: %w (%d bytes came)", what, err, len(answer)))
	}
}
