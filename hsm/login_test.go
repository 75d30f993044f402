package hsm_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

func (c *client) tokenFlags() cryptoki.Flags {
	c.t.Helper()
	var p wire.TokenInfoReply
	c.must(c.call(wire.CallTokenInfo, 0, &wire.TokenInfoRequest{}, &p))
	return cryptoki.Flags(p.Flags)
}

const (
	userPINFlags = cryptoki.CKF_USER_PIN_COUNT_LOW | cryptoki.CKF_USER_PIN_FINAL_TRY | cryptoki.CKF_USER_PIN_LOCKED
	soPINFlags   = cryptoki.CKF_SO_PIN_COUNT_LOW | cryptoki.CKF_SO_PIN_FINAL_TRY | cryptoki.CKF_SO_PIN_LOCKED
)

func TestLoginStates(t *testing.T) {
	b := newHSM(t)
	c := b.app()
	rw, ro := c.open(readWrite), c.open(readOnly)
	check := func(what string, rwState, roState cryptoki.SessionState) {
		t.Helper()
		if got := rw.state(); got != rwState {
			t.Errorf("%s: the read-write session is in state %v", what, got)
		}
		if got := ro.state(); got != roState {
			t.Errorf("%s: the read-only session is in state %v", what, got)
		}
	}
	check("at first", cryptoki.CKS_RW_PUBLIC_SESSION, cryptoki.CKS_RO_PUBLIC_SESSION)
	want(t, "logout without login", rw.logout(), cryptoki.CKR_USER_NOT_LOGGED_IN)
	// The login holds for all sessions of the application (PKCS#11 3.2, 5.6).
	rw.must(ro.login(cryptoki.CKU_USER, coPIN))
	check("logged in", cryptoki.CKS_RW_USER_FUNCTIONS, cryptoki.CKS_RO_USER_FUNCTIONS)
	want(t, "login again", rw.login(cryptoki.CKU_USER, coPIN), cryptoki.CKR_USER_ALREADY_LOGGED_IN)
	want(t, "another role", rw.login(cryptoki.CKU_SO, soPIN), cryptoki.CKR_USER_ANOTHER_ALREADY_LOGGED_IN)
	rw.must(rw.logout())
	check("logged out", cryptoki.CKS_RW_PUBLIC_SESSION, cryptoki.CKS_RO_PUBLIC_SESSION)

	want(t, "the PO beside a read-only session", rw.login(cryptoki.CKU_SO, soPIN), cryptoki.CKR_SESSION_READ_ONLY_EXISTS)
	ro.must(ro.close())
	rw.must(rw.login(cryptoki.CKU_SO, soPIN))
	if got := rw.state(); got != cryptoki.CKS_RW_SO_FUNCTIONS {
		t.Errorf("the PO's session is in state %v", got)
	}
	_, rv := c.tryOpen(readOnly)
	want(t, "a read-only session beside the PO", rv, cryptoki.CKR_SESSION_READ_WRITE_SO_EXISTS)

	other := b.app().open(readWrite)
	if got := other.state(); got != cryptoki.CKS_RW_PUBLIC_SESSION {
		t.Errorf("the login reached another application: state %v", got)
	}
	for user, code := range map[cryptoki.UserType]cryptoki.RV{
		cryptoki.CKU_CRYPTO_USER:            cryptoki.CKR_USER_PIN_NOT_INITIALIZED,
		cryptoki.CKU_LIMITED_CRYPTO_OFFICER: cryptoki.CKR_USER_PIN_NOT_INITIALIZED,
		cryptoki.UserType(77):               cryptoki.CKR_USER_TYPE_INVALID,
	} {
		want(t, fmt.Sprint("user type ", uint64(user)), other.login(user, coPIN), code)
	}
}

func TestLastSessionLogsOut(t *testing.T) {
	c := newHSM(t).app()
	one, two := c.open(readWrite), c.open(readWrite)
	one.must(one.login(cryptoki.CKU_USER, coPIN))
	one.must(one.close())
	if got := two.state(); got != cryptoki.CKS_RW_USER_FUNCTIONS {
		t.Errorf("the first of two sessions took the login along: state %v", got)
	}
	two.must(two.close())
	if got := c.open(readWrite).state(); got != cryptoki.CKS_RW_PUBLIC_SESSION {
		t.Errorf("the login outlived the last session: state %v", got)
	}
}

// A wrong PIN counts, and the count outlives the server that counted.
func TestFailedLoginsLock(t *testing.T) {
	for _, role := range []struct {
		user  cryptoki.UserType
		pin   string
		flags [3]cryptoki.Flags // low, final try, locked
		all   cryptoki.Flags
	}{
		{cryptoki.CKU_USER, coPIN, [3]cryptoki.Flags{cryptoki.CKF_USER_PIN_COUNT_LOW, cryptoki.CKF_USER_PIN_FINAL_TRY, cryptoki.CKF_USER_PIN_LOCKED}, userPINFlags},
		{cryptoki.CKU_SO, soPIN, [3]cryptoki.Flags{cryptoki.CKF_SO_PIN_COUNT_LOW, cryptoki.CKF_SO_PIN_FINAL_TRY, cryptoki.CKF_SO_PIN_LOCKED}, soPINFlags},
	} {
		t.Run(fmt.Sprint("user type ", uint64(role.user)), func(t *testing.T) {
			b := newHSM(t)
			s := b.app().open(readWrite)
			if flags := s.tokenFlags() & role.all; flags != 0 {
				t.Fatalf("flags %#x before any login", uint64(flags))
			}
			want(t, "a PIN that is too short", s.login(role.user, "abc"), cryptoki.CKR_PIN_LEN_RANGE)
			if flags := s.tokenFlags() & role.all; flags != 0 {
				t.Errorf("a PIN of no possible length counted: flags %#x", uint64(flags))
			}
			want(t, "the first wrong PIN", s.login(role.user, "wrong PIN"), cryptoki.CKR_PIN_INCORRECT)
			s.must(s.login(role.user, role.pin))
			if flags := s.tokenFlags() & role.all; flags != 0 {
				t.Errorf("a right PIN did not forgive: flags %#x", uint64(flags))
			}
			s.must(s.logout())

			tries := maxTries
			if role.user == cryptoki.CKU_SO {
				tries-- // the last one costs more: TestPartitionSOsLastPIN
			}
			for n := 1; n <= tries; n++ {
				code, flag := cryptoki.CKR_PIN_INCORRECT, role.flags[0]
				switch n {
				case maxTries - 1:
					flag = role.flags[1]
				case maxTries:
					code, flag = cryptoki.CKR_PIN_LOCKED, role.flags[2]
				}
				want(t, fmt.Sprint("wrong PIN ", n), s.login(role.user, "wrong PIN"), code)
				// Each answer may be the last that this server gives.
				b.restart()
				s = b.app().open(readWrite)
				if s.tokenFlags()&flag == 0 {
					t.Errorf("after %d wrong PINs and a restart: flags %#x lack %#x", n, uint64(s.tokenFlags()), uint64(flag))
				}
			}
			if role.user == cryptoki.CKU_SO {
				return
			}
			want(t, "the right PIN of a locked role", s.login(role.user, role.pin), cryptoki.CKR_PIN_LOCKED)
			want(t, "a wrong PIN of a locked role", s.login(role.user, "wrong PIN"), cryptoki.CKR_PIN_LOCKED)
			want(t, "a short PIN of a locked role", s.login(role.user, "abc"), cryptoki.CKR_PIN_LEN_RANGE)
		})
	}
}

// A role that locks takes with it what a running server remembers of its PIN.
func TestLockHoldsAgainstRememberedPIN(t *testing.T) {
	b := newHSM(t)
	b.user()
	s := b.app().open(readWrite)
	for range maxTries {
		s.login(cryptoki.CKU_USER, "wrong PIN")
	}
	want(t, "the right PIN", s.login(cryptoki.CKU_USER, coPIN), cryptoki.CKR_PIN_LOCKED)
}

// interruptLogin tries a PIN and restarts the HSM between the first durable step and
// the second.
func (b *box) interruptLogin(pin string) {
	b.t.Helper()
	s := b.app().open(readWrite)
	updates := 0
	cut := func() error {
		if updates++; updates > 1 {
			return errors.New("the plug was pulled")
		}
		return nil
	}
	b.store.onUpdate.Store(&cut)
	want(b.t, "an interrupted login", s.login(cryptoki.CKU_USER, pin), cryptoki.CKR_DEVICE_ERROR)
	if got := s.state(); got != cryptoki.CKS_RW_PUBLIC_SESSION {
		b.t.Errorf("an interrupted login left state %v", got)
	}
	b.restart()
}

// A try whose outcome was lost counts as a wrong one, so that whoever pulls the plug
// before each answer gets no guess for nothing; but a crash alone locks no role.
func TestInterruptedLoginIsCharged(t *testing.T) {
	b := newHSM(t)
	for range maxTries / 2 {
		b.interruptLogin("wrong PIN")
		b.interruptLogin(coPIN)
	}
	b.interruptLogin(coPIN)
	s := b.app().open(readWrite)
	if flags := s.tokenFlags() & userPINFlags; flags != cryptoki.CKF_USER_PIN_COUNT_LOW|cryptoki.CKF_USER_PIN_FINAL_TRY {
		t.Errorf("after %d interrupted logins the flags are %#x", maxTries+1, uint64(flags))
	}
	want(t, "a wrong PIN after them", s.login(cryptoki.CKU_USER, "wrong PIN"), cryptoki.CKR_PIN_LOCKED)
	b.restart()
	want(t, "the right one after that", b.app().open(readWrite).login(cryptoki.CKU_USER, coPIN), cryptoki.CKR_PIN_LOCKED)
}

// After interrupted logins a right PIN still forgives.
func TestRightPINAfterInterruptedLogins(t *testing.T) {
	b := newHSM(t)
	for range 2 * maxTries {
		b.interruptLogin(coPIN)
	}
	s := b.user()
	if flags := s.tokenFlags() & userPINFlags; flags != 0 {
		t.Errorf("the flags are %#x", uint64(flags))
	}
}

// When the count cannot be made durable, the PIN is not looked at.
func TestUncountedLoginIsNoLogin(t *testing.T) {
	b := newHSM(t)
	s := b.app().open(readWrite)
	broken := func() error { return errors.New("the disk is full") }
	b.store.onUpdate.Store(&broken)
	want(t, "the right PIN", s.login(cryptoki.CKU_USER, coPIN), cryptoki.CKR_DEVICE_ERROR)
	want(t, "a wrong PIN", s.login(cryptoki.CKU_USER, "wrong PIN"), cryptoki.CKR_DEVICE_ERROR)
	b.store.onUpdate.Store(nil)
	s.must(s.login(cryptoki.CKU_USER, coPIN))
}

func TestConcurrentLogins(t *testing.T) {
	const applications = 100
	together := func(b *box, pin func(i int) string) map[cryptoki.RV]int {
		var sessions [applications]session
		for i := range sessions {
			sessions[i] = b.app().open(readWrite)
		}
		var mu sync.Mutex
		codes := map[cryptoki.RV]int{}
		var wg sync.WaitGroup
		for i, s := range sessions {
			wg.Go(func() {
				rv := s.login(cryptoki.CKU_USER, pin(i))
				mu.Lock()
				defer mu.Unlock()
				codes[rv]++
			})
		}
		wg.Wait()
		return codes
	}
	t.Run("right ones all succeed", func(t *testing.T) {
		codes := together(newHSM(t), func(int) string { return coPIN })
		if codes[cryptoki.CKR_OK] != applications {
			t.Errorf("%v", codes)
		}
	})
	t.Run("wrong ones never exceed the limit", func(t *testing.T) {
		codes := together(newHSM(t), func(i int) string { return fmt.Sprintf("wrong PIN %d", i) })
		// The last try that is looked at answers CKR_PIN_LOCKED itself.
		if codes[cryptoki.CKR_PIN_INCORRECT] != maxTries-1 || codes[cryptoki.CKR_PIN_LOCKED] != applications-maxTries+1 {
			t.Errorf("%v", codes)
		}
	})
	t.Run("right ones among a few wrong ones", func(t *testing.T) {
		codes := together(newHSM(t), func(i int) string {
			if i%20 == 7 {
				return "wrong PIN"
			}
			return coPIN
		})
		if codes[cryptoki.CKR_OK] != 95 || codes[cryptoki.CKR_PIN_INCORRECT] != 5 {
			t.Errorf("%v", codes)
		}
	})
}

// Threads of one application that log in at once: one is first, the others are told.
func TestConcurrentLoginsOfOneApplication(t *testing.T) {
	b := newHSM(t)
	who := newIdentity()
	b.join(who).open(readWrite)
	var first, others atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		s := b.join(who).open(readWrite)
		wg.Go(func() {
			switch rv := s.login(cryptoki.CKU_USER, coPIN); rv {
			case cryptoki.CKR_OK:
				first.Add(1)
			case cryptoki.CKR_USER_ALREADY_LOGGED_IN:
				others.Add(1)
			default:
				t.Errorf("login: %v", rv)
			}
		})
	}
	wg.Wait()
	if first.Load() != 1 || others.Load() != 15 {
		t.Errorf("%d logins, %d refusals", first.Load(), others.Load())
	}
}

func TestSetPIN(t *testing.T) {
	b := newHSM(t)
	s := b.user()
	_, private := s.pair(true, "kept")
	want(t, "in a read-only session", s.client.open(readOnly).setPIN(coPIN, "new PIN"), cryptoki.CKR_SESSION_READ_ONLY)
	want(t, "a short new PIN", s.setPIN(coPIN, "abc"), cryptoki.CKR_PIN_LEN_RANGE)
	want(t, "a new PIN with a control character", s.setPIN(coPIN, "new\nPIN"), cryptoki.CKR_PIN_INVALID)
	want(t, "a wrong old PIN", s.setPIN("wrong PIN", "new PIN"), cryptoki.CKR_PIN_INCORRECT)
	if s.tokenFlags()&cryptoki.CKF_USER_PIN_COUNT_LOW == 0 {
		t.Error("a wrong old PIN did not count")
	}
	s.must(s.setPIN(coPIN, "new PIN"))
	if flags := s.tokenFlags() & userPINFlags; flags != 0 {
		t.Errorf("flags %#x after the change", uint64(flags))
	}
	for _, when := range []string{"at once", "after a restart"} {
		other := b.app().open(readWrite)
		want(t, "the old PIN "+when, other.login(cryptoki.CKU_USER, coPIN), cryptoki.CKR_PIN_INCORRECT)
		want(t, "the new PIN "+when, other.login(cryptoki.CKU_USER, "new PIN"), cryptoki.CKR_OK)
		if got := other.find(attrs(cryptoki.CKA_CLASS, cryptoki.CKO_PRIVATE_KEY)); len(got) != 1 || got[0] != private {
			t.Errorf("%s the new PIN opens %v, want [%d]", when, got, private)
		}
		b.restart()
	}

	// With nobody logged in it is the Crypto Officer's PIN, with the PO it is his.
	s = b.app().open(readWrite)
	want(t, "as nobody", s.setPIN("new PIN", "newer PIN"), cryptoki.CKR_OK)
	s.must(s.login(cryptoki.CKU_SO, soPIN))
	want(t, "as the PO", s.setPIN(soPIN, "new PIN of the PO"), cryptoki.CKR_OK)
	s.must(s.logout())
	want(t, "the PO's old PIN", s.login(cryptoki.CKU_SO, soPIN), cryptoki.CKR_PIN_INCORRECT)
	s.must(s.login(cryptoki.CKU_SO, "new PIN of the PO"))
	s.must(s.logout())
	s.must(s.login(cryptoki.CKU_USER, "newer PIN"))
}
