// Package hostile sets bad neighbours on a server: clients that connect and say
// nothing, stop in the middle of a frame, send garbage, announce frames that are too
// long, or take no replies. Whoever behaves is to be served as if they were not there.
//
// It may import wire and test/token. Measurements are printed by go test -v.
package hostile

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"tidelock.dev/tidelock/test/token"
)

const (
	// deadline is what docs/design.md gives a frame to be whole, a reply to be taken and
	// a connection to say Hello.
	deadline = 20 * time.Second
	// slack is for the clock of the server, which ticks every two seconds, and for a busy
	// machine.
	slack = 10 * time.Second

	idle      = 1000
	halfSent  = 1000
	silent    = 100 // without a Hello
	deaf      = 20
	babblers  = 4
	customers = 4 // those who behave

	// maxGrowth is what all of these may cost the server, in bytes. A connection has two
	// buffers of 4 KiB and a goroutine; those who take no replies have filled theirs.
	maxGrowth = 128 << 20
)

// TestNeighbours takes as long as the deadlines. While the neighbours are at it,
// every call of the well-behaved succeeds; those who owe something are cut when their
// time is over, and those who are merely idle are not.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	s := start(t, newToken(t))
	c := newCustomers(t, s)
	alone := c.rate(2 * time.Second)
	before := s.memory("VmRSS")

	var wg sync.WaitGroup
	sleepers := make([]*peer, idle)
	for i := range sleepers {
		sleepers[i] = s.connect()
		sleepers[i].hello()
	}
	frame := sleepers[0].frame(slotList)
	for i := range halfSent {
		p := s.connect()
		if i%2 == 0 {
			p.hello()
		}
		// From one byte to one short of the whole.
		p.send(frame[:1+i%(len(frame)-1)])
		wg.Go(func() { p.expectCut("half a frame") })
	}
	for range silent {
		p := s.connect()
		wg.Go(func() { p.expectCut("no Hello") })
	}
	for range deaf {
		p := s.connect()
		p.hello()
		wg.Go(func() { p.expectStuck() })
	}
	// Those who only hold connections cost nothing; those who talk use the processors
	// that the customers use, and are measured apart.
	held := c.rate(3 * time.Second)
	stop := make(chan struct{})
	var cut atomic.Int64
	for i := range babblers {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				s.babble(i + n)
				cut.Add(1)
			}
		})
	}
	beside := c.rate(5 * time.Second)
	peak := s.memory("VmRSS")
	// The babblers have shown what they can, and need not load the machine further.
	close(stop)
	wg.Wait()
	after := c.rate(time.Second)

	for i, p := range sleepers {
		if err := p.call(slotList); err != nil {
			t.Fatalf("idle connection %d: %v", i, err)
		}
	}
	if growth := max(peak, s.memory("VmRSS")) - before; growth > maxGrowth {
		t.Errorf("the server grew by %d KiB, more than %d", growth>>10, maxGrowth>>10)
	}
	c.end()
	t.Logf("%.0f signatures/s alone, %.0f beside %d bad connections, %.0f beside them and %d bad frames (which use the same processors), %.0f after; %d KiB more memory",
		alone, held, idle+halfSent+silent+deaf, beside, cut.Load(), after, (peak-before)>>10)
}

// server is the server of a token.
type server struct {
	t    *testing.T
	home string
	pid  int
}

// newToken makes a token that ends with the test.
func newToken(t *testing.T) *token.Token {
	t.Helper()
	root, err := token.Root()
	if err != nil {
		t.Fatal(err)
	}
	tok, err := token.New(filepath.Join(root, "bin", "libtidelock.so"), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tok.Close(); err != nil {
			t.Error(err)
		}
	})
	return tok
}

// start makes sure that the token's server runs, and leads this process's library
// to it: one test only can.
func start(t *testing.T, tok *token.Token) *server {
	t.Helper()
	name, home, _ := strings.Cut(tok.Env[0], "=")
	if err := os.Setenv(name, home); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(filepath.Dir(tok.Module), "tidelock")
	if out, err := tok.Command(program, "hsm", "show").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command("pgrep", "-o", "-f", "tidelock serve --home "+home+"( |$)").Output()
	if err != nil {
		t.Fatalf("pgrep (Debian's package procps): %v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	return &server{t, home, pid}
}

// memory reads one of the process's figures, in bytes.
func (s *server) memory(name string) int64 {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), name+":")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil || !found {
		s.t.Fatalf("no %s: %v", name, err)
	}
	return kib << 10
}

func (s *server) connect() *peer {
	s.t.Helper()
	c, err := net.Dial("unix", filepath.Join(s.home, "run", "tidelock.sock"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return newPeer(s.t, c)
}

// crowd is well-behaved: each signs in a session of its own.
type crowd struct {
	t        *testing.T
	module   *pkcs11.Ctx
	key      pkcs11.ObjectHandle
	sessions []pkcs11.SessionHandle
	signed   atomic.Int64
	stop     chan struct{}
	wg       sync.WaitGroup
}

func newCustomers(t *testing.T, s *server) *crowd {
	t.Helper()
	root, err := token.Root()
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{t: t, module: pkcs11.New(filepath.Join(root, "bin", "libtidelock.so")), stop: make(chan struct{})}
	if c.module == nil {
		t.Fatal("the library cannot be loaded")
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.module.Initialize())
	t.Cleanup(func() { _ = c.module.Finalize() })
	slots, err := c.module.GetSlotList(true)
	must(err)
	for range customers {
		session, err := c.module.OpenSession(slots[0], pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
		must(err)
		c.sessions = append(c.sessions, session)
	}
	must(c.module.Login(c.sessions[0], pkcs11.CKU_USER, token.PIN))
	p256 := []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}
	_, c.key, err = c.module.GenerateKeyPair(c.sessions[0],
		[]*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_EC_KEY_PAIR_GEN, nil)},
		[]*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, p256)},
		[]*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_SIGN, true)})
	must(err)
	for _, session := range c.sessions {
		c.wg.Go(func() { c.work(session) })
	}
	return c
}

func (c *crowd) work(session pkcs11.SessionHandle) {
	for {
		select {
		case <-c.stop:
			return
		default:
		}
		err := c.module.SignInit(session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil)}, c.key)
		if err == nil {
			_, err = c.module.Sign(session, make([]byte, 32))
		}
		if err != nil {
			c.t.Errorf("a well-behaved client: %v", err)
			return
		}
		c.signed.Add(1)
	}
}

// rate measures signatures per second. None at all is an error.
func (c *crowd) rate(d time.Duration) float64 {
	c.t.Helper()
	began, before := time.Now(), c.signed.Load()
	time.Sleep(d)
	n := c.signed.Load() - before
	if n == 0 {
		c.t.Errorf("no signature in %v", d)
	}
	return float64(n) / time.Since(began).Seconds()
}

func (c *crowd) end() {
	close(c.stop)
	c.wg.Wait()
}
