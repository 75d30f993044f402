package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestRestartNGINX kills the server under an NGINX with four workers: no handshake
// fails, before, during or after, and neither does one over a reload that follows.
//
// Each worker has served before a kill. The first handshake of a new worker logs in
// anew, and a C_Login whose answer is lost is CKR_DEVICE_ERROR; the engine (libp11
// 0.4.12) does not try that again, and the worker fails until the next reload.
func TestRestartNGINX(t *testing.T) {
	needEngine(t)
	for _, keyType := range []string{"rsa:2048", "EC:prime256v1"} {
		t.Run(keyType, func(t *testing.T) {
			t.Parallel()
			testRestartNGINX(t, keyType)
		})
	}
}

func testRestartNGINX(t *testing.T, keyType string) {
	n := startNGINX(t, keyType)
	s := server{t, filepath.Join(n.dir, "token")}
	n.setWorkers(4)
	traffic := n.drive(4)
	traffic.await(20, 2)
	n.reload(traffic, 4)
	for range 3 {
		s.kill()
		traffic.await(100, 4)
	}
	n.reload(traffic, 4)
	s.kill()
	traffic.await(100, 4)
	traffic.end()
	t.Logf("%d handshakes over 4 kills and 2 reloads, %d failed", traffic.done.Load(), traffic.failed.Load())
	if log := n.log(); complains(log) {
		t.Errorf("nginx complains:\n%s", log)
	}
}

// setWorkers holds from the next reload on.
func (n *nginx) setWorkers(count int) {
	n.t.Helper()
	path := filepath.Join(n.dir, "nginx.conf")
	text, err := os.ReadFile(path)
	if err != nil {
		n.t.Fatal(err)
	}
	changed := strings.Replace(string(text), "worker_processes 2;", fmt.Sprintf("worker_processes %d;", count), 1)
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

// reload reloads under traffic and waits until so many new workers serve.
func (n *nginx) reload(t *traffic, workers int) {
	n.t.Helper()
	old := t.restart()
	n.signal("reload")
	err := eventually(func() (bool, error) {
		fresh := 0
		for pid := range t.seen() {
			if !old[pid] {
				fresh++
			}
		}
		return fresh >= workers, fmt.Errorf("%d new workers, not %d", fresh, workers)
	})
	if err != nil {
		n.t.Errorf("after the reload: %v", err)
	}
}

// traffic is clients that make one handshake after the other.
type traffic struct {
	n            *nginx
	stop         chan struct{}
	wg           sync.WaitGroup
	done, failed atomic.Int64

	mu      sync.Mutex
	workers map[string]bool // guarded by mu; which have served since restart
}

// drive starts traffic that ends with the test at the latest. Each handshake that
// fails is an error of the test.
func (n *nginx) drive(clients int) *traffic {
	t := &traffic{n: n, stop: make(chan struct{}), workers: map[string]bool{}}
	for range clients {
		t.wg.Go(func() {
			for {
				select {
				case <-t.stop:
					return
				default:
				}
				pid, err := n.get(0)
				if err != nil {
					t.failed.Add(1)
					n.t.Errorf("handshake %d: %v", t.done.Load(), err)
					return
				}
				t.mu.Lock()
				t.workers[pid] = true
				t.mu.Unlock()
				t.done.Add(1)
			}
		})
	}
	n.t.Cleanup(t.end)
	return t
}

func (t *traffic) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.stop:
		return
	default:
		close(t.stop)
	}
	t.mu.Unlock()
	t.wg.Wait()
	t.mu.Lock()
}

// seen returns the workers that have served since restart.
func (t *traffic) seen() map[string]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[string]bool, len(t.workers))
	for pid := range t.workers {
		out[pid] = true
	}
	return out
}

// restart forgets who has served, and returns them.
func (t *traffic) restart() map[string]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := t.workers
	t.workers = map[string]bool{}
	return out
}

// await waits for more handshakes, and until so many workers have served.
func (t *traffic) await(more int64, workers int) {
	t.n.t.Helper()
	t.restart()
	wanted := t.done.Load() + more
	err := eventually(func() (bool, error) {
		return t.done.Load() >= wanted && len(t.seen()) >= workers,
			fmt.Errorf("%d handshakes, not %d, by %d workers, not %d", t.done.Load(), wanted, len(t.seen()), workers)
	})
	if err != nil {
		t.n.t.Error(err)
	}
}
