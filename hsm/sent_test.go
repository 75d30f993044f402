package hsm_test

import (
	"bytes"
	"reflect"
	"runtime"
	"testing"
	"weak"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/wire"
)

// Nothing of a large request stays with its connection.
func TestSentForgetsLargeRequests(t *testing.T) {
	s := newHSM(t).user()
	large := make([]byte, 1<<19)
	for call, q := range map[wire.Call]wire.Message{
		wire.CallSeedRandom:   &wire.SeedRandomRequest{Seed: large},
		wire.CallUpdate:       &wire.UpdateRequest{Function: uint8(mech.Encrypt), Data: large},
		wire.CallCreateObject: &wire.CreateObjectRequest{Template: attrs(cryptoki.CKA_VALUE, large)},
	} {
		var buffer weak.Pointer[byte]
		func() {
			body := q.AppendTo(nil)
			buffer = weak.Make(&body[0])
			s.link.Handle(wire.Header{Kind: wire.KindRequest, Call: call, Application: s.application, Session: cryptoki.SessionHandle(s.handle)}, body)
		}()
		s.link.Sent()
		runtime.GC()
		if buffer.Value() != nil {
			t.Errorf("%v: the request is still there", call)
		}
	}
}

// What was decrypted is not in the server's memory when it has been sent.
func TestSentWipesOutput(t *testing.T) {
	s := newHSM(t).user()
	key := s.aesKey(true, "key")
	plain := bytes.Repeat([]byte("plaintext "), 10)
	sealed, rv := s.fused(mech.Encrypt, cbc, key, plain, nil, anyRoom)
	s.must(rv)
	q := wire.OperateFusedRequest{Function: uint8(mech.Decrypt), Mechanism: cbc, Key: key, Data: sealed.Output, Capacity: anyRoom}
	_, m := s.link.Handle(wire.Header{
		Kind: wire.KindRequest, Call: wire.CallOperateFused, Application: s.application, Session: cryptoki.SessionHandle(s.handle),
	}, q.AppendTo(nil))
	output := m.(*wire.OperateFusedReply).Output
	if !bytes.Equal(output, plain) {
		t.Fatalf("decrypted %q", output)
	}
	s.link.Sent()
	if !bytes.Equal(output, make([]byte, len(plain))) {
		t.Errorf("%q is still there", output)
	}
}

// There is no reply with an output that Sent does not know of.
func TestSentKnowsEveryOutput(t *testing.T) {
	for _, call := range wire.Calls() {
		m := call.NewReply()
		for _, name := range []string{"Output", "Random"} {
			field := reflect.ValueOf(m).Elem().FieldByName(name)
			if !field.IsValid() {
				continue
			}
			field.SetBytes([]byte("output"))
			if hsm.OutputOf(m) == nil {
				t.Errorf("%v: the output is not wiped", call)
			}
		}
	}
}
