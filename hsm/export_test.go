package hsm

import (
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/wire"
)

// OutputOf is what a reply has that is wiped when it was sent.
var OutputOf = output

// CountingAllocates counts two operations and a call in turn, and says how much memory
// that takes on average.
func CountingAllocates(h *HSM) float64 {
	l := h.Connect(Caller{})
	defer l.Close()
	return testing.AllocsPerRun(100, func() {
		l.used(UseFunction(mech.Sign), cryptoki.CKM_ECDSA, nil)
		l.used(UseFunction(mech.Verify), cryptoki.CKM_ECDSA, nil)
		l.called(wire.CallOperateFused, cryptoki.CKR_OK)
	})
}
