package hsm_test

import (
	"encoding/binary"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/wire"
)

// FuzzHandle lets anybody send anything: a list of requests, each with a call, the
// session it claims and a body. Nothing of it panics, refusals have no body that does
// not belong there, and the HSM serves on.
//
// A request in the input is: call 2, session 1 (which of the open ones, or none),
// length of the body 2, body.
func FuzzHandle(f *testing.F) {
	request := func(call wire.Call, session byte, m wire.Message) []byte {
		body := m.AppendTo(nil)
		b := binary.LittleEndian.AppendUint16(nil, uint16(call))
		b = binary.LittleEndian.AppendUint16(append(b, session), uint16(len(body)))
		return append(b, body...)
	}
	for _, call := range wire.Calls() {
		f.Add(request(call, 0, call.NewRequest()))
	}
	f.Add(append(
		request(wire.CallOperationInit, 0, &wire.OperationInitRequest{Function: uint8(mech.Digest), Mechanism: sha256}),
		request(wire.CallUpdate, 0, &wire.UpdateRequest{Function: uint8(mech.Digest), Data: []byte("data"), Capacity: anyRoom})...))
	f.Add(request(wire.CallGenerateKeyPair, 0, &wire.GenerateKeyPairRequest{
		Mechanism: ecKeyPairGen, PublicTemplate: attrs(cryptoki.CKA_EC_PARAMS, p256), PrivateTemplate: attrs(cryptoki.CKA_SIGN, true),
	}))
	f.Add(request(wire.CallCreateObject, 1, &wire.CreateObjectRequest{Token: newToken(), Template: dataObject(true, true, "x")}))
	f.Add(request(wire.CallFind, 0, &wire.FindRequest{Template: attrs(cryptoki.CKA_LABEL, "x"), After: 3, Limit: 2}))
	f.Add(request(wire.CallOperateFused, 0, &wire.OperateFusedRequest{Function: uint8(mech.Sign), Mechanism: ecdsaSHA256, Key: 2, Capacity: 64}))
	f.Add(request(wire.CallLogin, 1, &wire.LoginRequest{User: uint64(cryptoki.CKU_USER), PIN: wire.Secret(coPIN)}))
	f.Add(request(wire.CallResume, 0, &wire.ResumeRequest{Sessions: []uint64{1 << 40}, Flags: []uint64{6}}))

	f.Fuzz(func(t *testing.T, input []byte) {
		b := newHSM(t)
		witness := b.user()
		public, private := witness.pair(true, "key")
		_ = public

		caller := local
		caller.Owner = true
		c := b.dial(caller)
		c.must(c.hello(newIdentity()))
		user, nobody := c.open(readWrite), b.app().open(readOnly)
		user.must(user.login(cryptoki.CKU_USER, coPIN))
		sessions := []session{user, {c, 0}, nobody}

		for n := uint64(1); len(input) >= 5; n++ {
			call := wire.Call(binary.LittleEndian.Uint16(input))
			s := sessions[int(input[2])%len(sessions)]
			size := min(int(binary.LittleEndian.Uint16(input[3:])), len(input)-5)
			body := input[5 : 5+size]
			input = input[5+size:]
			sent := append([]byte(nil), body...) // the HSM wipes the PINs in it
			h, m := s.link.Handle(wire.Header{
				Kind: wire.KindRequest, Call: call, Request: n, Application: s.application, Session: cryptoki.SessionHandle(s.handle),
			}, sent)
			if h.Kind != wire.KindReply || h.Call != call || h.Request != n {
				t.Fatalf("%v: the reply's header is %+v", call, h)
			}
			if h.Code == cryptoki.CKR_GENERAL_ERROR || h.Code == cryptoki.CKR_DEVICE_ERROR {
				t.Errorf("%v with %x: %v", call, body, h.Code)
			}
			mayCarry := h.Code == cryptoki.CKR_BUFFER_TOO_SMALL ||
				call == wire.CallGetAttributes && (h.Code == cryptoki.CKR_ATTRIBUTE_SENSITIVE || h.Code == cryptoki.CKR_ATTRIBUTE_TYPE_INVALID) ||
				call == wire.CallPartitionInit || call == wire.CallSetPartitionPolicies || call == wire.CallSetHSMPolicies
			if h.Code == cryptoki.CKR_OK && m == nil || h.Code != cryptoki.CKR_OK && m != nil && !mayCarry {
				t.Errorf("%v with %x: %v and the body %v", call, body, h.Code, m)
			}
			if m == nil {
				continue
			}
			frame := m.AppendTo(nil)
			if len(frame) > wire.MaxBody {
				continue // serve turns it into CKR_DEVICE_MEMORY
			}
			if err := call.NewReply().Parse(frame); err != nil {
				t.Errorf("%v with %x: the reply does not parse: %v", call, body, err)
			}
		}
		// A neighbour has noticed nothing, unless the key was destroyed before his eyes.
		_, rv := witness.fused(mech.Sign, ecdsaSHA256, private, []byte("message"), nil, 64)
		switch rv {
		case cryptoki.CKR_OK:
		case cryptoki.CKR_KEY_HANDLE_INVALID, cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED:
			if len(witness.find(nil)) == 2 && rv == cryptoki.CKR_KEY_HANDLE_INVALID {
				t.Errorf("a key that is there: %v", rv)
			}
		default:
			t.Errorf("signing afterwards: %v", rv)
		}
	})
}
