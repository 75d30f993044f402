package serve

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tidelock.dev/tidelock/client"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/keystore/memstore"
	"tidelock.dev/tidelock/wire"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// interposed is a store that does what a test says in front of a view or a scrub.
type interposed struct {
	*memstore.Store
	onView, onScrub atomic.Pointer[func()]
}

func (s *interposed) Scrub() error {
	if f := s.onScrub.Load(); f != nil {
		(*f)()
	}
	return s.Store.Scrub()
}

func (s *interposed) View(fn func(keystore.Reader) error) error {
	if f := s.onView.Load(); f != nil {
		(*f)()
	}
	return s.Store.View(fn)
}

// running is a server with an HSM behind it.
type running struct {
	t      testing.TB
	hsm    *hsm.HSM
	store  *interposed
	path   string // the applications' socket
	admin  string // the administrators'
	server *Server
	log    *logBuffer
	stop   context.CancelFunc
	result chan error
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// start serves a new HSM on a socket in a temporary directory until the test ends.
// change may alter what the server is made with.
func start(t testing.TB, change func(*Config, *timing)) *running {
	t.Helper()
	r := &running{t: t, store: &interposed{Store: memstore.New()}, log: new(logBuffer), result: make(chan error, 1)}
	rootKey := secret.New(32)
	rand.Read(rootKey.Expose())
	err := hsm.CreateDevelopment(r.store, rootKey, hsm.Development{
		Label: "test", SOPIN: secret.Copy([]byte("12345678")), PIN: secret.Copy([]byte("87654321")), Mode: hsm.ModeTest,
	})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	r.hsm, err = hsm.Open(hsm.Config{Store: r.store, Answers: []secret.Bytes{rootKey}, Now: time.Now, Log: log, Server: "test"})
	if err != nil {
		t.Fatal(err)
	}
	config, times := Config{HSM: r.hsm, Log: log}, standardTiming
	if change != nil {
		change(&config, &times)
	}
	r.path = filepath.Join(t.TempDir(), "socket")
	listener, err := Listen(r.path, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	r.admin = filepath.Join(filepath.Dir(r.path), "admin")
	administration, err := Listen(r.admin, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	s := New(config)
	r.server = s
	s.timing = times
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	go func() { r.result <- s.Serve(ctx, listener, administration) }()
	t.Cleanup(func() {
		cancel()
		if err := r.wait(); err != nil && !errors.Is(err, keystore.ErrFailed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return r
}

// wait gives what Serve returned, each time that it is called.
func (r *running) wait() error {
	r.t.Helper()
	select {
	case err := <-r.result:
		r.result <- err
		return err
	case <-time.After(patience):
		r.t.Fatal("the server does not end")
		return nil
	}
}

// dial connects a client that closes with the test.
func (r *running) dial() *client.Client {
	r.t.Helper()
	c, err := client.Dial(r.path, "test")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

// raw connects without a word.
func (r *running) raw() *net.UnixConn {
	r.t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: r.path, Net: "unix"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	return c
}

// frame encodes a request.
func frame(t testing.TB, h wire.Header, m wire.Message) []byte {
	t.Helper()
	h.Kind = wire.KindRequest
	b, err := wire.AppendFrame(nil, h, m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func helloFrame(t testing.TB) []byte {
	q := wire.HelloRequest{ProtocolMin: 1, ProtocolMax: 1, Program: "raw"}
	rand.Read(q.Application[:])
	rand.Read(q.Secret[:])
	return frame(t, wire.Header{Call: wire.CallHello, Request: 1}, &q)
}

// hello says Hello over a raw connection and returns the reader for what follows and the
// application's number.
func hello(t testing.TB, c net.Conn) (*wire.Reader, uint64) {
	t.Helper()
	if _, err := c.Write(helloFrame(t)); err != nil {
		t.Fatal(err)
	}
	in := wire.NewReader(c, wire.KindReply, wire.KindWorking)
	h, body, err := in.Next()
	if err != nil || h.Code != cryptoki.CKR_OK {
		t.Fatalf("Hello: %v, %v", h.Code, err)
	}
	var p wire.HelloReply
	if err := p.Parse(body); err != nil {
		t.Fatal(err)
	}
	return in, p.Application
}

// serves checks that the server still does.
func (r *running) serves() {
	r.t.Helper()
	var p wire.SlotListReply
	if err := r.dial().Do(wire.CallSlotList, 0, &wire.SlotListRequest{}, &p); err != nil || len(p.Slots) != 1 {
		r.t.Errorf("the server does not serve any more: slots %v, %v", p.Slots, err)
	}
}

// An idle connection costs the same, whatever it has sent.
func TestLargeFramesAreForgotten(t *testing.T) {
	c := start(t, nil).raw()
	in, application := hello(t, c)
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for call, m := range map[wire.Call]wire.Message{
		wire.CallSeedRandom: &wire.SeedRandomRequest{Seed: make([]byte, 1<<19)},
		wire.CallUpdate:     &wire.UpdateRequest{Data: make([]byte, 1<<19)},
		wire.CallOperate:    &wire.OperateRequest{Data: make([]byte, 1<<19)},
		wire.CallFinal:      &wire.FinalRequest{Signature: make([]byte, 1<<19)},
		wire.CallUnwrapKey:  &wire.UnwrapKeyRequest{Wrapped: make([]byte, 1<<19)},
		wire.CallInitRole:   &wire.InitRoleRequest{PIN: make([]byte, 1<<19)},
	} {
		if _, err := c.Write(frame(t, wire.Header{Call: call, Request: 2, Application: application}, m)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := in.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if more := heap() - before; more > 1<<20 {
		t.Errorf("an idle connection keeps %d bytes", more)
	}
	runtime.KeepAlive(in)
}

// ends checks that the server closes a connection without a further word.
func ends(t testing.TB, c net.Conn) {
	t.Helper()
	b, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection did not end: %v", err)
	}
	if len(b) > 0 {
		t.Errorf("the server said %x first", b)
	}
}

func TestServe(t *testing.T) {
	r := start(t, nil)
	c := r.dial()
	var open wire.OpenSessionReply
	if err := c.Do(wire.CallOpenSession, 0, &wire.OpenSessionRequest{Flags: uint64(cryptoki.CKF_SERIAL_SESSION)}, &open); err != nil {
		t.Fatal(err)
	}
	var random wire.GenerateRandomReply
	if err := c.Do(wire.CallGenerateRandom, cryptoki.SessionHandle(open.Session), &wire.GenerateRandomRequest{Length: 1 << 19}, &random); err != nil || len(random.Random) != 1<<19 {
		t.Errorf("%d random bytes: %v", len(random.Random), err)
	}
	err := c.Do(wire.CallGenerateRandom, 77, &wire.GenerateRandomRequest{Length: 1}, &random)
	if cryptoki.Code(err) != cryptoki.CKR_SESSION_HANDLE_INVALID {
		t.Errorf("another session: %v", err)
	}
}

// What is no frame ends its connection, and no other.
func TestGarbageEndsTheConnection(t *testing.T) {
	r := start(t, nil)
	other := r.dial()
	good := helloFrame(t)
	altered := func(at int, b ...byte) []byte {
		f := bytes.Clone(good)
		copy(f[at:], b)
		return f
	}
	length := func(n uint32) []byte { return altered(0, binary.LittleEndian.AppendUint32(nil, n)...) }
	for name, b := range map[string][]byte{
		"text":                   bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), 4),
		"zeros":                  make([]byte, wire.HeaderSize),
		"ones":                   bytes.Repeat([]byte{0xff}, wire.HeaderSize),
		"shorter than a header":  length(wire.HeaderSize - 1),
		"longer than a frame":    length(wire.MaxFrame + 1),
		"four gigabytes":         length(1<<32 - 1),
		"another version":        altered(4, 2),
		"a reply":                altered(5, byte(wire.KindReply)),
		"an unknown kind":        altered(5, 9),
		"a code in a request":    altered(32, 1),
		"something in the spare": altered(36, 1),
	} {
		t.Run(name, func(t *testing.T) {
			c := r.raw()
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
			ends(t, c)
		})
	}
	if err := other.Do(wire.CallSlotList, 0, &wire.SlotListRequest{}, &wire.SlotListReply{}); err != nil {
		t.Errorf("another connection: %v", err)
	}
	r.serves()
}

// A body that does not parse is answered, and the connection goes on.
func TestMalformedBodyIsAnswered(t *testing.T) {
	r := start(t, nil)
	c := r.raw()
	in, application := hello(t, c)
	f := frame(t, wire.Header{Call: wire.CallSlotList, Request: 2, Application: application}, &wire.SlotListRequest{})
	f[len(f)-1] = 7 // no boolean
	for range 2 {
		if _, err := c.Write(f); err != nil {
			t.Fatal(err)
		}
		h, body, err := in.Next()
		if err != nil || h.Code != cryptoki.CKR_ARGUMENTS_BAD || h.Request != 2 || len(body) != 0 {
			t.Fatalf("%v with %d bytes, %v", h, len(body), err)
		}
	}
}

func TestRefusedHelloEndsTheConnection(t *testing.T) {
	r := start(t, nil)
	c := r.raw()
	if _, err := c.Write(frame(t, wire.Header{Call: wire.CallHello}, &wire.HelloRequest{ProtocolMin: 9, ProtocolMax: 9})); err != nil {
		t.Fatal(err)
	}
	in := wire.NewReader(c, wire.KindReply)
	h, _, err := in.Next()
	if err != nil || h.Code != cryptoki.CKR_FUNCTION_NOT_SUPPORTED {
		t.Fatalf("%v, %v", h.Code, err)
	}
	if _, _, err := in.Next(); err != io.EOF {
		t.Errorf("after the refusal: %v", err)
	}
}

// A connection that began with another call could stay for ever without a Hello.
func TestTheFirstCallIsHello(t *testing.T) {
	r := start(t, nil)
	c := r.raw()
	if _, err := c.Write(frame(t, wire.Header{Call: wire.CallSlotList}, &wire.SlotListRequest{})); err != nil {
		t.Fatal(err)
	}
	ends(t, c)
	r.serves()
}

// A caller who takes no replies is cut, even if he stopped before the first tick.
func TestRepliesThatAreNotTaken(t *testing.T) {
	r := start(t, func(_ *Config, times *timing) {
		times.working, times.write = time.Hour, 20*time.Millisecond
	})
	c := r.raw()
	_, application := hello(t, c)
	call := frame(t, wire.Header{Call: wire.CallSlotList, Application: application}, &wire.SlotListRequest{})
	if err := c.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := c.Write(call); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("the server waits for ever")
		} else if err != nil {
			return
		}
	}
}

// Half a frame does no harm, whether its writer goes or stays.
func TestHalfAFrame(t *testing.T) {
	r := start(t, func(_ *Config, times *timing) {
		times.working, times.frame = time.Millisecond, 20*time.Millisecond
	})
	half := helloFrame(t)[:60]
	for n := 1; n < len(half); n += 7 {
		c := r.raw()
		if _, err := c.Write(half[:n]); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	t.Run("the rest never comes", func(t *testing.T) {
		c := r.raw()
		if _, err := c.Write(half); err != nil {
			t.Fatal(err)
		}
		ends(t, c)
	})
	t.Run("nothing comes at all", func(t *testing.T) { ends(t, r.raw()) })
	t.Run("after Hello there is no hurry", func(t *testing.T) {
		c := r.raw()
		in, application := hello(t, c)
		// A neighbour's time runs out meanwhile.
		ends(t, r.raw())
		if _, err := c.Write(frame(t, wire.Header{Call: wire.CallSlotList, Application: application}, &wire.SlotListRequest{})); err != nil {
			t.Fatal(err)
		}
		if h, _, err := in.Next(); err != nil || h.Code != cryptoki.CKR_OK {
			t.Errorf("%v, %v", h.Code, err)
		}
	})
	r.serves()
}

// The server goes on, and says so, while the HSM looks after itself for long.
func TestAliveWhileTending(t *testing.T) {
	alive, tending, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
	r := start(t, func(c *Config, times *timing) {
		times.working, times.tend = time.Millisecond, 10*time.Millisecond
		c.Alive = func() {
			select {
			case alive <- struct{}{}:
			default:
			}
		}
	})
	var once sync.Once
	block := func() { once.Do(func() { close(tending); <-release }) }
	r.store.onScrub.Store(&block)
	defer close(release)
	for _, c := range []chan struct{}{tending, alive, alive, alive} {
		select {
		case <-c:
		case <-time.After(patience):
			t.Fatal("the server does not go on")
		}
	}
}

// A caller hears of a long call before its reply comes.
func TestWorkingFrames(t *testing.T) {
	r := start(t, func(_ *Config, times *timing) { times.working = time.Millisecond })
	c := r.raw()
	in, application := hello(t, c)
	release := make(chan struct{})
	var once sync.Once
	block := func() { <-release }
	defer once.Do(func() { close(release) })
	r.store.onView.Store(&block)
	if _, err := c.Write(frame(t, wire.Header{Call: wire.CallTokenInfo, Request: 42, Application: application}, &wire.TokenInfoRequest{})); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		h, body, err := in.Next()
		if err != nil || h.Kind != wire.KindWorking || h.Request != 42 || h.Call != wire.CallTokenInfo || len(body) != 0 {
			t.Fatalf("%+v, %v", h, err)
		}
	}
	r.store.onView.Store(nil)
	once.Do(func() { close(release) })
	for {
		h, _, err := in.Next()
		if err != nil {
			t.Fatal(err)
		}
		if h.Kind == wire.KindReply {
			if h.Code != cryptoki.CKR_OK || h.Request != 42 {
				t.Errorf("the reply is %+v", h)
			}
			return
		}
	}
}

// A panic costs the call that it happened in.
func TestPanicCostsOneCall(t *testing.T) {
	r := start(t, nil)
	c := r.dial()
	fault := func() { panic("a planted fault") }
	r.store.onView.Store(&fault)
	err := c.Do(wire.CallTokenInfo, 0, &wire.TokenInfoRequest{}, &wire.TokenInfoReply{})
	if cryptoki.Code(err) != cryptoki.CKR_GENERAL_ERROR {
		t.Errorf("the call: %v", err)
	}
	for _, part := range []string{"internal error", "call=TokenInfo", "request=", "application=", "connection=1", "a planted fault"} {
		if !strings.Contains(r.log.String(), part) {
			t.Errorf("the log does not say %q: %s", part, r.log)
		}
	}
	r.store.onView.Store(nil)
	if err := c.Do(wire.CallTokenInfo, 0, &wire.TokenInfoRequest{}, &wire.TokenInfoReply{}); err != nil {
		t.Errorf("the same connection afterwards: %v", err)
	}
	r.serves()
}

func TestIdleExit(t *testing.T) {
	impatient := func(c *Config, times *timing) {
		c.IdleExit, times.working = 5*time.Millisecond, time.Millisecond
	}
	t.Run("nobody comes", func(t *testing.T) {
		if err := start(t, impatient).wait(); err != nil {
			t.Error(err)
		}
	})
	t.Run("somebody goes", func(t *testing.T) {
		const idle = 300 * time.Millisecond
		r := start(t, func(c *Config, times *timing) {
			c.IdleExit, times.working = idle, time.Millisecond
		})
		c := r.raw()
		in, application := hello(t, c)
		// Working frames show that the server's clock goes on, past the idle time.
		release := make(chan struct{})
		block := func() { <-release }
		r.store.onView.Store(&block)
		if _, err := c.Write(frame(t, wire.Header{Call: wire.CallTokenInfo, Application: application}, &wire.TokenInfoRequest{})); err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); time.Since(began) < idle+50*time.Millisecond; {
			if h, _, err := in.Next(); err != nil || h.Kind != wire.KindWorking {
				close(release)
				t.Fatalf("the server left its application: %+v, %v", h, err)
			}
		}
		r.store.onView.Store(nil)
		close(release)
		c.Close()
		if err := r.wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestStop(t *testing.T) {
	r := start(t, nil)
	bystander := r.raw()
	hello(t, bystander)
	if err := r.dial().Do(wire.CallStop, 0, &wire.StopRequest{}, &wire.StopReply{}); err != nil {
		t.Fatal(err)
	}
	if err := r.wait(); err != nil {
		t.Error(err)
	}
	ends(t, bystander)
	if _, err := client.Dial(r.path, "test"); err == nil {
		t.Error("the socket still answers")
	}
}

// A request that executes when the server ends is still answered.
func TestShutdownAnswersWhatExecutes(t *testing.T) {
	r := start(t, nil)
	c := r.raw()
	in, application := hello(t, c)
	executing, release := make(chan struct{}), make(chan struct{})
	block := func() {
		close(executing)
		<-release
	}
	r.store.onView.Store(&block)
	if _, err := c.Write(frame(t, wire.Header{Call: wire.CallTokenInfo, Application: application}, &wire.TokenInfoRequest{})); err != nil {
		t.Fatal(err)
	}
	<-executing
	r.store.onView.Store(nil)
	// The neighbour's end shows that the server has told all connections.
	neighbour := r.raw()
	hello(t, neighbour)
	r.stop()
	ends(t, neighbour)
	close(release)
	if h, _, err := in.Next(); err != nil || h.Code != cryptoki.CKR_OK {
		t.Errorf("the reply: %v, %v", h.Code, err)
	}
	ends(t, c)
	if err := r.wait(); err != nil {
		t.Error(err)
	}
}

// The end of the context closes the connections, whatever they are at.
func TestShutdown(t *testing.T) {
	r := start(t, nil)
	silent, idle, half := r.raw(), r.raw(), r.raw()
	hello(t, idle)
	if _, err := half.Write(helloFrame(t)[:50]); err != nil {
		t.Fatal(err)
	}
	r.stop()
	if err := r.wait(); err != nil {
		t.Error(err)
	}
	for _, c := range []net.Conn{silent, idle, half} {
		ends(t, c)
	}
}

// A store that has failed ends the server: another one reads from the disk again.
func TestFailedStoreEndsTheServer(t *testing.T) {
	r := start(t, nil)
	c, err := client.Dial(r.path, "test")
	if err != nil {
		t.Fatal(err)
	}
	r.store.Fail(errors.New("the disk is gone"))
	err = c.Do(wire.CallTokenInfo, 0, &wire.TokenInfoRequest{}, &wire.TokenInfoReply{})
	if cryptoki.Code(err) != cryptoki.CKR_DEVICE_ERROR {
		t.Errorf("a call: %v", err)
	}
	c.Close()
	if err := r.wait(); !errors.Is(err, keystore.ErrFailed) {
		t.Errorf("Serve: %v", err)
	}
}

func TestTooManyConnections(t *testing.T) {
	r := start(t, func(c *Config, _ *timing) { c.Settings.MaxConnections = 2 })
	first := r.raw()
	hello(t, first)
	hello(t, r.raw())
	ends(t, r.raw())
	first.Close()
	// The place is free when the server has seen that.
	for deadline := time.Now().Add(patience); ; {
		if c, err := client.Dial(r.path, "test"); err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the place of a connection that ended is not free")
		}
		runtime.Gosched()
	}
}

// as connects with another effective user id of this thread, which is what the kernel
// tells the server.
func (r *running) as(uid uint32) (*net.UnixConn, error) {
	r.t.Helper()
	if os.Geteuid() != 0 {
		r.t.Skip("only root can be another user")
	}
	type result struct {
		c   *net.UnixConn
		err error
	}
	done := make(chan result)
	go func() {
		// The thread ends with the goroutine, so nobody else gets its user id.
		runtime.LockOSThread()
		const keep = ^uintptr(0)
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, uintptr(uid), keep); errno != 0 {
			done <- result{nil, errno}
			return
		}
		c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: r.path, Net: "unix"})
		done <- result{c, err}
	}()
	got := <-done
	if got.err == nil {
		r.t.Cleanup(func() { got.c.Close() })
		if err := got.c.SetDeadline(time.Now().Add(patience)); err != nil {
			r.t.Fatal(err)
		}
	}
	return got.c, got.err
}

func TestUsers(t *testing.T) {
	const other, allowed = 65_533, 65_534
	for _, c := range []struct {
		name  string
		rules []uint32
		uid   uint32
		in    bool
	}{
		{"root, no rules", nil, 0, true},
		{"another user, no rules", nil, other, true},
		{"another user, an empty list", []uint32{}, other, true},
		{"root, who is not named", []uint32{allowed}, 0, true},
		{"an allowed user", []uint32{allowed}, allowed, true},
		{"one who is not", []uint32{allowed}, other, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, func(config *Config, _ *timing) { config.Settings.AllowedUIDs = c.rules })
			// The way to the socket is open to everybody; the rules are the server's.
			for dir := filepath.Dir(r.path); dir != os.TempDir() && len(dir) > 1; dir = filepath.Dir(dir) {
				if err := os.Chmod(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			conn, err := r.as(c.uid)
			if err != nil {
				t.Fatal(err)
			}
			if !c.in {
				ends(t, conn)
				return
			}
			in, application := hello(t, conn)
			if _, err := conn.Write(frame(t, wire.Header{Call: wire.CallStop, Application: application}, &wire.StopRequest{})); err != nil {
				t.Fatal(err)
			}
			code := cryptoki.CKR_ACTION_PROHIBITED
			if c.uid == 0 {
				code = cryptoki.CKR_OK
			}
			if h, _, err := in.Next(); err != nil || h.Code != code {
				t.Errorf("Stop: %v, %v; want %v", h.Code, err, code)
			}
		})
	}
}

func TestListen(t *testing.T) {
	t.Run("a path longer than a socket address", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), strings.Repeat("d", 100), strings.Repeat("e", 100))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "socket")
		l, err := Listen(path, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		accepted := make(chan error, 1)
		go func() {
			c, err := l.Accept()
			if err == nil {
				_, _, err = wire.NewReader(c, wire.KindRequest).Next()
				c.Close()
			}
			accepted <- err
		}()
		if _, err := client.Dial(path, "test"); err == nil {
			t.Error("Hello was answered by nobody")
		}
		if err := <-accepted; err != nil {
			t.Errorf("nothing arrived: %v", err)
		}
	})
	t.Run("permissions", func(t *testing.T) {
		for _, mode := range []os.FileMode{0o600, 0o660, 0o666} {
			path := filepath.Join(t.TempDir(), "socket")
			l, err := Listen(path, mode)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != mode || info.Mode().Type() != fs.ModeSocket {
				t.Errorf("mode %v: %v, %v", mode, info.Mode(), err)
			}
		}
	})
	t.Run("a socket that was left behind", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "socket")
		for range 2 {
			l, err := Listen(path, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
			if _, err := os.Stat(path); err != nil {
				t.Fatal("the test wants the socket to stay")
			}
		}
	})
	t.Run("no directory", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "nowhere", "socket")
		if _, err := Listen(path, 0o600); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), filepath.Dir(path)) {
			t.Errorf("%v", err)
		}
	})
}
