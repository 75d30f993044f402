package hsm

import (
	"crypto/fips140"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/keystore/tally"
	"tidelock.dev/tidelock/partition"
	"tidelock.dev/tidelock/seal"
)

// Config is what an HSM needs from the program around it.
type Config struct {
	Store keystore.Store
	// Answers are the root key's factors, in their order; they remain the caller's.
	Answers []secret.Bytes
	Now     func() time.Time
	Log     *slog.Logger
	// Server is what Hello calls the server, for people.
	Server string
	// Memory says, for people, how the process protects its memory; it may be nil.
	Memory func() string
	// Witness may be nil: an old copy of the store is then not noticed.
	Witness Witness
	// AcceptRollback lets an HSM start whose store is older than its witness, which is
	// recorded.
	AcceptRollback bool
	// TicketLife is how long an application's login outlives the server; 0 turns tickets
	// off.
	TicketLife time.Duration
}

// HSM is a running HSM. It is safe for concurrent use.
type HSM struct {
	store    keystore.Store
	audit    *audit.Log
	log      *slog.Logger
	now      func() time.Time
	server   string
	memory   func() string
	key      *seal.HSMKey
	config   partition.Config
	rootKind string
	started  time.Time
	boot     uint64
	witness  witness

	applications applications
	state        atomic.Pointer[state]
	newest       atomic.Pointer[record] // that the store has, for partitions
	refreshing   sync.Mutex             // held while state is replaced
	// acts is held by whoever administers, from the first look that counts to the last change.
	// A lost officer needs nothing of it: the update that counts the PIN is enough.
	acts    sync.Mutex
	numbers numbers
	// serving is held for reading by every call but those of whileUpdating, and by whoever
	// sweeps; a firmware update takes it whole. updating is that update.
	serving  sync.RWMutex
	updating atomic.Pointer[updating]

	sessions      sync.Map // cryptoki.SessionHandle to *openSession
	openSessions  atomic.Int64
	statistics    statistics
	links         atomic.Int64  // that are open
	connects      atomic.Uint64 // that ever were
	tickets       atomic.Int64  // how long they outlive the server
	stopOnce      sync.Once
	stopRequested chan struct{}
}

// openSession is a session with the application that alone may use it.
type openSession struct {
	*partition.Session
	app *application
}

// The keys of the HSM's own records.
var (
	keyHSMKey = []byte("key")
	keyRecord = []byte("record")
	keyBoot   = []byte("boot")
)

// bootBits is what a session handle has room for beside its number.
const bootBits = 24

// sessionBits is the rest of a handle's 63 bits, since some programs keep handles in
// signed numbers.
const sessionBits = 63 - bootBits

// Open starts an HSM from its store. The error of a wrong root key is
// seal.ErrWrongSecret.
func Open(c Config) (*HSM, error) {
	if err := knownAnswers(); err != nil {
		return nil, err
	}
	h := &HSM{
		log: c.Log, now: c.Now, server: c.Server, memory: c.Memory, started: c.Now(),
		applications:  applications{byID: make(map[[16]byte]*application)},
		stopRequested: make(chan struct{}),
	}
	if h.memory == nil {
		h.memory = func() string { return "off" }
	}
	var first record
	err := c.Store.View(func(r keystore.Reader) error {
		wrapped, err := r.Get(keystore.TableHSM, keyHSMKey)
		if err != nil {
			return err
		}
		if wrapped == nil {
			return errors.New("the store holds no HSM: its creation was interrupted, or the HSM's key was lost")
		}
		if h.key, h.rootKind, err = openKey(wrapped, c.Answers); err != nil {
			return err
		}
		first, err = h.readRecord(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	store := tally.New(c.Store, h.key)
	if err := store.Verify(); err != nil {
		return nil, err
	}
	h.store = store
	h.audit = audit.New(audit.Config{Key: h.key, Serial: first.serial, Now: c.Now})
	if err := h.store.View(h.audit.Load); err != nil {
		return nil, err
	}
	h.witness.record, h.witness.mac = c.Witness, h.key.Counters()
	if err := h.begin(c.AcceptRollback); err != nil {
		return nil, err
	}
	h.config = partitionConfig(h.store, h.key, first.mode)
	h.config.Audit = h.audit
	h.SetTicketLife(c.TicketLife)
	h.config.Boot, h.config.Now, h.config.TicketLife = h.boot, c.Now, h.ticketLife
	h.config.HSMPolicies, h.config.Level, h.config.Lost = h.policies, h.level, h.lost
	if err := h.refresh(); err != nil {
		return nil, err
	}
	// An earlier server may have ended while it swept.
	return h, errors.Join(h.sweep(), h.sweepAudit(), h.watchAudit())
}

// openKey opens the HSM's key and says what its root key is made from.
func openKey(wrapped []byte, answers []secret.Bytes) (*seal.HSMKey, string, error) {
	factors, err := seal.RootFactors(wrapped)
	if err != nil {
		return nil, "", fmt.Errorf("the HSM's key: %w", err)
	}
	root, err := seal.NewStretcher(false).RootKEK(factors, answers...)
	if err != nil {
		return nil, "", err
	}
	defer root.Wipe()
	key, err := root.OpenHSMKey(wrapped)
	if err != nil {
		return nil, "", fmt.Errorf("the HSM's key: %w", err)
	}
	kind := "key file"
	if len(factors) != 1 || factors[0].Kind != seal.FactorKeyFile {
		kind = fmt.Sprintf("%d factors", len(factors))
	}
	return key, kind, nil
}

func partitionConfig(store keystore.Store, key *seal.HSMKey, mode Mode) partition.Config {
	cost := seal.DefaultCost
	if mode == ModeTest {
		cost = seal.TestCost
	}
	return partition.Config{
		Store: store, Key: key, Counters: key.Counters(),
		Stretcher: seal.NewStretcher(mode == ModeTest), Verifier: seal.NewVerifier(),
		Cost: cost, Now: time.Now,
	}
}

// begin counts the starts of this HSM, durably: handles and epochs of an earlier
// start must never look like ones of this. Before that it asks the witness.
func (h *HSM) begin(acceptRollback bool) error {
	err := h.store.View(func(r keystore.Reader) (err error) {
		h.boot, err = bootCount(r)
		return err
	})
	if err != nil {
		return err
	}
	detail := ""
	if err := h.witness.check(h, h.boot); err != nil {
		if !acceptRollback || !errors.Is(err, ErrRolledBack) {
			return err
		}
		detail = ", an older store was accepted"
	}
	h.boot++
	err = h.store.Update(func(w keystore.Writer) error {
		if err := w.Put(keystore.TableCounter, keyBoot, binary.BigEndian.AppendUint64(nil, h.boot)); err != nil {
			return err
		}
		return h.audit.Append(w, audit.Record{Event: audit.EventHSMStart, Detail: fmt.Sprintf("start %d%s", h.boot, detail)})
	})
	if err != nil {
		return err
	}
	return h.witness.see(h)
}

func bootCount(r keystore.Reader) (uint64, error) {
	b, err := r.Get(keystore.TableCounter, keyBoot)
	if err != nil || b == nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, errors.New("the count of starts is damaged")
	}
	return binary.BigEndian.Uint64(b), nil
}

// See brings the witness up to date, if there is one. The server calls it every few
// seconds: what an old copy of the store can hide is what happened since.
func (h *HSM) See() error { return h.witness.see(h) }

// Close records that the HSM stops. It is not used afterwards; its store is the
// caller's to close.
func (h *HSM) Close() error {
	err := h.store.Update(func(w keystore.Writer) error {
		return h.audit.Append(w, audit.Record{Event: audit.EventHSMStop})
	})
	if err != nil {
		return err
	}
	return h.witness.see(h)
}

// Failed returns nil while the HSM can serve.
func (h *HSM) Failed() error { return h.store.Failed() }

// Stopped is closed when an authorised caller has asked the server to end.
func (h *HSM) Stopped() <-chan struct{} { return h.stopRequested }

func (h *HSM) stop() { h.stopOnce.Do(func() { close(h.stopRequested) }) }

// Tend does what has to be done every hour or so; not while the firmware is updated. An
// error is the store's.
func (h *HSM) Tend() error {
	if !h.serving.TryRLock() {
		return nil
	}
	defer h.serving.RUnlock()
	errs := []error{h.sweep(), h.sweepAudit(), h.store.Scrub(), h.watchAudit()}
	for _, p := range h.state.Load().partitions {
		errs = append(errs, p.Tend())
	}
	return errors.Join(errs...)
}

// Shutdown says that the server ends: applications whose links end from now on may
// come back to the next one with their tickets.
func (h *HSM) Shutdown() { h.applications.shutdown.Store(true) }

// newSession draws a session handle. Its number is random, so that after a restart
// nobody claims another application's session before its owner is back.
func (h *HSM) newSession() cryptoki.SessionHandle {
	var b [8]byte
	for {
		rand.Read(b[:])
		number := binary.BigEndian.Uint64(b[:]) % (1 << sessionBits)
		handle := cryptoki.SessionHandle(h.boot%(1<<bootBits)<<sessionBits | number)
		if _, taken := h.sessions.Load(handle); !taken {
			return handle
		}
	}
}

// earlier tells whether a session handle was given by an earlier start.
func (h *HSM) earlier(handle cryptoki.SessionHandle) bool {
	boot := uint64(handle) >> sessionBits
	return boot != 0 && boot < 1<<bootBits && boot != h.boot%(1<<bootBits)
}

// owner is the application whose session this is; nil when it is not open.
func (h *HSM) owner(handle cryptoki.SessionHandle) *application {
	if v, ok := h.sessions.Load(handle); ok {
		return v.(*openSession).app
	}
	return nil
}

func (h *HSM) remember(s *partition.Session, app *application) {
	if _, known := h.sessions.LoadOrStore(s.Handle, &openSession{s, app}); !known {
		h.openSessions.Add(1)
	}
	// Another thread of the application may have closed all its sessions meanwhile.
	if s.Closed() {
		h.forget(s.Handle)
	}
}

func (h *HSM) forget(handle cryptoki.SessionHandle) {
	if _, open := h.sessions.LoadAndDelete(handle); open {
		h.openSessions.Add(-1)
	}
}

// session finds a session of the application; nil when it is nobody's or somebody
// else's.
func (h *HSM) session(handle cryptoki.SessionHandle, app *application) *partition.Session {
	v, ok := h.sessions.Load(handle)
	if !ok || v.(*openSession).app != app {
		return nil
	}
	return v.(*openSession).Session
}

func (h *HSM) sessionCount() uint64 { return uint64(h.openSessions.Load()) }

// approved says whether the cryptographic module is in its FIPS 140-3 mode.
func approved() string {
	if !fips140.Enabled() {
		return "off"
	}
	return "on, " + fips140.Version()
}
