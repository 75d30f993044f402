package interop

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
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
	"syscall"
	"testing"
	"time"

	"tidelock.dev/tidelock/test/token"
)

// webServer is a server of TLS with a key of a token, in a directory of its own. It
// writes error.log there.
type webServer struct {
	t       *testing.T
	dir     string
	as      *syscall.Credential // the user that its processes run as, nil for the test's
	key     string              // the key's URI; server.pem is its certificate
	address string
	url     string
	roots   *x509.CertPool
	command func(name string, arg ...string) *exec.Cmd // a program with the token's environment, as the user
	wait    func() error
}

// newWebServer makes the key and its certificate for a server that start will start. As
// root it makes all of it for nobody, as no server should run its workers as root.
func newWebServer(t *testing.T, keyType string) *webServer {
	dir, as := ownDir(t)
	module := modulePath(t)
	if as != nil {
		module = copyModule(t, module, dir)
	}
	home := filepath.Join(dir, "token")
	mkdir(t, home, as)
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
	w := &webServer{t: t, dir: dir, as: as, address: freeAddress(t)}
	w.url = "https://" + w.address
	w.key = "pkcs11:token=" + token.Label + ";object=server;type=private;pin-value=" + token.PIN
	w.command = func(name string, arg ...string) *exec.Cmd {
		c := tok.Command(name, arg...)
		c.Dir = dir
		c.Env = append(c.Env, "OPENSSL_CONF="+conf, "HOME="+dir)
		return c
	}
	run := func(name string, arg ...string) {
		t.Helper()
		if out, err := w.command(name, arg...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	run("pkcs11-tool", "--module", tok.Module, "--token-label", token.Label, "--login", "--pin", token.PIN,
		"--keypairgen", "--key-type", keyType, "--id", "01", "--label", "server", "--usage-sign")
	run("openssl", "req", "-x509", "-new", "-engine", "pkcs11", "-keyform", "engine", "-key", w.key,
		"-subj", "/CN=server", "-addext", "subjectAltName=IP:127.0.0.1", "-out", "server.pem")
	w.roots = readRoots(t, filepath.Join(dir, "server.pem"))
	return w
}

// start starts the master and waits until it serves.
func (w *webServer) start(master *exec.Cmd) {
	w.t.Helper()
	if err := master.Start(); err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- master.Wait() }()
	w.wait = func() error {
		select {
		case err := <-ended:
			ended <- err
			return err
		case <-time.After(limit):
			return errors.New("it does not end")
		}
	}
	w.t.Cleanup(func() {
		if len(ended) == 0 {
			master.Process.Signal(syscall.SIGTERM)
			w.wait()
		}
		if w.t.Failed() {
			w.t.Logf("the server's log:\n%s", w.log())
		}
	})
	err := eventually(func() (bool, error) {
		if len(ended) > 0 {
			w.t.Fatalf("the server does not start:\n%s", w.log())
		}
		_, err := w.get(0)
		return err == nil, err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// get makes a connection of at most that version of TLS, and returns the page.
func (w *webServer) get(version uint16) (string, error) {
	client := http.Client{Timeout: limit, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: w.roots, MinVersion: tls.VersionTLS12, MaxVersion: version},
	}}
	response, err := client.Get(w.url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	return string(page), err
}

func (w *webServer) log() string {
	text, err := os.ReadFile(filepath.Join(w.dir, "error.log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// complains tells whether a server's log has an error.
func complains(log string) bool {
	return regexp.MustCompile(`(?m)\[(\w+:)?(emerg|alert|crit|error)\]`).MatchString(log)
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
	// Written by this process, the program could be open in a child that another test has
	// just forked, and could not be executed then (ETXTBSY).
	from := filepath.Dir(module)
	copying := exec.Command("cp", filepath.Join(from, filepath.Base(module)), filepath.Join(from, "tidelock"), dir)
	if out, err := copying.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
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
