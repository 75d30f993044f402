package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"tidelock.dev/tidelock/client"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

// TestReloadTickets turns tickets off while the server runs.
func TestReloadTickets(t *testing.T) {
	h := testHome(t, "[log]\nformat = \"json\"\n")
	d := startServe(t, h, nil)
	d.log.until(`"msg":"serving"`)
	ticket := func() bool {
		c, err := client.Dial(h.Socket(), "test")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var opened wire.OpenSessionReply
		flags := uint64(cryptoki.CKF_SERIAL_SESSION | cryptoki.CKF_RW_SESSION)
		if err := c.Do(wire.CallOpenSession, 0, &wire.OpenSessionRequest{Flags: flags}, &opened); err != nil {
			t.Fatal(err)
		}
		var reply wire.LoginReply
		request := wire.LoginRequest{User: uint64(cryptoki.CKU_USER), PIN: wire.Secret("87654321")}
		if err := c.Do(wire.CallLogin, cryptoki.SessionHandle(opened.Session), &request, &reply); err != nil {
			t.Fatal(err)
		}
		return len(reply.Ticket) > 0
	}
	if !ticket() {
		t.Error("no ticket by default")
	}
	configure(t, h, "[log]\nformat = \"json\"\n[login]\nticket_lifetime = \"0\"\n")
	if err := d.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	d.log.until("configuration read again")
	if ticket() {
		t.Error("a ticket after they were turned off")
	}
}

// TestReloadMetrics moves the address at which Prometheus asks while the server runs.
func TestReloadMetrics(t *testing.T) {
	h := testHome(t, "[log]\nformat = \"json\"\n")
	d := startServe(t, h, nil)
	d.log.until(`"msg":"serving"`)
	reload := func(config string) {
		t.Helper()
		configure(t, h, "[log]\nformat = \"json\"\n"+config)
		if err := d.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	started := func() string {
		t.Helper()
		var record struct{ Address string }
		if err := json.Unmarshal([]byte(d.log.until(`"msg":"metrics"`)), &record); err != nil {
			t.Fatal(err)
		}
		return record.Address
	}
	counts := func(address string) (string, error) {
		reply, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			return "", err
		}
		defer reply.Body.Close()
		body, err := io.ReadAll(reply.Body)
		return string(body), err
	}

	reload("[metrics]\nlisten = \"127.0.0.1:0\"\n")
	first := started()
	d.log.until("configuration read again")
	if body, err := counts(first); err != nil || !strings.Contains(body, "tidelock_uptime_seconds") {
		t.Errorf("the counts: %v, %q", err, body)
	}

	// An address that somebody else has is refused, and the first one stays.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	reload("[metrics]\nlisten = \"" + taken.Addr().String() + "\"\n")
	d.log.until("the settings stay as they were", "address already in use")
	if _, err := counts(first); err != nil {
		t.Errorf("after a reload that failed: %v", err)
	}

	reload("[metrics]\nlisten = \"127.0.0.2:0\"\n")
	second := started()
	d.log.until("configuration read again")
	if _, err := counts(second); err != nil {
		t.Errorf("the second address: %v", err)
	}

	reload("")
	d.log.until("configuration read again")
	for _, address := range []string{first, second} {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			t.Errorf("%s is still there", address)
		}
	}
}
