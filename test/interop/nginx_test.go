package interop

import (
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
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
	if log := n.log(); complains(log) {
		t.Errorf("nginx complains:\n%s", log)
	}
}

// nginx is a running NGINX, whose pages are the process ids of its workers.
type nginx struct {
	*webServer
	program func(arg ...string) *exec.Cmd
}

// startNGINX serves with a key of the token.
func startNGINX(t *testing.T, keyType string) *nginx {
	w := newWebServer(t, keyType)
	mkdir(t, filepath.Join(w.dir, "temp"), w.as)
	if err := os.WriteFile(filepath.Join(w.dir, "nginx.conf"), fmt.Appendf(nil, nginxConf, w.address, w.key), 0o644); err != nil {
		t.Fatal(err)
	}
	path := need(t, "nginx", "nginx-light")
	n := &nginx{w, func(arg ...string) *exec.Cmd {
		return w.command(path, append([]string{"-p", w.dir, "-c", "nginx.conf", "-e", "error.log"}, arg...)...)
	}}
	w.start(n.program())
	return n
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
	if out, err := n.program("-s", name).CombinedOutput(); err != nil {
		n.t.Fatalf("nginx -s %s: %v\n%s", name, err, out)
	}
}
