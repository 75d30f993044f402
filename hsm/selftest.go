package hsm

import (
	"fmt"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/wire"
)

// knownAnswers runs the mechanisms' known answers.
func knownAnswers() error {
	for _, s := range mech.SelfTests {
		if err := s.Run(); err != nil {
			return fmt.Errorf("the self-test of %w", err)
		}
	}
	return nil
}

// hsmSelfTest answers CKR_OK where something is wrong, too: the call did what it was
// asked to. A fault is an empty text where there is none.
func (r *request) hsmSelfTest(_ *wire.HSMSelfTestRequest, p *wire.HSMSelfTestReply) error {
	if !r.caller.Owner {
		return cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "uid %d may not run the self-tests", r.caller.UID)
	}
	report := func(name string, err error) {
		fault := ""
		if err != nil {
			fault = err.Error()
			r.hsm.log.Error("a self-test failed", "test", name, "cause", fault)
		}
		p.Names, p.Faults = append(p.Names, name), append(p.Faults, fault)
	}
	for _, s := range mech.SelfTests {
		report(s.Name, s.Run())
	}
	_, err := r.hsm.audit.Verify(r.hsm.store)
	report("audit log", err)
	return nil
}
