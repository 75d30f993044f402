package serve

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidelock.dev/tidelock/client"
)

// open lets every user reach the sockets; the rules are the server's.
func (r *running) open() {
	r.t.Helper()
	for dir := filepath.Dir(r.path); dir != os.TempDir() && len(dir) > 1; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			r.t.Fatal(err)
		}
	}
}

// rawTo connects to the socket at path.
func rawTo(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// The link says by which socket its caller came.
func TestAdministratorsSocket(t *testing.T) {
	r := start(t, nil)
	for path, administrator := range map[string]bool{r.path: false, r.admin: true} {
		hello(t, rawTo(t, path))
		r.server.mu.Lock()
		applications, administrators := r.server.applications, r.server.administrators
		r.server.mu.Unlock()
		if administrator && administrators != 1 || !administrator && applications != 1 {
			t.Errorf("administrator %v: %d applications, %d administrators", administrator, applications, administrators)
		}
	}
}

// Applications that use up all connections do not keep administrators out, nor the
// other way round.
func TestAdministratorsHaveTheirOwnRoom(t *testing.T) {
	r := start(t, func(c *Config, _ *timing) { c.Settings.MaxConnections = 1 })
	hello(t, rawTo(t, r.path))
	ends(t, rawTo(t, r.path))
	for range maxAdministrators {
		hello(t, rawTo(t, r.admin))
	}
	ends(t, rawTo(t, r.admin))
	if !strings.Contains(r.log.String(), "limits.connections") {
		t.Errorf("the log does not say what to change: %s", r.log)
	}
}

func TestConnectionsOfOneUser(t *testing.T) {
	r := start(t, func(c *Config, _ *timing) { c.Settings.MaxPerUser = 2 })
	r.open()
	first := rawTo(t, r.path)
	hello(t, first)
	hello(t, rawTo(t, r.path))
	ends(t, rawTo(t, r.path))
	if !strings.Contains(r.log.String(), "limits.connections_per_user") {
		t.Errorf("the log does not say what to change: %s", r.log)
	}
	t.Run("the place is free afterwards", func(t *testing.T) {
		first.Close()
		for deadline := time.Now().Add(patience); ; {
			if c, err := client.Dial(r.path, "test"); err == nil {
				c.Close()
				return
			}
			if time.Now().After(deadline) {
				t.Fatal("the place of a connection that ended is not free")
			}
		}
	})
	t.Run("another user", func(t *testing.T) {
		other, err := r.as(65_533)
		if err != nil {
			t.Fatal(err)
		}
		hello(t, other)
	})
}

// New settings hold for those who come; those who are there stay.
func TestSet(t *testing.T) {
	r := start(t, nil)
	r.open()
	there, err := r.as(65_533)
	if err != nil {
		t.Fatal(err)
	}
	hello(t, there)
	r.server.Set(Settings{AllowedUIDs: []uint32{65_534}})
	refused, err := r.as(65_533)
	if err != nil {
		t.Fatal(err)
	}
	ends(t, refused)
	if !strings.Contains(r.log.String(), "socket.allowed_uids") {
		t.Errorf("the log does not say what to change: %s", r.log)
	}
	if n := r.server.Connections(); n != 1 {
		t.Errorf("%d connections, not the one that was there", n)
	}
}

// Each socket has its own list of users.
func TestAdministratorUIDs(t *testing.T) {
	const application, administrator = 65_533, 65_534
	r := start(t, func(c *Config, _ *timing) {
		c.Settings.AllowedUIDs, c.Settings.AdministratorUIDs = []uint32{application}, []uint32{administrator}
	})
	r.open()
	applications := r.path
	for _, c := range []struct {
		path string
		uid  uint32
		in   bool
	}{
		{applications, application, true},
		{applications, administrator, false},
		{r.admin, administrator, true},
		{r.admin, application, false},
	} {
		r.path = c.path
		conn, err := r.as(c.uid)
		if err != nil {
			t.Fatal(err)
		}
		if c.in {
			hello(t, conn)
		} else {
			ends(t, conn)
		}
	}
	r.path = applications
	if !strings.Contains(r.log.String(), "admin.allowed_uids") {
		t.Errorf("the log does not say what to change: %s", r.log)
	}
}
