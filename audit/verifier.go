package audit

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Verifier checks an exported log, line by line, without the HSM: that its entries
// follow from one another, and that at each checkpoint it is what the HSM had signed. The
// log may be in several files that adjoin, and in segments, each of which ends with what the
// HSM has signed of it.
//
// The chain alone shows a careless change; whoever rewrites the file can make a new
// chain. A checkpoint shows every change before it, if it comes from a place that he
// could not reach: its key is believed.
type Verifier struct {
	checkpoints []NamedCheckpoint // in the order of their sequences
	unseen      []NamedCheckpoint // those that the log has not come to
	lines       int               // of the file
	first       uint64            // the first entry of all
	named       string            // the key that entry 1 names, if it was seen
	header      Header
	begun       bool // header is one that was read
	ended       bool // the segment has ended, and another may begin
	sealed      uint64
	key         PublicKey // of the segments
	at          Position
	proven      uint64
	by          string
	unused      []string
	err         error
	fault       *Fault
}

// NamedCheckpoint is a checkpoint with what to call it in a report.
type NamedCheckpoint struct {
	Name string
	Checkpoint
}

// Report is what a log that holds was found to be.
type Report struct {
	Serial string
	// First and Last are the numbers of the entries.
	First, Last uint64
	// Proven is the last entry that a checkpoint vouches for, 0 when none does;
	// Checkpoint is its name.
	Proven     uint64
	Checkpoint string
	// Sealed is the last entry of the last segment whose end was signed, 0 when none was;
	// Key is what that was signed with.
	Sealed uint64
	Key    PublicKey
	// Unused names the checkpoints that lie before the exported part.
	Unused []string
}

// NewVerifier makes a verifier. The checkpoints must be of one HSM and one key.
func NewVerifier(checkpoints ...NamedCheckpoint) (*Verifier, error) {
	sorted := slices.SortedStableFunc(slices.Values(checkpoints), func(a, b NamedCheckpoint) int {
		return cmp.Compare(a.Sequence, b.Sequence)
	})
	for _, c := range sorted {
		if c.Serial != sorted[0].Serial {
			return nil, fmt.Errorf("checkpoints of two HSMs: %s is of %s, %s of %s", sorted[0].Name, sorted[0].Serial, c.Name, c.Serial)
		}
		if c.Key != sorted[0].Key {
			return nil, fmt.Errorf("checkpoints with two keys: %s has %v, %s has %v", sorted[0].Name, sorted[0].Key, c.Name, c.Key)
		}
	}
	return &Verifier{checkpoints: sorted, unseen: sorted}, nil
}

// Next says that the lines of another file follow, which adjoins the one before.
func (v *Verifier) Next() { v.lines = 0 }

// Failed tells whether something was found to be wrong, which Finish tells.
func (v *Verifier) Failed() bool { return v.err != nil || v.fault != nil }

// Line checks the next line, given without its end. What is wrong is told by Finish.
func (v *Verifier) Line(text []byte) {
	v.lines++
	switch {
	case v.err != nil:
	case v.fault == nil && v.begun && (v.lines == 1 || v.ended):
		v.fault, v.err = v.adjoin(text)
	case v.fault == nil && v.begun && bytes.HasPrefix(text, segmentPrefix):
		v.fault = v.end(text)
	case v.lines == 1 && v.fault == nil:
		v.err = v.begin(text)
	case v.fault == nil:
		v.fault = v.entry(text)
	case v.fault.Kind == FaultMissing:
		v.findMissing(text)
	}
}

// begin checks the header.
func (v *Verifier) begin(text []byte) (err error) {
	if v.header, err = ParseHeader(text); err != nil {
		return err
	}
	h := v.header
	v.begun, v.first = true, h.From
	if len(v.checkpoints) > 0 && v.checkpoints[0].Serial != h.Serial {
		return fmt.Errorf("the log says that it is of HSM %s, checkpoint %s is of %s", h.Serial, v.checkpoints[0].Name, v.checkpoints[0].Serial)
	}
	v.at = Position{h.From - 1, h.Previous}
	if h.From == 1 && h.Previous != origin(h.Serial) {
		v.fault = altered(1, "the header's hash is not the one that the log of HSM %s begins with", h.Serial)
		return nil
	}
	for len(v.unseen) > 0 && v.unseen[0].Sequence < v.at.Sequence {
		v.unused = append(v.unused, v.unseen[0].Name)
		v.unseen = v.unseen[1:]
	}
	v.fault = v.compare()
	return nil
}

// entry checks the line of the entry behind v.at.
func (v *Verifier) entry(text []byte) *Fault {
	next := v.at.Sequence + 1
	e, err := ParseEntry(text)
	if err != nil {
		return altered(next, "line %d: %v", v.lines, err)
	}
	switch {
	case e.Sequence > next:
		f := missing(next, e.Sequence-1)
		f.Cause = fmt.Sprintf("line %d has entry %d", v.lines, e.Sequence)
		return f
	case e.Sequence < next:
		return &Fault{Kind: FaultMisplaced, First: e.Sequence, Last: e.Sequence,
			Cause: fmt.Sprintf("it stands in line %d, the place of entry %d", v.lines, next)}
	}
	v.at = v.at.follow(e.Record.encode())
	if v.at.Hash != e.Hash {
		return v.broken()
	}
	if f := v.compare(); f != nil {
		return f
	}
	return v.namesKey(e)
}

// broken is a chain that does not hold at v.at: either that entry was changed, or
// the one before together with its hash.
func (v *Verifier) broken() *Fault {
	n := v.at.Sequence
	f := altered(n, "line %d: its hash does not follow from the line before", v.lines)
	if n > v.header.From && n-1 > v.proven {
		f.First = n - 1
		f.Cause = fmt.Sprintf("line %d: the hash of entry %d does not follow from entry %d; one of the two was changed", v.lines, n, n-1)
	}
	return f
}

// compare holds v.at against the checkpoints of that entry.
func (v *Verifier) compare() *Fault {
	for len(v.unseen) > 0 && v.unseen[0].Sequence == v.at.Sequence {
		c := v.unseen[0]
		if c.Hash != v.at.Hash {
			return &Fault{Kind: FaultAltered, First: max(v.proven+1, 1), Last: c.Sequence, Checkpoint: c.Name,
				Cause: fmt.Sprintf("the HSM signed another hash of entry %d at %s", c.Sequence, c.Time.Format(timeLayout))}
		}
		v.proven, v.by = c.Sequence, c.Name
		v.unseen = v.unseen[1:]
	}
	return nil
}

// namesKey checks that the first entry of the log names the key of the checkpoints.
func (v *Verifier) namesKey(e Entry) *Fault {
	switch {
	case e.Sequence != 1:
		return nil
	case e.Record.Event != EventLogCreate:
		return altered(1, "a log begins with the event %v, not %v", EventLogCreate, e.Record.Event)
	}
	v.named = e.Record.Detail
	switch {
	case len(v.checkpoints) == 0 || e.Record.Detail == v.checkpoints[0].Key.String():
		return nil
	}
	f := altered(1, "it does not name the key that signed the checkpoint")
	f.Checkpoint = v.checkpoints[0].Name
	return f
}

// findMissing looks for the entries of a gap further down: then they were moved.
func (v *Verifier) findMissing(text []byte) {
	if e, err := ParseEntry(text); err == nil && e.Sequence >= v.fault.First && e.Sequence <= v.fault.Last {
		v.fault = &Fault{Kind: FaultMisplaced, First: e.Sequence, Last: e.Sequence,
			Cause: fmt.Sprintf("it stands in line %d, behind later ones", v.lines)}
	}
}

// Finish ends the check. A log that does not hold gives a *Fault with the first
// place that does not fit; other errors say what else is wrong with the file.
func (v *Verifier) Finish() (Report, error) {
	switch {
	case v.err != nil:
		return Report{}, v.err
	case !v.begun:
		return Report{}, errors.New("the file is empty")
	case v.fault != nil:
		return Report{}, v.fault
	}
	if len(v.unseen) > 0 {
		c := v.unseen[len(v.unseen)-1]
		return Report{}, &Fault{Kind: FaultMissing, First: v.at.Sequence + 1, Last: c.Sequence, Checkpoint: c.Name,
			Cause: fmt.Sprintf("the HSM signed at %s that the log went to entry %d; it ends earlier", c.Time.Format(timeLayout), c.Sequence)}
	}
	return Report{
		Serial: v.header.Serial, First: v.first, Last: v.at.Sequence,
		Proven: v.proven, Checkpoint: v.by, Sealed: v.sealed, Key: v.key, Unused: v.unused,
	}, nil
}
