package partition_test

import (
	"testing"
	"time"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/partition"
)

// A Limited Crypto Officer who was dismissed with version 1 does not come back with the
// ticket of his login when there is another one.
func TestDismissedTicket(t *testing.T) {
	w := ready(t, 1<<20, nil)
	w.config.TicketLife = func() time.Duration { return 1 << 40 }
	w.open()
	w.version1()
	appoint := func() {
		co := w.login(cryptoki.CKU_USER, ownerPIN)
		code(t, co.InitRole(cryptoki.CKU_LIMITED_CRYPTO_OFFICER, bytes(userPIN)), cryptoki.CKR_OK)
		co.Close()
	}
	appoint()
	actor := partition.Actor{Application: 99, ID: [16]byte{9}, Secret: [16]byte{9}}
	open := func() *partition.Member {
		m := w.p.Join(actor)
		w.last++
		if _, err := w.p.Open(m, w.last, 0, true, func() {}); err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := w.p.Join(actor)
	s, err := w.p.Open(m, 1000, 0, true, func() {})
	if err != nil {
		t.Fatal(err)
	}
	ticket, err := s.Login(cryptoki.CKU_LIMITED_CRYPTO_OFFICER, bytes(userPIN))
	if err != nil || ticket.Len() == 0 {
		t.Fatalf("a ticket of %d bytes, %v", ticket.Len(), err)
	}
	kept := secret.Copy(ticket.Expose())
	resumes := func() bool {
		w.open()
		resumed, err := open().Resume(kept)
		if err != nil {
			t.Fatal(err)
		}
		return resumed
	}
	if !resumes() {
		t.Fatal("the ticket does not log in before anything has happened")
	}
	w.clear(0)
	w.version1()
	appoint()
	if resumes() {
		t.Error("the ticket of the officer of the time before logs in")
	}
}

// A login that was checked before version 1 went is none afterwards.
func TestDismissedWhileLoggingIn(t *testing.T) {
	w := ready(t, 1<<20, nil)
	store := &meanwhile{Store: w.config.Store}
	w.config.Store = store
	w.open()
	w.version1()
	co := w.login(cryptoki.CKU_USER, ownerPIN)
	code(t, co.InitRole(cryptoki.CKU_LIMITED_CRYPTO_OFFICER, bytes(userPIN)), cryptoki.CKR_OK)
	s := w.session()
	// The first update counts the try, the second clears the count.
	store.after = func() { store.after = func() { w.clear(0) } }
	_, err := s.Login(cryptoki.CKU_LIMITED_CRYPTO_OFFICER, bytes(userPIN))
	code(t, err, cryptoki.CKR_DEVICE_REMOVED)
	if role := s.Role(); role != partition.RoleNone {
		t.Errorf("logged in as %v, whom version 0 does not have", role)
	}
}
