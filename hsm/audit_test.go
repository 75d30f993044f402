package hsm_test

import (
	"slices"
	"testing"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/wire"
)

// owner is a caller who runs as the server's user.
var owner = hsm.Caller{Link: local.Link, UID: local.UID, PID: local.PID, Owner: true}

func (c *client) readAudit(from uint64, limit uint32) (p wire.AuditReadReply, rv cryptoki.RV) {
	c.t.Helper()
	rv = c.call(wire.CallAuditRead, 0, &wire.AuditReadRequest{From: from, Limit: limit}, &p)
	return p, rv
}

// auditEntries reads the whole log.
func (c *client) auditEntries() []audit.Entry {
	c.t.Helper()
	var entries []audit.Entry
	for {
		p, rv := c.readAudit(uint64(len(entries)+1), audit.MaxPage)
		c.must(rv)
		for _, line := range p.Entries {
			e, err := audit.ParseEntry([]byte(line))
			if err != nil {
				c.t.Fatal(err)
			}
			entries = append(entries, e)
		}
		if uint64(len(entries)) >= p.Newest {
			return entries
		}
	}
}

// testAudit uses each call of the audit log.
func (c *client) testAudit() {
	c.t.Helper()
	var sound wire.AuditVerifyReply
	c.must(c.call(wire.CallAuditVerify, 0, &wire.AuditVerifyRequest{}, &sound))
	if !sound.Sound || sound.Newest == 0 || sound.Fault != "" {
		c.t.Errorf("the audit log: %+v", sound)
	}
	var signed wire.AuditCheckpointReply
	c.must(c.call(wire.CallAuditCheckpoint, 0, &wire.AuditCheckpointRequest{}, &signed))
	checkpoint, err := audit.ParseCheckpoint([]byte(signed.Checkpoint))
	if err != nil {
		c.t.Fatal(err)
	}
	if checkpoint.Sequence != sound.Newest+1 {
		c.t.Errorf("the checkpoint is of entry %d, not of its own, %d", checkpoint.Sequence, sound.Newest+1)
	}
	page, rv := c.readAudit(checkpoint.Sequence, 1)
	c.must(rv)
	if len(page.Entries) != 1 || page.Newest != checkpoint.Sequence {
		c.t.Fatalf("the page is %+v", page)
	}
	e, err := audit.ParseEntry([]byte(page.Entries[0]))
	if err != nil {
		c.t.Fatal(err)
	}
	if e.Position != checkpoint.Position || e.Record.Event != audit.EventCheckpoint {
		c.t.Errorf("the newest entry is %v, the checkpoint of %v", e, checkpoint.Position)
	}
	want := audit.Actor{
		Source: audit.SourceLocal, Application: c.application, UID: local.UID, PID: local.PID, Program: "test",
	}
	if e.Record.Actor != want {
		c.t.Errorf("the checkpoint was made by %+v, want %+v", e.Record.Actor, want)
	}
}

// Whom the server does not belong to learns nothing of what others do.
func TestAuditIsTheOwners(t *testing.T) {
	b := newHSM(t)
	c := b.app()
	_, rv := c.readAudit(1, 1)
	want(t, "reading", rv, cryptoki.CKR_ACTION_PROHIBITED)
	want(t, "verifying", c.call(wire.CallAuditVerify, 0, &wire.AuditVerifyRequest{}, &wire.AuditVerifyReply{}), cryptoki.CKR_ACTION_PROHIBITED)
	want(t, "a checkpoint", c.call(wire.CallAuditCheckpoint, 0, &wire.AuditCheckpointRequest{}, &wire.AuditCheckpointReply{}), cryptoki.CKR_ACTION_PROHIBITED)
}

func TestAuditPages(t *testing.T) {
	b := newHSM(t)
	c := b.dial(owner)
	c.must(c.hello(newIdentity()))
	newest := uint64(len(c.auditEntries()))
	for _, test := range []struct {
		name  string
		from  uint64
		limit uint32
		want  int
		rv    cryptoki.RV
	}{
		{"the first", 1, 1, 1, cryptoki.CKR_OK},
		{"as many as there are", 1, ^uint32(0), int(newest), cryptoki.CKR_OK},
		{"none", 1, 0, 0, cryptoki.CKR_OK},
		{"the last", newest, 9, 1, cryptoki.CKR_OK},
		{"behind the last", newest + 1, 9, 0, cryptoki.CKR_OK},
		{"further behind", newest + 2, 9, 0, cryptoki.CKR_ARGUMENTS_BAD},
		{"from the oldest on", 0, 1, 1, cryptoki.CKR_OK},
		{"far behind", ^uint64(0), 9, 0, cryptoki.CKR_ARGUMENTS_BAD},
	} {
		p, rv := c.readAudit(test.from, test.limit)
		want(t, test.name, rv, test.rv)
		if len(p.Entries) != test.want {
			t.Errorf("%s: %d entries, not %d", test.name, len(p.Entries), test.want)
		}
	}
}

// What was recorded before a restart is there afterwards, and goes on from there.
func TestAuditSurvives(t *testing.T) {
	b := newHSM(t)
	c := b.dial(owner)
	c.must(c.hello(newIdentity()))
	before := c.auditEntries()
	b.restart()
	c = b.dial(owner)
	c.must(c.hello(newIdentity()))
	after := c.auditEntries()
	if len(after) <= len(before) || !slices.Equal(after[:len(before)], before) {
		t.Errorf("before the restart:\n%v\nafter it:\n%v", before, after)
	}
	c.testAudit()
}
