package hsm_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/keystore/memstore"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/wire"
)

const auPIN = "the auditor"

// auditor is a session with the Auditor logged in, who is made where there is none.
func (b *box) auditor() session {
	b.t.Helper()
	s := b.joinAs(administrator).openSlot(wire.AdminSlot)
	if rv := s.initRole(cryptoki.CKU_AUDIT, auPIN); rv != cryptoki.CKR_ACTION_PROHIBITED {
		s.must(rv)
	}
	s.must(s.login(cryptoki.CKU_AUDIT, auPIN))
	return s
}

func (s session) setAudit(classes audit.Classes, limit uint64) cryptoki.RV {
	return s.do(wire.CallSetAuditSettings, &wire.SetAuditSettingsRequest{Classes: uint32(classes), Limit: limit}, &wire.SetAuditSettingsReply{})
}

func (c *client) auditSettings() audit.Settings {
	c.t.Helper()
	var p wire.AuditSettingsReply
	c.must(c.call(wire.CallAuditSettings, 0, &wire.AuditSettingsRequest{}, &p))
	return audit.Settings{Classes: audit.Classes(p.Classes), Limit: p.Limit}
}

func (s session) exportAudit() (segment string, rv cryptoki.RV) {
	var p wire.AuditExportReply
	rv = s.do(wire.CallAuditExport, &wire.AuditExportRequest{}, &p)
	return p.Segment, rv
}

func (s session) clearAudit(segment string) cryptoki.RV {
	return s.do(wire.CallAuditClear, &wire.AuditClearRequest{Segment: segment}, &wire.AuditClearReply{})
}

func (s session) logExternal(text string) cryptoki.RV {
	return s.do(wire.CallLogExternal, &wire.LogExternalRequest{Text: []byte(text)}, &wire.LogExternalReply{})
}

// newestEntry reads the newest entry of the log.
func (c *client) newestEntry() audit.Entry {
	c.t.Helper()
	p, rv := c.readAudit(0, 0)
	c.must(rv)
	if p, rv = c.readAudit(p.Newest, 1); rv != cryptoki.CKR_OK {
		c.t.Fatal(rv)
	}
	e, err := audit.ParseEntry([]byte(p.Entries[0]))
	if err != nil {
		c.t.Fatal(err)
	}
	return e
}

// testAuditor makes every call of the Auditor once.
func (b *box) testAuditor(saw func(wire.Call)) {
	b.t.Helper()
	au := b.auditor()
	au.saw = saw
	want := audit.Settings{Classes: audit.AllClasses &^ audit.ClassAccess, Limit: 1000}
	au.must(au.setAudit(want.Classes, want.Limit))
	if got := au.auditSettings(); got != want {
		b.t.Errorf("the settings are %v, want %v", got, want)
	}
	e := au.newestEntry()
	if e.Record.Event != audit.EventLogConfig || e.Record.Actor.Role != audit.RoleAuditor || e.Record.Actor.UID != administrator.UID {
		b.t.Errorf("the newest entry is %v", e)
	}
	au.must(au.logExternal("closing time\n"))
	if e = au.newestEntry(); e.Record.Event != audit.EventExternal || e.Record.Detail != "closing time\uFFFD" || e.Record.Actor.Role != audit.RoleAuditor {
		b.t.Errorf("the newest entry is %v", e)
	}
	segment, rv := au.exportAudit()
	au.must(rv)
	au.must(au.clearAudit(segment))
	if e = au.newestEntry(); e.Record.Event != audit.EventLogClear {
		b.t.Errorf("the newest entry is %v", e)
	}
	var info wire.HSMInfoReply
	au.must(au.call(wire.CallHSMInfo, 0, &wire.HSMInfoRequest{}, &info))
	if info.AuditEntries != 1 || info.AuditLimit != 1000 {
		b.t.Errorf("the log has %d of %d entries", info.AuditEntries, info.AuditLimit)
	}
	var sound wire.AuditVerifyReply
	au.must(au.call(wire.CallAuditVerify, 0, &wire.AuditVerifyRequest{}, &sound))
	if !sound.Sound || sound.Oldest != e.Sequence || sound.Newest != e.Sequence {
		b.t.Errorf("the audit log: %+v", sound)
	}
}

// The Auditor alone sets what is logged, exports and clears; the HSM SO does not.
func TestOnlyTheAuditorSets(t *testing.T) {
	b := newHSM(t)
	au := b.auditor()
	segment, rv := au.exportAudit()
	au.must(rv)
	none := b.joinAs(administrator).openSlot(wire.AdminSlot)
	before := au.newestEntry()
	for name, s := range map[string]session{"nobody": none, "the HSM SO": b.officer(), "the Crypto Officer": b.user()} {
		if name != "nobody" {
			before.Sequence++ // the login
		}
		want(t, name+" sets", s.setAudit(audit.AlwaysRecorded, 1000), cryptoki.CKR_USER_NOT_LOGGED_IN)
		_, rv := s.exportAudit()
		want(t, name+" exports", rv, cryptoki.CKR_USER_NOT_LOGGED_IN)
		want(t, name+" clears", s.clearAudit(segment), cryptoki.CKR_USER_NOT_LOGGED_IN)
	}
	if after := au.newestEntry(); after.Sequence != before.Sequence {
		t.Errorf("the newest entry was %v and is %v", before, after)
	}
	stranger := b.app()
	want(t, "a stranger reads the settings", stranger.call(wire.CallAuditSettings, 0, &wire.AuditSettingsRequest{}, &wire.AuditSettingsReply{}), cryptoki.CKR_ACTION_PROHIBITED)
	want(t, "a limit of nothing", au.setAudit(audit.DefaultClasses, 0), cryptoki.CKR_ARGUMENTS_BAD)
	want(t, "a class that is not there", au.setAudit(1<<31, 1000), cryptoki.CKR_ARGUMENTS_BAD)
	want(t, "no segment", au.clearAudit("{}"), cryptoki.CKR_ARGUMENTS_BAD)
	au.must(au.clearAudit(segment))
	want(t, "a second time", au.clearAudit(segment), cryptoki.CKR_ARGUMENTS_BAD)
}

// What the Auditor sets, and has cleared, survives an update of the firmware, a restart and
// a zeroization; a factory reset takes what he sets with him.
func TestAuditSettingsLast(t *testing.T) {
	b := newHSMLike(t, hsm.Development{Level: before77})
	au := b.auditor()
	mine := audit.Settings{Classes: audit.AlwaysRecorded | audit.ClassFirst, Limit: 777}
	au.must(au.setAudit(mine.Classes, mine.Limit))
	segment, rv := au.exportAudit()
	au.must(rv)
	au.must(au.clearAudit(segment))
	oldest := au.newestEntry().Sequence
	au.must(only(b.officer().updateFirmware("7.8.0")))
	c := b.joinAs(administrator)
	if got := c.auditSettings(); got != mine {
		t.Errorf("after an update: %v", got)
	}
	b.restart()
	c = b.joinAs(administrator)
	var sound wire.AuditVerifyReply
	c.must(c.call(wire.CallAuditVerify, 0, &wire.AuditVerifyRequest{}, &sound))
	if !sound.Sound || sound.Oldest != oldest {
		t.Errorf("after an update and a restart: %+v, the log began with %d", sound, oldest)
	}
	if got := c.auditSettings(); got != mine {
		t.Errorf("after a restart: %v", got)
	}
	c.must(c.zeroize())
	if got := c.auditSettings(); got != mine {
		t.Errorf("after a zeroization: %v", got)
	}
	c.must(c.factoryReset())
	if got := c.auditSettings(); got != (audit.Settings{Classes: audit.DefaultClasses, Limit: audit.DefaultLimit}) {
		t.Errorf("after a factory reset: %v", got)
	}
}

// fill makes the log full of an application's texts.
func (b *box) fill() {
	b.t.Helper()
	au, user := b.auditor(), b.user()
	au.must(au.setAudit(audit.AllClasses, audit.MinLimit))
	for {
		switch rv := user.logExternal("more"); rv {
		case cryptoki.CKR_OK:
		case cryptoki.CKR_LOG_FULL:
			return
		default:
			b.t.Fatal(rv)
		}
	}
}

// While the log is full there are logins, logouts, sessions and the Auditor's way out, and
// nothing else: of every call there is.
func TestFullLog(t *testing.T) {
	b := newHSM(t)
	user := b.user()
	key := user.aesKey(true, "key")
	b.fill()
	for range 2 {
		_, rv := user.fused(mech.Encrypt, cryptoki.New(cryptoki.CKM_AES_ECB), key, make([]byte, 16), nil, anyRoom)
		want(t, "a key is used", rv, cryptoki.CKR_LOG_FULL)
		_, rv = user.page(nil, 0, 9)
		want(t, "a search", rv, cryptoki.CKR_LOG_FULL)
		want(t, "a destruction", user.destroy(key), cryptoki.CKR_LOG_FULL)
		so := b.officer()
		want(t, "a policy", only(so.setHSMPolicy(15, 1, false)), cryptoki.CKR_LOG_FULL)
		want(t, "a zeroization", so.zeroize(), cryptoki.CKR_LOG_FULL)
		want(t, "a role of a partition", user.initRole(cryptoki.CKU_CRYPTO_USER, coPIN), cryptoki.CKR_LOG_FULL)
		want(t, "a wrong PIN", b.app().open(readWrite).login(cryptoki.CKU_USER, "not the pin"), cryptoki.CKR_PIN_INCORRECT)
		another := b.user()
		another.must(another.logout())
		another.must(another.close())
		so.must(so.logout())
		// It lasts over a restart, under which applications come back.
		b.restart()
		user = b.user()
	}
	// All that is refused is refused for that.
	passing := map[wire.Call]bool{
		wire.CallHello: true, wire.CallGoodbye: true, wire.CallSlotList: true, wire.CallSlotInfo: true, wire.CallTokenInfo: true,
		wire.CallOpenSession: true, wire.CallCloseSession: true, wire.CallCloseAllSessions: true, wire.CallSessionInfo: true,
		wire.CallLogin: true, wire.CallLogout: true, wire.CallResume: true, wire.CallInitRole: true,
		wire.CallHSMInfo: true, wire.CallPartitionList: true, wire.CallRoleState: true, wire.CallStop: true,
		wire.CallAuditRead: true, wire.CallAuditVerify: true, wire.CallAuditCheckpoint: true,
		wire.CallAuditSettings: true, wire.CallSetAuditSettings: true, wire.CallAuditExport: true, wire.CallAuditClear: true,
	}
	for _, call := range wire.Calls() {
		rv := b.app().call(call, 0xdead, call.NewRequest(), call.NewReply())
		if rv != cryptoki.CKR_FUNCTION_NOT_SUPPORTED && (rv == cryptoki.CKR_LOG_FULL) == passing[call] {
			t.Errorf("%v: %v", call, rv)
		}
	}
	au := b.auditor()
	segment, rv := au.exportAudit()
	au.must(rv)
	au.must(au.clearAudit(segment))
	_, rv = user.fused(mech.Encrypt, cryptoki.New(cryptoki.CKM_AES_ECB), key, make([]byte, 16), nil, anyRoom)
	want(t, "a key is used again", rv, cryptoki.CKR_OK)
}

// An operator is warned before the log is full, by a server that starts with such a log too.
func TestFullLogIsForetold(t *testing.T) {
	b := newHSM(t)
	var said bytes.Buffer
	start := func() {
		if err := b.store.Close(); err != nil {
			t.Fatal(err)
		}
		b.store = &interposed{Store: memstore.Open(b.disk)}
		var err error
		b.HSM, err = hsm.Open(hsm.Config{
			Store: b.store, Answers: []secret.Bytes{b.rootKey}, Now: func() time.Time { return b.clock }, Log: slog.New(slog.NewTextHandler(&said, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	start()
	if said.Len() != 0 {
		t.Fatalf("at the first start: %q", said.String())
	}
	au := b.auditor()
	au.must(au.setAudit(audit.AllClasses, audit.MinLimit))
	for entries := b.info(au.client).AuditEntries; entries < audit.MinLimit; entries++ {
		if err := b.Tend(); err != nil {
			t.Fatal(err)
		}
		if warned := strings.Contains(said.String(), "audit rotate"); warned != (entries >= audit.MinLimit/4*3) {
			t.Fatalf("with %d of %d entries: %q", entries, audit.MinLimit, said.String())
		}
		said.Reset()
		au.must(au.logExternal("more"))
	}
	start()
	if !strings.Contains(said.String(), "audit rotate") {
		t.Errorf("started with a full log: %q", said.String())
	}
}

// Wrong PINs cost what they cost while the log is full, too.
func TestFullLogLocks(t *testing.T) {
	b := newHSM(t)
	b.fill()
	s := b.joinAs(administrator).openSlot(wire.AdminSlot)
	for _, rv := range []cryptoki.RV{cryptoki.CKR_PIN_INCORRECT, cryptoki.CKR_PIN_INCORRECT, cryptoki.CKR_PIN_LOCKED} {
		want(t, "a wrong PIN of the HSM SO", s.login(cryptoki.CKU_SO, "not the pin"), rv)
	}
	if info := b.info(b.joinAs(administrator)); info.State != hsm.StateZeroized.String() {
		t.Errorf("the HSM is %s", info.State)
	}
}

// noted is a witness in memory.
type noted struct{ record []byte }

func (n *noted) Read() ([]byte, error)   { return n.record, nil }
func (n *noted) Write(b []byte) error    { n.record = append([]byte(nil), b...); return nil }
func (n *noted) copied() (record []byte) { return append(record, n.record...) }

// A witness does not lose the log's trace when it is cleared; one that was put back from
// before cannot be compared, and the HSM does not start unasked.
func TestClearingUnderAWitness(t *testing.T) {
	b := newHSM(t)
	if err := b.store.Close(); err != nil {
		t.Fatal(err)
	}
	witness := new(noted)
	open := func(accept bool) (*hsm.HSM, error) {
		b.store = &interposed{Store: memstore.Open(b.disk)}
		return hsm.Open(hsm.Config{
			Store: b.store, Answers: []secret.Bytes{b.rootKey}, Now: func() time.Time { return b.clock },
			Log: slog.New(slog.DiscardHandler), Witness: witness, AcceptRollback: accept,
		})
	}
	var err error
	if b.HSM, err = open(false); err != nil {
		t.Fatal(err)
	}
	early := witness.copied()
	au := b.auditor()
	segment, rv := au.exportAudit()
	au.must(rv)
	au.must(au.clearAudit(segment)) // and no look at the witness behind it
	if err := b.store.Close(); err != nil {
		t.Fatal(err)
	}
	if b.HSM, err = open(false); err != nil {
		t.Fatalf("after a crash behind the clearing: %v", err)
	}
	if err := b.store.Close(); err != nil {
		t.Fatal(err)
	}
	witness.record = early
	if _, err := open(false); !errors.Is(err, hsm.ErrRolledBack) || !strings.Contains(err.Error(), "cleared") {
		t.Errorf("with a witness from before: %v", err)
	}
	if err := b.store.Close(); err != nil {
		t.Fatal(err)
	}
	if b.HSM, err = open(true); err != nil {
		t.Error(err)
	}
}

// A server that ends between any two writes of a clearing leaves a log that holds, cleared
// or not, and the next start removes what is left.
func TestInterruptedClearing(t *testing.T) {
	stop := errors.New("stop")
	outcomes := make(map[bool]int)
	for updates := 0; ; updates++ {
		b := newHSM(t)
		au := b.auditor()
		segment, rv := au.exportAudit()
		au.must(rv)
		left := updates
		refuse := func() error {
			if left--; left < 0 {
				return stop
			}
			return nil
		}
		b.store.onUpdate.Store(&refuse)
		rv = au.clearAudit(segment)
		b.restart()
		c := b.joinAs(administrator)
		var sound wire.AuditVerifyReply
		c.must(c.call(wire.CallAuditVerify, 0, &wire.AuditVerifyRequest{}, &sound))
		if !sound.Sound {
			t.Errorf("after %d updates: %+v", updates, sound)
		}
		if n := b.auditRecords(); n != sound.Newest+1-sound.Oldest {
			t.Errorf("after %d updates %d entries lie in the store: %+v", updates, n, sound)
		}
		cleared := sound.Oldest > 1
		outcomes[cleared]++
		if rv == cryptoki.CKR_OK {
			if !cleared {
				t.Error("the clearing was lost")
			}
			break
		}
	}
	if outcomes[false] == 0 || outcomes[true] < 2 {
		t.Errorf("the cuts were not where they should be: %v", outcomes)
	}
}

// auditRecords is how many entries lie in the store.
func (b *box) auditRecords() (n uint64) {
	b.t.Helper()
	err := b.store.View(func(r keystore.Reader) error {
		return r.Scan(keystore.TableAudit, nil, nil, func(_, _ []byte) (bool, error) { n++; return true, nil })
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// A use of a guarded key is in the log, by the one who used it.
func TestUseIsLogged(t *testing.T) {
	b := version1HSM(t)
	au := b.auditor()
	au.must(au.setAudit(audit.AlwaysRecorded, audit.DefaultLimit))
	s := b.user()
	key := s.guardedKey()
	s.must(s.authorize(key, keyData))
	s.must(s.encrypt(key))
	e := au.newestEntry().Record
	if e.Event != audit.EventKeyUse || e.Result != cryptoki.CKR_OK || uint64(e.Object) != key || e.Detail != "encrypt" ||
		e.Actor.Role != audit.RoleCryptoOfficer || e.Actor.Application != s.application || e.Partition == 0 {
		t.Errorf("the newest entry is %+v", e)
	}
}
