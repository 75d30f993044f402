// Package memory looks for keys and PINs where they must not be: in the memory of a
// running server, in its files, its log, its environment and its command line.
// docs/memory.md says what is promised.
package memory

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidelock.dev/tidelock/client"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/wire"
)

// program is the server under test.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "tidelock-memory")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "tidelock")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "tidelock.dev/tidelock/cmd/tidelock")
	build.Env = append(os.Environ(), "GOEXPERIMENT=runtimesecret") // what docs/memory.md speaks of
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the server: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// server is a running server and what is known about its secrets.
type server struct {
	t    *testing.T
	home string
	log  string
	pid  int
	pin  string
	keys keys
}

// start makes an HSM with random PINs and runs its server.
func start(t *testing.T) *server { return startWith(t, `exec "$@"`) }

// startWith runs the server through a line of shell, which ends with it.
func startWith(t *testing.T, shell string) *server {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc/PID/mem, which is Linux's")
	}
	if os.Geteuid() != 0 {
		t.Skip("the server is not dumpable, so only root reads its memory")
	}
	dir := t.TempDir()
	s := &server{t: t, home: filepath.Join(dir, "home"), log: filepath.Join(dir, "home", "log", "server.log"), pin: random(12)}
	make := exec.Command(program, "quickstart", "--home", s.home, "--label", "memory", "--so-pin", random(12), "--pin", s.pin)
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("quickstart: %v\n%s", err, out)
	}
	s.keys = readKeys(t, s.home)
	// The most talkative log that there is.
	config := filepath.Join(s.home, "tidelock.toml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte(`level = "info"`), []byte(`level = "debug"`), 1)
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	ready, tell, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ready.Close()
	c := exec.Command("sh", "-c", shell, "sh", program, "serve", "--home", s.home, "--ready-fd", "3")
	c.Stdout, c.Stderr, c.ExtraFiles = log, log, []*os.File{tell}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	tell.Close()
	t.Cleanup(func() {
		_ = c.Process.Signal(unix.SIGTERM)
		_ = c.Wait()
	})
	s.pid = c.Process.Pid
	_ = ready.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := ready.Read([]byte{0}); n != 1 {
		out, _ := os.ReadFile(s.log)
		t.Fatalf("the server did not start: %v\n%s", err, out)
	}
	if mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", s.pid)); err != nil {
		t.Skipf("the memory of a child cannot be read here (CAP_SYS_PTRACE): %v", err)
	} else {
		mem.Close()
	}
	return s
}

// random is a text of n random bytes.
func random(n int) string { return hex.EncodeToString(randomBytes(n)) }

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// session is a read-write session of an application of its own.
type session struct {
	t      *testing.T
	client *client.Client
	handle cryptoki.SessionHandle
}

func (s *server) open() *session {
	s.t.Helper()
	c, err := client.Dial(filepath.Join(s.home, "run", "tidelock.sock"), "memory test")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	o := &session{t: s.t, client: c}
	var p wire.OpenSessionReply
	o.must(o.do(wire.CallOpenSession, &wire.OpenSessionRequest{Flags: uint64(cryptoki.CKF_SERIAL_SESSION | cryptoki.CKF_RW_SESSION)}, &p))
	o.handle = cryptoki.SessionHandle(p.Session)
	return o
}

func (o *session) do(call wire.Call, q, p wire.Message) error {
	return o.client.Do(call, o.handle, q, p)
}

func (o *session) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *session) login(pin string) error {
	return o.do(wire.CallLogin, &wire.LoginRequest{User: uint64(cryptoki.CKU_USER), PIN: wire.Secret(pin)}, &wire.LoginReply{})
}

func (o *session) logout() {
	o.t.Helper()
	o.must(o.do(wire.CallLogout, &wire.LogoutRequest{}, &wire.LogoutReply{}))
}

// importAES brings a key in.
func (o *session) importAES(token bool, value []byte) uint64 {
	o.t.Helper()
	h, err := o.create(token, value)
	o.must(err)
	return h
}

func (o *session) tryImportAES(value []byte) error {
	_, err := o.create(false, value)
	return err
}

func (o *session) create(token bool, value []byte) (uint64, error) {
	var p wire.CreateObjectReply
	err := o.do(wire.CallCreateObject, &wire.CreateObjectRequest{Token: wire.ID(randomBytes(16)), Template: cryptoki.Template{
		{Type: cryptoki.CKA_CLASS, Value: cryptoki.ULong(cryptoki.CKO_SECRET_KEY)},
		{Type: cryptoki.CKA_KEY_TYPE, Value: cryptoki.ULong(cryptoki.CKK_AES)},
		{Type: cryptoki.CKA_TOKEN, Value: cryptoki.Bool(token)},
		{Type: cryptoki.CKA_VALUE, Value: value},
		{Type: cryptoki.CKA_ENCRYPT, Value: cryptoki.Bool(true)},
	}}, &p)
	return p.Object, err
}

func (o *session) encrypt(key uint64) {
	o.t.Helper()
	var p wire.OperateFusedReply
	o.must(o.do(wire.CallOperateFused, &wire.OperateFusedRequest{
		Function: uint8(mech.Encrypt), Mechanism: cryptoki.NewBytes(cryptoki.CKM_AES_CBC_PAD, make([]byte, 16)),
		Key: key, Data: []byte("plaintext"), Capacity: 1 << 20,
	}, &p))
}

// The PIN of a login, right or wrong, is nowhere once the login has been answered.
func TestPIN(t *testing.T) {
	s := start(t)
	o := s.open()
	wrong := random(12)
	if err := o.login(wrong); cryptoki.Code(err) != cryptoki.CKR_PIN_INCORRECT {
		t.Fatal(err)
	}
	o.must(o.login(s.pin))
	again := s.open()
	again.must(again.login(s.pin)) // which the verifier knows by now
	o.logout()
	pins := []needle{seek("the PIN", []byte(s.pin)), seek("a wrong PIN", []byte(wrong))}
	none(t, inFiles(t, s.home, pins...))
	none(t, inProcess(t, s.pid, pins...))
	areas := memoryOf(t, s.pid)
	none(t, outside(areas, pins...))
	none(t, inside(areas, pins...))
}

// The root key and what is made of it are gone once the server has started; the HSM's
// key is in locked memory and nowhere else.
func TestRootAndHSMKey(t *testing.T) {
	s := start(t)
	o := s.open()
	o.must(o.login(s.pin)) // derives keys from the HSM's key
	k := s.keys
	gone := []needle{seek("the root key", k.file), seek("RootKEK", k.root), seek("the key that seals the HSM's", k.sealing)}
	stays := seek("the HSM's key", k.hsm)
	areas := memoryOf(t, s.pid)
	none(t, outside(areas, append(gone, stays)...))
	none(t, inside(areas, gone...))
	if len(inside(areas, stays)) == 0 {
		t.Error("the HSM's key is not in the arena: either it is elsewhere, or this test looks for something else")
	}
	for _, a := range areas {
		if a.arena && !a.locked {
			t.Errorf("%s of the arena is not locked", a.name)
		}
	}
	// The key file alone has the root key.
	none(t, inFiles(t, s.home, gone[1], gone[2], stays))
	if found := inFiles(t, s.home, gone[0]); len(found) != 1 || !strings.Contains(found[0], "root.key") {
		t.Errorf("the root key is in %v", found)
	}
	none(t, inProcess(t, s.pid, append(gone, stays)...))
}

// Values of keys are in no file and in nothing that can be seen from outside, whatever
// is done with them. The same scan finds them in memory, where docs/memory.md says
// that they are: it would find them elsewhere.
func TestKeysInFiles(t *testing.T) {
	s := start(t)
	o := s.open()
	o.must(o.login(s.pin))
	token, temporary := randomBytes(32), randomBytes(32)
	for i, value := range [][]byte{token, temporary} {
		key := o.importAES(i == 0, value)
		o.encrypt(key)
		// A refusal goes into the log with its cause.
		if err := o.do(wire.CallGetAttributes, &wire.GetAttributesRequest{Object: key, Types: []uint64{uint64(cryptoki.CKA_VALUE)}}, &wire.GetAttributesReply{}); err == nil {
			t.Error("a sensitive value was shown")
		}
	}
	if err := o.tryImportAES(append(token, 1)); err == nil {
		t.Error("an AES key of 33 bytes was accepted")
	}
	keys := []needle{seek("a token key", token), seek("a session key", temporary)}
	for _, n := range keys {
		if len(outside(memoryOf(t, s.pid), n)) == 0 {
			t.Errorf("%s is not found in memory while it is in use", n.name)
		}
	}
	none(t, inFiles(t, s.home, keys...))
	none(t, inProcess(t, s.pid, keys...))
	if log, err := os.ReadFile(s.log); err != nil || !bytes.Contains(log, []byte("refused")) {
		t.Errorf("the log has no refusals to look through: %v", err)
	}
}

// The server of a user who may lock nothing works, and says so.
func TestNoLockedMemory(t *testing.T) {
	s := startWith(t, "ulimit -l 0; exec setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock \"$@\"")
	o := s.open()
	o.must(o.login(s.pin))
	o.encrypt(o.importAES(false, randomBytes(32)))
	log, err := os.ReadFile(s.log)
	if err != nil || bytes.Count(log, []byte("RLIMIT_MEMLOCK")) != 1 {
		t.Errorf("the log does not say once that memory is not locked: %v\n%s", err, log)
	}
}

// The process leaves no core dump, and none of its threads gains privileges.
func TestProcess(t *testing.T) {
	s := start(t)
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", s.pid))
	if err != nil || !regexp.MustCompile(`Max core file size +0 +0 `).Match(limits) {
		t.Errorf("core files are allowed: %v\n%s", err, limits)
	}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", s.pid))
	for _, task := range tasks {
		if status, err := os.ReadFile(task); err != nil || !bytes.Contains(status, []byte("NoNewPrivs:\t1")) {
			t.Errorf("a thread may gain privileges: %v", err)
		}
	}
	if len(tasks) < 2 {
		t.Errorf("the server has %d threads to look at", len(tasks))
	}
}
