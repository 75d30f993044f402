package serve

import (
	"crypto/rand"
	"net"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

// sharing is a caller who knows areas.
type sharing struct {
	t           *testing.T
	conn        *net.UnixConn
	replies     *wire.Reader
	area        *areaLayout
	memory      []byte
	application uint64
	request     uint64
	session     cryptoki.SessionHandle
}

// share connects, asks for an area and maps it.
func (r *running) share(t *testing.T) *sharing {
	t.Helper()
	s := &sharing{t: t, conn: r.raw()}
	s.replies = wire.NewReader(s.conn, wire.KindReply, wire.KindWorking)
	if _, err := s.conn.Write(frame(t, wire.Header{Call: wire.CallHello, Request: 1}, helloMessage(featureSharedReplies))); err != nil {
		t.Fatal(err)
	}
	answer, control := make([]byte, 4096), make([]byte, 128)
	n, controls, _, _, err := s.conn.ReadMsgUnix(answer, control)
	if err != nil {
		t.Fatal(err)
	}
	var p wire.HelloReply
	if err := p.Parse(answer[wire.HeaderSize:n]); err != nil || p.Features&featureSharedReplies == 0 {
		t.Fatalf("features %#x, %v", p.Features, err)
	}
	s.application = p.Application
	messages, err := unix.ParseSocketControlMessage(control[:controls])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d control messages, %v", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("descriptors %v, %v", fds, err)
	}
	defer unix.Close(fds[0])
	for _, size := range []int64{0, 2 * areaSize} {
		if err := unix.Ftruncate(fds[0], size); err != unix.EPERM {
			t.Errorf("resizing the area to %d: %v", size, err)
		}
	}
	s.memory, err = unix.Mmap(fds[0], 0, areaSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(s.memory) })
	s.area = (*areaLayout)(unsafe.Pointer(unsafe.SliceData(s.memory)))
	return s
}

func helloMessage(features uint64) *wire.HelloRequest {
	q := &wire.HelloRequest{ProtocolMin: 1, ProtocolMax: 1, Program: "raw", Features: features}
	rand.Read(q.Application[:])
	rand.Read(q.Secret[:])
	return q
}

func (s *sharing) send(call wire.Call, m wire.Message) {
	s.t.Helper()
	s.request++
	h := wire.Header{Call: call, Request: s.request, Application: s.application, Session: s.session}
	if _, err := s.conn.Write(frame(s.t, h, m)); err != nil {
		s.t.Fatal(err)
	}
}

// turns waits for the area to tell of the nth reply.
func (s *sharing) turns(n uint32) {
	s.t.Helper()
	for end := time.Now().Add(patience); s.area.turn.Load() != n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("turn %d, want %d", s.area.turn.Load(), n)
		}
	}
}

func (s *sharing) slots() {
	s.session = 0
	s.send(wire.CallSlotList, &wire.SlotListRequest{})
}

// expectArea expects the nth reply in the area, and expectSocket on the socket.
func (s *sharing) expectArea(n uint32) {
	s.t.Helper()
	s.turns(n)
	h, err := wire.ParseHeader(s.area.frame[:s.area.length.Load()])
	if err != nil || h.Length != s.area.length.Load() || h.Request != s.request || h.Kind != wire.KindReply || h.Code != cryptoki.CKR_OK {
		s.t.Fatalf("reply %+v, %v", h, err)
	}
}

func (s *sharing) expectSocket() {
	s.t.Helper()
	h, _, err := s.replies.Next()
	if err != nil || h.Request != s.request {
		s.t.Fatalf("reply %+v, %v", h, err)
	}
}

func TestReplies(t *testing.T) {
	s := start(t, nil).share(t)
	s.slots()
	s.expectSocket() // the caller has not said that he is ready
	s.area.ready.Store(1)
	s.slots()
	s.expectArea(1)
	s.area.waiting.Store(1)
	s.slots()
	s.expectArea(2)
	if s.area.waiting.Load() != 0 {
		t.Error("the caller still waits")
	}

	s.send(wire.CallOpenSession, &wire.OpenSessionRequest{Flags: uint64(cryptoki.CKF_SERIAL_SESSION)})
	s.expectArea(3)
	var opened wire.OpenSessionReply
	if err := opened.Parse(s.area.frame[wire.HeaderSize:s.area.length.Load()]); err != nil {
		t.Fatal(err)
	}
	s.session = cryptoki.SessionHandle(opened.Session)
	s.send(wire.CallGenerateRandom, &wire.GenerateRandomRequest{Length: areaSize})
	s.turns(4)
	if n := s.area.length.Load(); n != 0 {
		t.Errorf("a reply of %d bytes where a long one is to come over the socket", n)
	}
	s.expectSocket()
	s.send(wire.CallLogin, &wire.LoginRequest{})
	s.turns(5)
	if n := s.area.length.Load(); n != 0 {
		t.Errorf("Login's reply, of %d bytes, is in the area", n)
	}
	s.expectSocket()
	s.area.ready.Store(0)
	s.slots()
	s.expectSocket()
}

func TestAreaIsNotForced(t *testing.T) {
	c := start(t, nil).raw()
	if _, err := c.Write(helloFrame(t)); err != nil {
		t.Fatal(err)
	}
	b, control := make([]byte, 4096), make([]byte, 128)
	n, controls, _, _, err := c.ReadMsgUnix(b, control)
	var p wire.HelloReply
	if err != nil || controls != 0 || p.Parse(b[wire.HeaderSize:n]) != nil || p.Features != 0 {
		t.Errorf("features %#x, %d bytes of control, %v", p.Features, controls, err)
	}
}

// A caller who writes nonsense all over the area harms himself at most.
func TestHostileArea(t *testing.T) {
	r := start(t, nil)
	s := r.share(t)
	s.area.ready.Store(1)
	done := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for i := uint32(1); ; i++ {
			select {
			case <-done:
				return
			default:
			}
			s.area.turn.Store(i * 0x01010101)
			s.area.length.Store(^i)
			s.area.waiting.Store(i)
			s.area.ready.Store(1)
		}
	}()
	for range 1000 {
		s.slots()
		r.serves()
	}
	close(done)
	<-stopped
	s.conn.Close()
	r.serves()
}
