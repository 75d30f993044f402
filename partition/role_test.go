package partition_test

import (
	"testing"
	"time"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
)

// Policy 21 as the hardware's default has it.
var forced = map[policy.ID]uint64{policy.ForcePINChange: 1}

func TestInitialPIN(t *testing.T) {
	w := newWorld(t, 1<<20, forced)
	if err := w.initialize("p", officerPIN); err != nil {
		t.Fatal(err)
	}
	po := w.login(cryptoki.CKU_SO, officerPIN)
	code(t, po.InitRole(cryptoki.CKU_USER, bytes("short")), cryptoki.CKR_PIN_LEN_RANGE)
	code(t, po.InitRole(cryptoki.CKU_CRYPTO_USER, bytes(initialPIN)), cryptoki.CKR_USER_NOT_LOGGED_IN)
	code(t, po.InitRole(cryptoki.CKU_LIMITED_CRYPTO_OFFICER, bytes(initialPIN)), cryptoki.CKR_USER_PIN_NOT_INITIALIZED)
	code(t, po.InitRole(cryptoki.CKU_SO, bytes(initialPIN)), cryptoki.CKR_USER_TYPE_INVALID)
	code(t, po.ResetRole(cryptoki.CKU_USER, bytes(initialPIN)), cryptoki.CKR_USER_PIN_NOT_INITIALIZED)
	code(t, po.InitRole(cryptoki.CKU_USER, bytes(initialPIN)), cryptoki.CKR_OK)
	code(t, po.InitRole(cryptoki.CKU_USER, bytes(ownerPIN)), cryptoki.CKR_ACTION_PROHIBITED)
	code(t, po.ResetRole(cryptoki.CKU_USER, bytes(ownerPIN)), cryptoki.CKR_ACTION_PROHIBITED)

	co := w.login(cryptoki.CKU_USER, initialPIN)
	if !co.Expired() {
		t.Error("an initial PIN need not be changed")
	}
	code(t, co.Authorized(partition.RoleCryptoOfficer), cryptoki.CKR_PIN_EXPIRED)
	flags, err := w.p.TokenFlags()
	if err != nil || flags&cryptoki.CKF_USER_PIN_TO_BE_CHANGED == 0 {
		t.Errorf("token flags %#x, %v", uint64(flags), err)
	}
	code(t, co.SetPIN(bytes(initialPIN), bytes(ownerPIN)), cryptoki.CKR_OK)
	code(t, co.Authorized(partition.RoleCryptoOfficer), cryptoki.CKR_OK)
	// The key over private values was born with the new PIN, and is the same for all.
	h, err := co.Create(partition.Token{}, data(true, 20))
	if err != nil {
		t.Fatal(err)
	}
	if flags, _ := w.p.TokenFlags(); flags&cryptoki.CKF_USER_PIN_TO_BE_CHANGED != 0 {
		t.Error("the flag stays when the PIN was changed")
	}
	co.Close()
	w.open()
	again := w.login(cryptoki.CKU_USER, ownerPIN)
	if _, err := again.Size(h); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

func TestCryptoUser(t *testing.T) {
	w := ready(t, 1<<20, forced)
	co := w.login(cryptoki.CKU_USER, ownerPIN)
	h, err := co.Create(partition.Token{}, data(true, 20))
	if err != nil {
		t.Fatal(err)
	}
	code(t, co.InitRole(cryptoki.CKU_CRYPTO_USER, bytes(initialPIN)), cryptoki.CKR_OK)
	co.Close()
	w.open()
	cu := w.login(cryptoki.CKU_CRYPTO_USER, initialPIN)
	if !cu.Expired() {
		t.Error("an initial PIN need not be changed")
	}
	code(t, cu.SetPIN(bytes(initialPIN), bytes(userPIN)), cryptoki.CKR_OK)
	if _, err := cu.Size(h); err != nil {
		t.Errorf("the Crypto User does not see a private object: %v", err)
	}
	if _, err := cu.Create(partition.Token{}, data(true, 20)); cryptoki.Code(err) != cryptoki.CKR_USER_NOT_LOGGED_IN {
		t.Errorf("the Crypto User writes: %v", err)
	}
	public, err := cu.Create(partition.Token{}, data(false, 20))
	if err != nil {
		t.Errorf("the Crypto User makes no public object: %v", err)
	}
	code(t, cu.Destroy(public), cryptoki.CKR_USER_NOT_LOGGED_IN)
	code(t, cu.SetAttributes(public, cryptoki.Template{{Type: cryptoki.CKA_LABEL, Value: []byte("x")}}), cryptoki.CKR_USER_NOT_LOGGED_IN)
	code(t, cu.Destroy(h), cryptoki.CKR_USER_NOT_LOGGED_IN)
	code(t, cu.InitRole(cryptoki.CKU_CRYPTO_USER, bytes(initialPIN)), cryptoki.CKR_USER_NOT_LOGGED_IN)
	cu.Close()
	// The Crypto Officer resets him whatever policy 15 says.
	co = w.login(cryptoki.CKU_USER, ownerPIN)
	code(t, co.ResetRole(cryptoki.CKU_CRYPTO_USER, bytes(initialPIN)), cryptoki.CKR_OK)
	co.Close()
	if cu := w.login(cryptoki.CKU_CRYPTO_USER, initialPIN); !cu.Expired() {
		t.Error("a PIN that was reset need not be changed")
	}
}

// A reset voids the tickets of logins with the old PIN.
func TestResetVoidsTickets(t *testing.T) {
	w := ready(t, 1<<20, nil)
	w.config.TicketLife = func() time.Duration { return time.Hour }
	w.open()
	co := w.login(cryptoki.CKU_USER, ownerPIN)
	code(t, co.InitRole(cryptoki.CKU_CRYPTO_USER, bytes(userPIN)), cryptoki.CKR_OK)
	for _, reset := range []bool{false, true} {
		w.last++
		actor := partition.Actor{Application: uint64(w.last), ID: [16]byte{byte(w.last)}}
		open := func() (*partition.Member, *partition.Session) {
			m := w.p.Join(actor)
			s, err := w.p.Open(m, w.last, 0, true, func() {})
			if err != nil {
				t.Fatal(err)
			}
			return m, s
		}
		m, s := open()
		ticket, err := s.Login(cryptoki.CKU_CRYPTO_USER, bytes(userPIN))
		if err != nil || ticket.Len() == 0 {
			t.Fatalf("no ticket: %v", err)
		}
		if reset {
			code(t, co.ResetRole(cryptoki.CKU_CRYPTO_USER, bytes(userPIN)), cryptoki.CKR_OK)
		}
		m.Leave(true)
		m, _ = open()
		if resumed, err := m.Resume(ticket); err != nil || resumed == reset {
			t.Errorf("reset %v: resumed %v, %v", reset, resumed, err)
		}
	}
}

// With HSM policy 15 the Partition SO can give a locked Crypto Officer a new PIN, and
// what he keeps survives that.
func TestResetByOfficer(t *testing.T) {
	w := ready(t, 1<<20, map[policy.ID]uint64{policy.ForcePINChange: 1, policy.ResetPIN: 1})
	co := w.login(cryptoki.CKU_USER, ownerPIN)
	h, err := co.Create(partition.Token{}, data(true, 20))
	if err != nil {
		t.Fatal(err)
	}
	co.Close()
	s := w.session()
	for i := range 10 {
		_, err := s.Login(cryptoki.CKU_USER, bytes(wrongPIN))
		want := cryptoki.CKR_PIN_INCORRECT
		if i == 9 {
			want = cryptoki.CKR_PIN_LOCKED
		}
		code(t, err, want)
	}
	s.Close()
	po := w.login(cryptoki.CKU_SO, officerPIN)
	code(t, po.ResetRole(cryptoki.CKU_USER, bytes(initialPIN)), cryptoki.CKR_OK)
	po.Close()
	co = w.login(cryptoki.CKU_USER, initialPIN)
	code(t, co.SetPIN(bytes(initialPIN), bytes(userPIN)), cryptoki.CKR_OK)
	if _, err := co.Size(h); err != nil {
		t.Errorf("the object is lost: %v", err)
	}
	if len(w.lost) != 0 {
		t.Errorf("the HSM was told of %v", w.lost)
	}
}

func TestLimits(t *testing.T) {
	w := ready(t, 1<<20, forced)
	wrong := func(user cryptoki.UserType) error {
		s := w.session()
		defer s.Close()
		_, err := s.Login(user, bytes(wrongPIN))
		return err
	}
	i := w.p.Identity()
	i.Policies = i.Policies.With(policy.MaxFailedLogins, 3)
	w.p.Adopt(i)
	code(t, wrong(cryptoki.CKU_USER), cryptoki.CKR_PIN_INCORRECT)
	code(t, wrong(cryptoki.CKU_USER), cryptoki.CKR_PIN_INCORRECT)
	if flags, _ := w.p.TokenFlags(); flags&cryptoki.CKF_USER_PIN_FINAL_TRY == 0 {
		t.Error("the final try does not show")
	}
	code(t, wrong(cryptoki.CKU_USER), cryptoki.CKR_PIN_LOCKED)
	state, err := w.p.RoleState(cryptoki.CKU_USER)
	if err != nil || !state.Locked || state.AttemptsLeft != 0 || state.Flags() != 0x03 {
		t.Errorf("the state is %+v, %v", state, err)
	}
	w.now = w.now.Add(1000 * time.Hour)
	code(t, wrong(cryptoki.CKU_USER), cryptoki.CKR_PIN_LOCKED)

	for range 9 {
		code(t, wrong(cryptoki.CKU_SO), cryptoki.CKR_PIN_INCORRECT)
	}
	if len(w.lost) != 0 {
		t.Fatalf("the HSM was told of %v too early", w.lost)
	}
	code(t, wrong(cryptoki.CKU_SO), cryptoki.CKR_PIN_LOCKED)
	if len(w.lost) != 1 || w.lost[0] != partition.RolePartitionSO {
		t.Errorf("the HSM was told of %v", w.lost)
	}
}

// A lock is for good: a limit that is raised again opens nothing, whether the role was locked
// by a wrong PIN or by the limit's coming down to what had been wrong.
func TestRaisedLimit(t *testing.T) {
	for _, c := range []struct {
		what  string
		tries int // before the limit goes down to 3
		then  []cryptoki.RV
	}{
		{"by a wrong PIN", 0, []cryptoki.RV{cryptoki.CKR_PIN_INCORRECT, cryptoki.CKR_PIN_INCORRECT, cryptoki.CKR_PIN_LOCKED}},
		{"by the limit", 4, nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := ready(t, 1<<20, map[policy.ID]uint64{policy.ResetPIN: 1})
			try := func(pin string) error {
				s := w.session()
				defer s.Close()
				_, err := s.Login(cryptoki.CKU_USER, bytes(pin))
				return err
			}
			limit := func(n uint64) {
				i := w.p.Identity()
				i.Policies = i.Policies.With(policy.MaxFailedLogins, n)
				w.update(func(u keystore.Writer) error { return w.p.SetIdentity(u, i) })
				w.p.Adopt(i)
			}
			limit(10)
			for range c.tries {
				code(t, try(wrongPIN), cryptoki.CKR_PIN_INCORRECT)
			}
			limit(3)
			for _, want := range c.then {
				code(t, try(wrongPIN), want)
			}
			limit(10)
			w.open()
			code(t, try(ownerPIN), cryptoki.CKR_PIN_LOCKED)
			if s, err := w.p.RoleState(cryptoki.CKU_USER); err != nil || !s.Locked || s.AttemptsLeft != 0 {
				t.Errorf("the state is %+v, %v", s, err)
			}
			po := w.login(cryptoki.CKU_SO, officerPIN)
			code(t, po.ResetRole(cryptoki.CKU_USER, bytes(userPIN)), cryptoki.CKR_OK)
			po.Close()
			code(t, try(userPIN), cryptoki.CKR_OK)
		})
	}
}

// Changes count against the room for session objects as creations do.
func TestSessionObjectsGrow(t *testing.T) {
	w := ready(t, 1<<20, forced)
	co := w.login(cryptoki.CKU_USER, ownerPIN)
	value := func(n int) cryptoki.Template {
		return cryptoki.Template{{Type: cryptoki.CKA_VALUE, Value: make([]byte, n)}}
	}
	class := cryptoki.Attribute{Type: cryptoki.CKA_CLASS, Value: cryptoki.ULong(uint64(cryptoki.CKO_DATA))}
	small, err := co.Create(partition.Token{}, append(value(16), class))
	for err == nil {
		_, err = co.Create(partition.Token{}, append(value(1<<16), class))
	}
	code(t, err, cryptoki.CKR_DEVICE_MEMORY)
	code(t, co.SetAttributes(small, value(1<<16)), cryptoki.CKR_DEVICE_MEMORY)
	code(t, co.SetAttributes(small, value(17)), cryptoki.CKR_OK)
}
