package hsm_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/wire"
)

// loginTicket logs in and returns the ticket.
func (s session) loginTicket(user cryptoki.UserType, pin string) []byte {
	s.t.Helper()
	var p wire.LoginReply
	s.must(s.do(wire.CallLogin, &wire.LoginRequest{User: uint64(user), PIN: wire.Secret(pin)}, &p))
	return bytes.Clone(p.Ticket)
}

// resume brings sessions back, all of them with the same flags.
func (c *client) resume(ticket []byte, flags cryptoki.Flags, sessions ...session) (opened []uint64, loggedIn bool) {
	c.t.Helper()
	q := wire.ResumeRequest{Ticket: bytes.Clone(ticket)}
	for _, s := range sessions {
		q.Sessions = append(q.Sessions, s.handle)
		q.Flags = append(q.Flags, uint64(flags))
	}
	var p wire.ResumeReply
	c.must(c.call(wire.CallResume, 0, &q, &p))
	return p.Opened, p.LoggedIn
}

// An application that was logged in when the server ended goes on with the next one:
// the same sessions, the same login, the same objects.
func TestResume(t *testing.T) {
	b := newHSM(t)
	who := newIdentity()
	s := b.join(who).open(readWrite)
	second := s.client.open(readWrite)
	ticket := s.loginTicket(cryptoki.CKU_USER, coPIN)
	if len(ticket) != 32 {
		t.Fatalf("a ticket of %d bytes", len(ticket))
	}
	_, private := s.pair(true, "key")
	temporary := s.mustCreate(dataObject(false, false, ""))
	s.mustInit(mech.Sign, ecdsaSHA256, private)

	for range 3 { // and again after each restart
		b.restart()
		c := b.join(who)
		s, second := session{c, s.handle}, session{c, second.handle}
		want(t, "a session before it is resumed", s.do0(), cryptoki.CKR_SESSION_HANDLE_INVALID)
		for range 2 { // a repeat does no harm
			opened, loggedIn := c.resume(ticket, readWrite, s, second)
			if !slices.Equal(opened, []uint64{s.handle, second.handle}) || !loggedIn {
				t.Fatalf("resumed %v, logged in %v", opened, loggedIn)
			}
		}
		if info := b.info(c); info.Sessions != 2 {
			t.Errorf("%d sessions after resuming two", info.Sessions)
		}
		if got := second.state(); got != cryptoki.CKS_RW_USER_FUNCTIONS {
			t.Errorf("a resumed session is in state %v", got)
		}
		_, rv := s.operate(mech.Sign, []byte("message"), nil, 64)
		want(t, "an operation of the earlier server", rv, cryptoki.CKR_OPERATION_NOT_INITIALIZED)
		_, rv = s.fused(mech.Sign, ecdsaSHA256, private, []byte("message"), nil, 64)
		want(t, "signing with the key of before", rv, cryptoki.CKR_OK)
		_, rv = s.size(temporary)
		want(t, "a session object of before", rv, cryptoki.CKR_OBJECT_HANDLE_INVALID)
		if fresh := c.open(readOnly); fresh.handle == s.handle || fresh.handle == second.handle {
			t.Errorf("session handle %#x was given twice", fresh.handle)
		}
	}
}

// What ends a login, and what else voids its ticket.
func TestVoidTickets(t *testing.T) {
	for _, c := range []struct {
		name string
		// act may replace the identity that comes back after the restart.
		act func(b *box, s session, who *identity, ticket *[]byte)
	}{
		{"logout", func(_ *box, s session, _ *identity, _ *[]byte) { s.must(s.logout()) }},
		{"the last session", func(_ *box, s session, _ *identity, _ *[]byte) { s.must(s.close()) }},
		{"goodbye", func(_ *box, s session, _ *identity, _ *[]byte) {
			s.must(s.call(wire.CallGoodbye, 0, &wire.GoodbyeRequest{}, &wire.GoodbyeReply{}))
		}},
		{"the last connection", func(_ *box, s session, _ *identity, _ *[]byte) { s.link.Close() }},
		{"a PIN change", func(_ *box, s session, _ *identity, _ *[]byte) { s.must(s.setPIN(coPIN, "new PIN")) }},
		{"a lock", func(b *box, _ session, _ *identity, _ *[]byte) {
			other := b.app().open(readWrite)
			for range maxTries {
				other.login(cryptoki.CKU_USER, "wrong PIN")
			}
		}},
		{"expiry", func(b *box, _ session, _ *identity, _ *[]byte) { b.clock = b.clock.Add(ticketLife + time.Second) }},
		{"another id", func(_ *box, _ session, who *identity, _ *[]byte) { who.id = newToken() }},
		{"another secret", func(_ *box, _ session, who *identity, _ *[]byte) { who.secret = newToken() }},
		{"a bit of it", func(_ *box, _ session, _ *identity, ticket *[]byte) { (*ticket)[7] ^= 1 }},
		{"a part of it", func(_ *box, _ session, _ *identity, ticket *[]byte) { *ticket = (*ticket)[:31] }},
		{"none at all", func(_ *box, _ session, _ *identity, ticket *[]byte) { *ticket = nil }},
		{"a newer one", func(_ *box, s session, _ *identity, _ *[]byte) {
			s.must(s.logout())
			s.loginTicket(cryptoki.CKU_USER, coPIN)
		}},
		{"logout after it was used", func(b *box, s session, who *identity, ticket *[]byte) {
			b.restart()
			again := b.join(*who)
			if _, loggedIn := again.resume(*ticket, readWrite, s); !loggedIn {
				b.t.Error("the first use was refused")
			}
			again.must(session{again, s.handle}.logout())
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newHSM(t)
			who := newIdentity()
			s := b.join(who).open(readWrite)
			ticket := s.loginTicket(cryptoki.CKU_USER, coPIN)
			c.act(b, s, &who, &ticket)
			b.restart()
			again := b.join(who)
			opened, loggedIn := again.resume(ticket, readWrite, s)
			if loggedIn {
				t.Error("the ticket was still good")
			}
			if !slices.Equal(opened, []uint64{s.handle}) {
				t.Errorf("the sessions %v came back, want [%d]", opened, s.handle)
			}
			if got := (session{again, s.handle}).state(); got != cryptoki.CKS_RW_PUBLIC_SESSION {
				t.Errorf("the session is in state %v", got)
			}
		})
	}
}

// Another user on the host does not resume with somebody's ticket.
func TestTicketIsBoundToTheUser(t *testing.T) {
	b := newHSM(t)
	who := newIdentity()
	s := b.join(who).open(readWrite)
	ticket := s.loginTicket(cryptoki.CKU_USER, coPIN)
	b.restart()
	stranger := local
	stranger.UID++
	thief := b.dial(stranger)
	thief.must(thief.hello(who))
	if _, loggedIn := thief.resume(ticket, readWrite, s); loggedIn {
		t.Error("another user's application was logged in")
	}
}

// A server that is asked to end keeps the logins of those it cuts off.
func TestShutdownKeepsTickets(t *testing.T) {
	b := newHSM(t)
	who := newIdentity()
	s := b.join(who).open(readWrite)
	ticket := s.loginTicket(cryptoki.CKU_USER, coPIN)
	b.Shutdown()
	s.link.Close()
	b.restart()
	if _, loggedIn := b.join(who).resume(ticket, readWrite, s); !loggedIn {
		t.Error("the ticket did not survive an orderly end")
	}
}

// While an application lives, its ticket does not expire.
func TestTendKeepsLiveTickets(t *testing.T) {
	b := newHSM(t)
	who, gone := newIdentity(), newIdentity()
	s := b.join(who).open(readWrite)
	ticket := s.loginTicket(cryptoki.CKU_USER, coPIN)
	for range 4 {
		b.clock = b.clock.Add(ticketLife / 2)
		if err := b.Tend(); err != nil {
			t.Fatal(err)
		}
	}
	b.clock = b.clock.Add(ticketLife / 2)
	b.restart()
	if _, loggedIn := b.join(who).resume(ticket, readWrite, s); !loggedIn {
		t.Error("the ticket of a live application expired")
	}
	if _, loggedIn := b.join(gone).resume(ticket, readWrite, s); loggedIn {
		t.Error("another application was logged in with the ticket")
	}
}

func TestNoTicket(t *testing.T) {
	b := newHSM(t)
	s := b.app().open(readWrite)
	if ticket := s.loginTicket(cryptoki.CKU_SO, soPIN); len(ticket) != 0 {
		t.Error("the PO, who has no share in the partition's key, got a ticket")
	}
	b.life = 0
	b.restart()
	s = b.app().open(readWrite)
	if ticket := s.loginTicket(cryptoki.CKU_USER, coPIN); len(ticket) != 0 {
		t.Error("a ticket where they are turned off")
	}
	b.SetTicketLife(time.Hour)
	s = b.app().open(readWrite)
	if ticket := s.loginTicket(cryptoki.CKU_USER, coPIN); len(ticket) == 0 {
		t.Error("no ticket where they are turned on again")
	}
}

// Only handles of an earlier start are taken, and only those that nobody has.
func TestResumeChecksHandles(t *testing.T) {
	b := newHSM(t)
	who := newIdentity()
	old := b.join(who).open(readWrite)
	b.restart()
	c, other := b.join(who), b.app()
	now := other.open(readWrite)
	if opened, _ := other.resume(nil, readWrite, old); !slices.Equal(opened, []uint64{old.handle}) {
		t.Fatalf("opened %v, want [%d]", opened, old.handle)
	}
	for name, handle := range map[string]uint64{
		"a session of this start":             now.handle,
		"one of this start that is not given": now.handle + 1000,
		"one that another application has":    old.handle,
		"zero":                                0,
		"a small number":                      42,
		"all ones":                            ^uint64(0),
	} {
		if opened, _ := c.resume(nil, readWrite, session{c, handle}); len(opened) != 0 {
			t.Errorf("%s was opened", name)
		}
	}
	rv := c.call(wire.CallResume, 0, &wire.ResumeRequest{Sessions: []uint64{old.handle}}, &wire.ResumeReply{})
	want(t, "a session without flags", rv, cryptoki.CKR_ARGUMENTS_BAD)
	rv = c.call(wire.CallResume, 0, &wire.ResumeRequest{Slot: 1}, &wire.ResumeReply{})
	want(t, "no such slot", rv, cryptoki.CKR_SLOT_ID_INVALID)
}
