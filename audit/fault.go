package audit

import (
	"fmt"

	"tidelock.dev/tidelock/cryptoki"
)

// Fault is what is wrong with a log, and where. It is an error that carries
// CKR_DEVICE_ERROR when it comes from the HSM's own log.
type Fault struct {
	Kind FaultKind
	// First and Last are the numbers of the entries that the fault is in; both are 0
	// where it is in none.
	First, Last uint64
	// Cause says what does not fit.
	Cause string
	// Checkpoint names the checkpoint that proves it, empty where the log itself does.
	Checkpoint string
}

// FaultKind is what happened to a log, as far as it can be told.
type FaultKind string

// The kinds of faults.
const (
	// FaultAltered: an entry is not what it was.
	FaultAltered FaultKind = "altered"
	// FaultMissing: entries were cut out, or cut off the end.
	FaultMissing FaultKind = "missing"
	// FaultMisplaced: an entry stands where it does not belong.
	FaultMisplaced FaultKind = "misplaced"
	// FaultHead: the record of where the log ends is not the HSM's, or missing.
	FaultHead FaultKind = "head"
)

// Error names place, kind and proof.
func (f *Fault) Error() string {
	where := "the log"
	switch {
	case f.Last == 0:
	case f.First == f.Last:
		where = fmt.Sprintf("entry %d", f.First)
	default:
		where = fmt.Sprintf("entries %d to %d", f.First, f.Last)
	}
	text := fmt.Sprintf("audit log %s at %s: %s", f.Kind, where, f.Cause)
	if f.Checkpoint != "" {
		text += fmt.Sprintf(" (proven by checkpoint %s)", f.Checkpoint)
	}
	return text
}

// damaged is a fault that a reader of the HSM's own log came upon.
func damaged(fault error) error {
	return cryptoki.Errorf(cryptoki.CKR_DEVICE_ERROR, "%w", fault)
}

func headFault(cause string) *Fault { return &Fault{Kind: FaultHead, Cause: cause} }

func altered(sequence uint64, format string, args ...any) *Fault {
	return &Fault{Kind: FaultAltered, First: sequence, Last: sequence, Cause: fmt.Sprintf(format, args...)}
}
