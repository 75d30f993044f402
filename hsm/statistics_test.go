package hsm_test

import (
	"sync"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/wire"
)

// Every operation is counted once, under its mechanism and the code that it got.
func TestStatistics(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	_, private := s.pair(false, "pair")
	ecdsa := cryptoki.Mechanism{Type: cryptoki.CKM_ECDSA}
	digest := make([]byte, 32)
	for range 3 {
		if _, rv := s.fused(mech.Sign, ecdsa, private, digest, nil, 1000); rv != cryptoki.CKR_OK {
			t.Fatal(rv)
		}
	}
	_, rv := s.fused(mech.Sign, ecdsa, private, digest, nil, 0)
	want(t, "no room", rv, cryptoki.CKR_BUFFER_TOO_SMALL)
	s.cancel(mech.Sign)
	s.mustInit(mech.Sign, ecdsa, private)
	if _, rv := s.operate(mech.Sign, digest, nil, 1000); rv != cryptoki.CKR_OK {
		t.Fatal(rv)
	}
	_, rv = s.init(mech.Sign, ecdsa, 12345)
	want(t, "no such key", rv, cryptoki.CKR_KEY_HANDLE_INVALID)
	for m := range cryptoki.MechanismType(50) {
		s.init(mech.Sign, cryptoki.Mechanism{Type: 0x7fff0000 + m}, private)
	}
	got, err := b.Statistics()
	if err != nil {
		t.Fatal(err)
	}
	sign := hsm.UseFunction(mech.Sign)
	for use, n := range map[hsm.Use]uint64{
		{Function: sign, Mechanism: cryptoki.CKM_ECDSA}:                                        4,
		{Function: sign, Mechanism: cryptoki.CKM_ECDSA, Code: cryptoki.CKR_KEY_HANDLE_INVALID}: 1,
		{Function: sign, Mechanism: hsm.OtherMechanism, Code: cryptoki.CKR_MECHANISM_INVALID}:  50,
		{Function: hsm.UseGenerateKeyPair, Mechanism: cryptoki.CKM_EC_KEY_PAIR_GEN}:            1,
	} {
		if got.Uses[use] != n {
			t.Errorf("%v: %d, not %d", use, got.Uses[use], n)
		}
	}
	if len(got.Uses) != 4 {
		t.Errorf("uses: %v", got.Uses)
	}
	if n := got.Calls[hsm.CallCode{Call: wire.CallOperationInit, Code: cryptoki.CKR_MECHANISM_INVALID}]; n != 50 {
		t.Errorf("%d calls", n)
	}
	if len(got.Partitions) != 1 || got.Partitions[0].Sessions != 1 || got.Partitions[0].Total == 0 {
		t.Errorf("partitions: %+v", got.Partitions)
	}
	if got.Applications != 1 || got.Connections != 1 {
		t.Errorf("%d applications, %d connections", got.Applications, got.Connections)
	}
}

// Statistics are for the owner and for administrators.
func TestWhoSeesStatistics(t *testing.T) {
	b := newHSM(t)
	b.user()
	for _, c := range []struct {
		caller hsm.Caller
		code   cryptoki.RV
	}{
		{hsm.Caller{Link: hsm.LinkLocal, UID: 1000}, cryptoki.CKR_ACTION_PROHIBITED},
		{hsm.Caller{Link: hsm.LinkLocal, UID: 1000, Owner: true}, cryptoki.CKR_OK},
		{hsm.Caller{Link: hsm.LinkLocal, UID: 1000, Administrator: true}, cryptoki.CKR_OK},
	} {
		client := b.dial(c.caller)
		client.must(client.hello(newIdentity()))
		var p wire.StatisticsReply
		want(t, "Statistics", client.call(wire.CallStatistics, 0, &wire.StatisticsRequest{}, &p), c.code)
		if c.code == cryptoki.CKR_OK && (len(p.Calls) == 0 || len(p.Calls) != len(p.CallCounts) || len(p.Slots) != 1 || len(p.UsedBytes) != 1) {
			t.Errorf("%+v", p)
		}
	}
}

// Links that count at the same time lose nothing.
func TestStatisticsOfManyLinks(t *testing.T) {
	b := newHSM(t)
	const links, times = 8, 200
	var wg sync.WaitGroup
	for range links {
		c := b.app()
		wg.Go(func() {
			for range times {
				c.call(wire.CallSlotList, 0, &wire.SlotListRequest{}, &wire.SlotListReply{})
			}
		})
	}
	wg.Wait()
	got, err := b.Statistics()
	if n := got.Calls[hsm.CallCode{Call: wire.CallSlotList}]; err != nil || n != links*times {
		t.Errorf("%d calls, not %d; %v", n, links*times, err)
	}
}

// The hot path is allowed no memory.
func TestCountingAllocatesNothing(t *testing.T) {
	b := newHSM(t)
	if n := hsm.CountingAllocates(b.HSM); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
