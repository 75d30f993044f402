package partition

import (
	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
)

// functionNames are how the audit log tells of functions.
var functionNames = [...]string{
	mech.Encrypt:       "encrypt",
	mech.Decrypt:       "decrypt",
	mech.Digest:        "digest",
	mech.Sign:          "sign",
	mech.Verify:        "verify",
	mech.SignRecover:   "sign with recovery",
	mech.VerifyRecover: "verify with recovery",

	mech.MessageEncrypt: "encrypt",
	mech.MessageDecrypt: "decrypt",
}

// logUse writes an entry about the use of a key, if there is to be one: for a key with
// authorization data always, for others as the Auditor has set. failure is what the use
// ended with, or nil. The caller gives out what the key gave when the entry is durable;
// entries of uses at the same time are flushed together. While no uses are recorded, that of a
// key without authorization data costs an atomic load.
//
// A first use is one since the key was brought into memory: after a start, the last logout
// from the partition, or a change of the key.
func (s *Session) logUse(r *resident, guarded bool, m cryptoki.MechanismType, what string, failure error) error {
	classes := s.partition.config.Audit.Settings().Classes
	if !guarded && !classes.Uses() {
		return nil
	}
	entry := audit.Record{
		Event: audit.EventKeyUse, Object: r.handle, Mechanism: audit.Some(m), Class: audit.Some(r.object.Class()), Detail: what,
	}
	if failure != nil {
		entry.Result = cryptoki.Code(failure)
	}
	every, first := classes.Use(r.object.Class(), entry.Result)
	if first = first && !r.used.Load(); !guarded && !every && !first {
		return nil
	}
	if err := s.log(entry, true, nil); err != nil {
		return err
	}
	if first {
		r.used.Store(true)
	}
	return nil
}

// logOperation is logUse for an active operation: once, when output is about to leave or it
// ends, and again when it fails after that.
func (s *Session) logOperation(f mech.Function, failure error) error {
	op := s.operations[f]
	if op.key == nil || op.logged && failure == nil {
		return nil
	}
	if err := s.logUse(op.key, op.guarded, op.mechanism.Type, functionNames[f], failure); err != nil {
		return err
	}
	op.logged = true
	return nil
}

// inVain returns the failure of a use that would have made a key, after writing an entry
// about it where the key that was used has authorization data.
func (s *Session) inVain(u keyUse, m *cryptoki.Mechanism, from source, failure error) error {
	if !from.key.object.Guarded() {
		return failure
	}
	entry := audit.Record{Event: u.event, Result: cryptoki.Code(failure), Mechanism: audit.Some(m.Type), Related: from.key.handle}
	if err := s.log(entry, true, nil); err != nil {
		return err
	}
	return failure
}
