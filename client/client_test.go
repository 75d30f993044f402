package client

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

// fake is a server that answers each request with what its function says.
func fake(t *testing.T, answer func(h wire.Header, out *wire.Writer)) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		in, out := wire.NewReader(c, wire.KindRequest), wire.NewWriter(c)
		for {
			h, _, err := in.Next()
			if err != nil {
				return
			}
			h.Kind = wire.KindReply
			switch h.Call {
			case wire.CallHello:
				_ = out.Write(h, &wire.HelloReply{Protocol: 1, Application: 7})
			case wire.CallGoodbye:
				_ = out.Write(h, nil)
			default:
				answer(h, out)
			}
		}
	}()
	return path
}

// What a server answers is believed only where it fits the request.
func TestDo(t *testing.T) {
	good := &wire.SlotListReply{Slots: []uint64{3}}
	for name, c := range map[string]struct {
		answer func(h wire.Header, out *wire.Writer)
		code   cryptoki.RV
		says   string
	}{
		"a reply": {func(h wire.Header, out *wire.Writer) { _ = out.Write(h, good) }, cryptoki.CKR_OK, ""},
		"working, then a reply": {func(h wire.Header, out *wire.Writer) {
			working := h
			working.Kind = wire.KindWorking
			for range 3 {
				_ = out.Write(working, nil)
			}
			_ = out.Write(h, good)
		}, cryptoki.CKR_OK, ""},
		"a refusal": {func(h wire.Header, out *wire.Writer) {
			h.Code = cryptoki.CKR_SLOT_ID_INVALID
			_ = out.Write(h, nil)
		}, cryptoki.CKR_SLOT_ID_INVALID, ""},
		"the reply to another request": {func(h wire.Header, out *wire.Writer) {
			h.Request++
			_ = out.Write(h, good)
		}, cryptoki.CKR_DEVICE_ERROR, "SlotList"},
		"the reply to another call": {func(h wire.Header, out *wire.Writer) {
			h.Call = wire.CallStop
			_ = out.Write(h, nil)
		}, cryptoki.CKR_DEVICE_ERROR, "Stop instead of SlotList"},
		"a request": {func(h wire.Header, out *wire.Writer) {
			h.Kind = wire.KindRequest
			_ = out.Write(h, nil)
		}, cryptoki.CKR_DEVICE_ERROR, "waiting for the reply of SlotList"},
		"a body that does not parse": {func(h wire.Header, out *wire.Writer) {
			_ = out.Write(h, &wire.GenerateRandomReply{Random: []byte("x")})
		}, cryptoki.CKR_ARGUMENTS_BAD, "SlotList reply"},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := Dial(fake(t, c.answer), "test")
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			var p wire.SlotListReply
			err = client.Do(wire.CallSlotList, 0, &wire.SlotListRequest{}, &p)
			if cryptoki.Code(err) != c.code || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
			if err == nil && (len(p.Slots) != 1 || p.Slots[0] != 3) {
				t.Errorf("slots %v", p.Slots)
			}
		})
	}
}

// The error of a connection names the socket as the caller did.
func TestDialErrors(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "socket"), filepath.Join(dir, "nowhere", "socket")} {
		_, err := Dial(path, "test")
		if err == nil || !strings.Contains(err.Error(), filepath.Dir(path)) || strings.Contains(err.Error(), "/proc/self/fd") {
			t.Errorf("%v", err)
		}
	}
}
