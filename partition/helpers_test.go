package partition_test

import (
	"testing"
	"time"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/keystore/memstore"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/seal"
)

// world is a store with one partition in it, and what a partition asks its HSM for.
type world struct {
	t        *testing.T
	config   partition.Config
	policies policy.Set
	now      time.Time
	// lost are the roles whose limit was reached.
	lost []partition.Role
	p    *partition.Partition
	next partition.ID
	last cryptoki.SessionHandle
}

const (
	officerPIN = "officer's pin"
	initialPIN = "initial pin"
	ownerPIN   = "owner's pin"
	userPIN    = "user's pin"
	wrongPIN   = "not the pin"
)

// newWorld has an uninitialised partition of a size, under HSM policies.
func newWorld(t *testing.T, size uint64, policies map[policy.ID]uint64) *world {
	t.Helper()
	w := &world{t: t, now: time.Unix(1_800_000_000, 0), next: 1}
	for id, value := range policies {
		w.policies = w.policies.With(id, value)
	}
	store, key := memstore.New(), seal.NewHSMKey()
	log := audit.New(audit.Config{Key: key, Serial: "1", Now: func() time.Time { return w.now }})
	w.config = partition.Config{
		Store: store, Key: key, Counters: key.Counters(), Stretcher: seal.NewStretcher(true), Verifier: seal.NewVerifier(),
		Audit: log, Cost: seal.TestCost, Boot: 1, Now: func() time.Time { return w.now },
		HSMPolicies: func() policy.Set { return w.policies }, Level: func() firmware.Level { return firmware.Newest },
		Lost: func(_ keystore.Writer, _ *partition.Partition, role partition.Role) (func(), error) {
			w.lost = append(w.lost, role)
			return nil, nil
		},
	}
	w.update(func(u keystore.Writer) error { return log.Create(u, audit.Actor{}) })
	w.update(func(u keystore.Writer) error {
		return partition.Create(u, w.config, 1, partition.Identity{Label: "new", Serial: "0000000000001", Size: size})
	})
	w.open()
	return w
}

func (w *world) update(fn func(keystore.Writer) error) {
	w.t.Helper()
	if err := w.config.Store.Update(fn); err != nil {
		w.t.Fatal(err)
	}
}

// open reads the partition from the store, as a restart does.
func (w *world) open() {
	w.t.Helper()
	p, err := partition.Open(w.config, w.next)
	if err != nil {
		w.t.Fatal(err)
	}
	w.p = p
}

// initialize is C_InitToken and what the HSM does about it.
func (w *world) initialize(label, pin string) error {
	i := w.p.Identity()
	i.Label = label
	d, err := w.p.Initialize(partition.Actor{}, w.next+1, i, bytes(pin), secret.Bytes{})
	if err != nil {
		return err
	}
	old := w.p
	w.update(func(u keystore.Writer) error {
		if err := d.Write(u); err != nil {
			return err
		}
		_, err := partition.Erase(u, old.ID())
		return err
	})
	old.Retire()
	w.next++
	w.open()
	return nil
}

func bytes(s string) secret.Bytes { return secret.Copy([]byte(s)) }

// session opens a read-write session of a new application.
func (w *world) session() *partition.Session {
	w.t.Helper()
	w.last++
	m := w.p.Join(partition.Actor{Application: uint64(w.last)})
	s, err := w.p.Open(m, w.last, 0, true, func() {})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// login is a session of a new application that is logged in.
func (w *world) login(user cryptoki.UserType, pin string) *partition.Session {
	w.t.Helper()
	s := w.session()
	if _, err := s.Login(user, bytes(pin)); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// code checks the code of an error.
func code(t *testing.T, err error, want cryptoki.RV) {
	t.Helper()
	if err == nil && want == cryptoki.CKR_OK {
		return
	}
	if err == nil || cryptoki.Code(err) != want {
		t.Errorf("got %v, want %v", err, want)
	}
}

// data is the template of a token object with a value of n bytes.
func data(private bool, n int) cryptoki.Template {
	return cryptoki.Template{
		{Type: cryptoki.CKA_CLASS, Value: cryptoki.ULong(uint64(cryptoki.CKO_DATA))},
		{Type: cryptoki.CKA_TOKEN, Value: cryptoki.Bool(true)},
		{Type: cryptoki.CKA_PRIVATE, Value: cryptoki.Bool(private)},
		{Type: cryptoki.CKA_VALUE, Value: make([]byte, n)},
	}
}

// ready has an initialised partition with a Crypto Officer whose PIN is his own.
func ready(t *testing.T, size uint64, policies map[policy.ID]uint64) *world {
	t.Helper()
	w := newWorld(t, size, policies)
	if err := w.initialize("ready", officerPIN); err != nil {
		t.Fatal(err)
	}
	po := w.login(cryptoki.CKU_SO, officerPIN)
	if err := po.InitRole(cryptoki.CKU_USER, bytes(initialPIN)); err != nil {
		t.Fatal(err)
	}
	po.Close()
	co := w.login(cryptoki.CKU_USER, initialPIN)
	if err := co.SetPIN(bytes(initialPIN), bytes(ownerPIN)); err != nil {
		t.Fatal(err)
	}
	co.Close()
	return w
}
