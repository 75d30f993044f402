package interop

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tidelock.dev/tidelock/test/token"
)

const nginxConf = `
daemon off;
worker_processes 2;
pid nginx.pid;
env OPENSSL_CONF;
env TIDELOCK_HOME;
env SOFTHSM2_CONF;
events {}
http {
	access_log off;
	client_body_temp_path temp;
	proxy_temp_path temp;
	fastcgi_temp_path temp;
	uwsgi_temp_path temp;
	scgi_temp_path temp;
	server {
		listen %s ssl;
		ssl_certificate server.pem;
		ssl_certificate_key "engine:pkcs11:%s";
		ssl_session_cache off;
		ssl_session_tickets off;
		location / { return 200 "$pid"; }
	}
}
`

// TestNGINX serves TLS with a key of the token: the master loads it, two workers
// that it has forked sign with it, and a reload replaces them. Of 2,000 handshakes and
// those during the reload none fails.
//
// With SoftHSM it fails now and then: C_OpenSession in a new worker answers
// CKR_SLOT_ID_INVALID at times, and the engine (libp11 0.4.12) takes every error of
// that call for a want of sessions and waits for one for ever.
func TestNGINX(t *testing.T) {
	need(t, "pkcs11-tool", "opensc")
	need(t, "openssl", "openssl")
	needEngine(t)
	for _, keyType := range []string{"rsa:2048", "EC:prime256v1"} {
		t.Run(keyType, func(t *testing.T) {
			t.Parallel()
			testNGINX(t, keyType)
		})
	}
}

func testNGINX(t *testing.T, keyType string) {
	n := startNGINX(t, keyType)
	before := n.handshakes(1000)
	if len(before) != 2 {
		t.Errorf("workers %v served, not two", before)
	}

	// Handshakes go on without a pause while the workers change.
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := n.get(0); err != nil {
					t.Errorf("during the reload: %v", err)
				}
			}
		}
	}()
	n.signal("reload")
	err := eventually(func() (bool, error) {
		pid, err := n.get(0)
		return err == nil && !before[pid], fmt.Errorf("worker %s still serves, %v", pid, err)
	})
	close(stop)
	<-stopped
	if err != nil {
		t.Fatalf("the reload brought no new worker: %v", err)
	}

	n.handshakes(1000)
	n.signal("quit")
	if err := n.wait(); err != nil {
		t.Errorf("nginx ended with %v", err)
	}
	if log := n.log(); regexp.MustCompile(`\[(emerg|alert|crit|error)\]`).MatchString(log) {
		t.Errorf("nginx complains:\n%s", log)
	}
}

// nginx is a running NGINX.
type nginx struct {
	t       *testing.T
	dir     string
	url     string
	roots   *x509.CertPool
	command func(arg ...string) *exec.Cmd
	wait    func() error
}

// startNGINX makes a key and its certificate, and serves with them. As root it
// runs all as nobody, as no NGINX should run its workers as root.
func startNGINX(t *testing.T, keyType string) *nginx {
	dir, as := ownDir(t)
	module := modulePath(t)
	if as != nil {
		module = copyModule(t, module, dir)
	}
	home := filepath.Join(dir, "token")
	mkdir(t, home, as)
	mkdir(t, filepath.Join(dir, "temp"), as)
	tok, err := token.New(module, home, as)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tok.Close(); err != nil {
			t.Error(err)
		}
	})
	conf, err := writeOpenSSLConf(dir, tok.Module)
	if err != nil {
		t.Fatal(err)
	}
	command := func(name string, arg ...string) *exec.Cmd {
		c := tok.Command(name, arg...)
		c.Dir = dir
		c.Env = append(c.Env, "OPENSSL_CONF="+conf, "HOME="+dir)
		return c
	}
	run := func(name string, arg ...string) {
		t.Helper()
		if out, err := command(name, arg...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	key := "pkcs11:token=" + token.Label + ";object=server;type=private;pin-value=" + token.PIN
	run("pkcs11-tool", "--module", tok.Module, "--token-label", token.Label, "--login", "--pin", token.PIN,
		"--keypairgen", "--key-type", keyType, "--id", "01", "--label", "server", "--usage-sign")
	run("openssl", "req", "-x509", "-new", "-engine", "pkcs11", "-keyform", "engine", "-key", key,
		"-subj", "/CN=nginx", "-addext", "subjectAltName=IP:127.0.0.1", "-out", "server.pem")

	address := freeAddress(t)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), fmt.Appendf(nil, nginxConf, address, key), 0o644); err != nil {
		t.Fatal(err)
	}
	program := need(t, "nginx", "nginx-light")
	n := &nginx{t: t, dir: dir, url: "https://" + address, roots: readRoots(t, filepath.Join(dir, "server.pem"))}
	n.command = func(arg ...string) *exec.Cmd {
		return command(program, append([]string{"-p", dir, "-c", "nginx.conf", "-e", "error.log"}, arg...)...)
	}
	n.start()
	return n
}

// start starts the master and waits until it serves.
func (n *nginx) start() {
	n.t.Helper()
	master := n.command()
	if err := master.Start(); err != nil {
		n.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- master.Wait() }()
	n.wait = func() error {
		select {
		case err := <-ended:
			ended <- err
			return err
		case <-time.After(limit):
			return errors.New("it does not end")
		}
	}
	n.t.Cleanup(func() {
		if len(ended) == 0 {
			master.Process.Signal(syscall.SIGTERM)
			n.wait()
		}
		if n.t.Failed() {
			n.t.Logf("nginx's log:\n%s", n.log())
		}
	})
	err := eventually(func() (bool, error) {
		if len(ended) > 0 {
			n.t.Fatalf("nginx does not start:\n%s", n.log())
		}
		_, err := n.get(0)
		return err == nil, err
	})
	if err != nil {
		n.t.Fatal(err)
	}
}

// get makes a connection and returns the worker's process id.
func (n *nginx) get(version uint16) (string, error) {
	client := http.Client{Timeout: limit, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: n.roots, MinVersion: tls.VersionTLS12, MaxVersion: version},
	}}
	response, err := client.Get(n.url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	pid, err := io.ReadAll(response.Body)
	return string(pid), err
}

// handshakes makes connections, four at a time and of TLS 1.2 and 1.3 in turn,
// at least count and on until two workers have served, and returns which did.
func (n *nginx) handshakes(count int) map[string]bool {
	n.t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	done, workers := 0, map[string]bool{}
	deadline := time.Now().Add(limit)
	for range 4 {
		wg.Go(func() {
			for {
				mu.Lock()
				number := done
				enough := done >= count && (len(workers) >= 2 || time.Now().After(deadline))
				done++
				mu.Unlock()
				if enough {
					return
				}
				pid, err := n.get(tls.VersionTLS12 + uint16(number%2))
				if err != nil {
					n.t.Error(err)
					return
				}
				mu.Lock()
				workers[pid] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return workers
}

// signal sends the master what nginx -s sends.
func (n *nginx) signal(name string) {
	n.t.Helper()
	if out, err := n.command("-s", name).CombinedOutput(); err != nil {
		n.t.Fatalf("nginx -s %s: %v\n%s", name, err, out)
	}
}

func (n *nginx) log() string {
	text, err := os.ReadFile(filepath.Join(n.dir, "error.log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// ownDir makes a directory for the user that the test's programs run as: nobody
// when the test runs as root, else the test's own (nil).
func ownDir(t *testing.T) (string, *syscall.Credential) {
	t.Helper()
	dir, err := os.MkdirTemp("", "tidelock-interop-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if os.Geteuid() != 0 {
		return dir, nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	as := &syscall.Credential{Uid: number(t, nobody.Uid), Gid: number(t, nobody.Gid)}
	own(t, dir, as)
	return dir, as
}

// copyModule copies Tidelock's library and program to where another user can
// read them; the checkout may lie where only root can.
func copyModule(t *testing.T, module, dir string) string {
	t.Helper()
	if !strings.HasPrefix(filepath.Base(module), "libtidelock") {
		return module
	}
	for _, name := range []string{filepath.Base(module), "tidelock"} {
		content, err := os.ReadFile(filepath.Join(filepath.Dir(module), name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, filepath.Base(module))
}

func mkdir(t *testing.T, dir string, as *syscall.Credential) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if as != nil {
		own(t, dir, as)
	}
}

func own(t *testing.T, path string, as *syscall.Credential) {
	t.Helper()
	if err := os.Chown(path, int(as.Uid), int(as.Gid)); err != nil {
		t.Fatal(err)
	}
}

func number(t *testing.T, text string) uint32 {
	t.Helper()
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

// freeAddress is one of the loopback interface that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func readRoots(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatalf("%s holds no certificate", file)
	}
	return roots
}
