package audit

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestVerifier(t *testing.T) {
	f := logOf(t, 4)
	early := f.checkpoint("early")
	f.append(act(6))
	late := f.checkpoint("late")
	f.append(act(8))
	for _, test := range []struct {
		name        string
		from        uint64
		checkpoints []NamedCheckpoint
		want        Report
	}{
		{"no checkpoint", 1, nil, Report{First: 1}},
		{"one", 1, []NamedCheckpoint{early}, Report{First: 1, Proven: 5, Checkpoint: "early"}},
		{"two, not in order", 1, []NamedCheckpoint{late, early}, Report{First: 1, Proven: 7, Checkpoint: "late"}},
		{"one twice", 1, []NamedCheckpoint{early, early}, Report{First: 1, Proven: 5, Checkpoint: "early"}},
		{"a part", 6, []NamedCheckpoint{late}, Report{First: 6, Proven: 7, Checkpoint: "late"}},
		{"a part that begins behind a checkpoint", 6, []NamedCheckpoint{early}, Report{First: 6, Proven: 5, Checkpoint: "early"}},
		{"a part that begins later", 7, []NamedCheckpoint{early}, Report{First: 7, Unused: []string{"early"}}},
		{"no entries", 9, []NamedCheckpoint{early}, Report{First: 9, Unused: []string{"early"}}},
	} {
		test.want.Serial, test.want.Last = testSerial, 8
		got, err := verify(t, f.export(test.from), test.checkpoints...)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s: got %+v, %v; want %+v", test.name, got, err, test.want)
		}
	}
}

func TestVerifierRefusesOtherCheckpoints(t *testing.T) {
	f, other := logOf(t, 4), logOf(t, 4)
	mine := f.checkpoint("mine")
	// Two HSMs with one serial number, which is the owner's to make.
	if _, err := NewVerifier(mine, other.checkpoint("other")); err == nil || !strings.Contains(err.Error(), "two keys") {
		t.Errorf("two keys: %v", err)
	}
	foreign := mine
	foreign.Serial = "9999999999999"
	if _, err := NewVerifier(mine, foreign); err == nil || !strings.Contains(err.Error(), "two HSMs") {
		t.Errorf("two serial numbers: %v", err)
	}
	if _, err := verify(t, f.export(1), foreign); err == nil || !strings.Contains(err.Error(), "checkpoint mine is of 9999999999999") {
		t.Errorf("another HSM's checkpoint: %v", err)
	}
}

func TestVerifierRefusesOtherFiles(t *testing.T) {
	f := logOf(t, 4)
	for _, test := range []struct {
		name, says string
		lines      [][]byte
	}{
		{"an empty file", "empty", nil},
		{"an empty line", "not an exported audit log", [][]byte{nil}},
		{"no header", "not an exported audit log", f.export(1)[1:]},
		{"text", "not an exported audit log", [][]byte{[]byte("No  Time"), []byte("1")}},
	} {
		if _, err := verify(t, test.lines); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, which does not say %q", test.name, err, test.says)
		}
	}
}

// Every change of every byte of every line is found, at that entry or, where it could
// be either, at that and its neighbour.
func TestVerifierFindsAlteredBytes(t *testing.T) {
	lines := logOf(t, 5).export(1)
	for n := 1; n < len(lines); n++ {
		for i := range lines[n] {
			changed := slices.Clone(lines)
			changed[n] = bytes.Clone(lines[n])
			changed[n][i] ^= 1
			_, err := verify(t, changed)
			fault, ok := err.(*Fault)
			if !ok {
				t.Fatalf("byte %d of entry %d: %v", i, n, err)
			}
			// A changed number is another place.
			if fault.Kind == FaultAltered && (fault.First > uint64(n) || fault.Last < uint64(n) || fault.Last-fault.First > 1) {
				t.Errorf("byte %d of entry %d: %v", i, n, err)
			}
			if fault.Kind != FaultAltered && !bytes.HasPrefix(lines[n][:i], []byte(`{"sequence":`)) {
				t.Errorf("byte %d of entry %d: %v", i, n, err)
			}
		}
	}
}

// alter changes one value of an entry's record, and what its author can: its own
// hash.
func alter(line []byte, before Position, own bool) []byte {
	e, err := ParseEntry(line)
	if err != nil {
		panic(err)
	}
	e.Record.Actor.UID++
	if own {
		e.Hash = before.follow(e.Record.encode()).Hash
	}
	return e.Line()
}

func TestVerifierLocates(t *testing.T) {
	const n = 8
	f := logOf(t, n)
	all := f.entries()
	lines := f.export(1)
	for i := 2; i < n; i++ {
		at := uint64(i)
		before := all[i-2].Position

		changed := slices.Clone(lines)
		changed[i] = alter(lines[i], before, false)
		_, err := verify(t, changed)
		wantFault(t, fmt.Sprintf("entry %d altered", i), err, FaultAltered, at-1, at)

		changed[i] = alter(lines[i], before, true)
		_, err = verify(t, changed)
		wantFault(t, fmt.Sprintf("entry %d altered with its hash", i), err, FaultAltered, at, at+1)

		_, err = verify(t, slices.Delete(slices.Clone(lines), i, i+1))
		wantFault(t, fmt.Sprintf("entry %d cut out", i), err, FaultMissing, at, at)

		_, err = verify(t, slices.Delete(slices.Clone(lines), i, n))
		wantFault(t, fmt.Sprintf("entries %d to %d cut out", i, n-1), err, FaultMissing, at, n-1)

		changed = slices.Clone(lines)
		changed[i], changed[i+1] = lines[i+1], lines[i]
		_, err = verify(t, changed)
		wantFault(t, fmt.Sprintf("entries %d and %d exchanged", i, i+1), err, FaultMisplaced, at, at)

		changed = append(slices.Delete(slices.Clone(lines), i, i+1), lines[i])
		_, err = verify(t, changed)
		wantFault(t, fmt.Sprintf("entry %d moved to the end", i), err, FaultMisplaced, at, at)

		_, err = verify(t, slices.Insert(slices.Clone(lines), i+1, lines[i]))
		wantFault(t, fmt.Sprintf("entry %d repeated", i), err, FaultMisplaced, at, at)
	}
	changed := slices.Clone(lines)
	changed[0] = Header{testSerial, 1, Hash{}}.Line()
	_, err := verify(t, changed)
	wantFault(t, "another beginning", err, FaultAltered, 1, 1)
	changed[0] = Header{"9999999999999", 1, origin("9999999999999")}.Line()
	_, err = verify(t, changed)
	wantFault(t, "another HSM", err, FaultAltered, 1, 1)
	// A whole chain that does not begin where this HSM's does.
	changed = [][]byte{Header{testSerial, 1, Hash{}}.Line()}
	at := Position{}
	for _, e := range all {
		at = at.follow(e.Record.encode())
		changed = append(changed, Entry{at, e.Record}.Line())
	}
	_, err = verify(t, changed)
	wantFault(t, "a chain with another beginning", err, FaultAltered, 1, 1)
	part := f.export(4)
	part[0] = Header{testSerial, 4, Hash{}}.Line()
	_, err = verify(t, part)
	wantFault(t, "a part with another beginning", err, FaultAltered, 4, 4)
}

// A checkpoint narrows down which of two entries was changed.
func TestVerifierNarrowsDown(t *testing.T) {
	f := logOf(t, 4)
	c := f.checkpoint("c") // entry 5
	f.append(act(6))
	f.append(act(7))
	lines := f.export(1)
	lines[6] = alter(lines[6], c.Position, false)
	_, err := verify(t, lines, c)
	wantFault(t, "the entry behind a checkpoint", err, FaultAltered, 6, 6)
}

// The owner has the store and every key. He writes another log, which the HSM itself
// must take for its own; only what it signed earlier tells.
func TestOwnerIsFoundByCheckpoints(t *testing.T) {
	f := logOf(t, 4)
	first := f.checkpoint("first") // entry 5
	for i := 6; i <= 9; i++ {
		f.append(act(i))
	}
	second := f.checkpoint("second") // entry 10
	f.append(act(11))

	for from := uint64(2); from <= 10; from++ {
		g := *f
		g.store = f.copied()
		g.regrow(from)
		if _, err := g.Verify(g.store); err != nil {
			t.Fatalf("regrown from %d on: %v", from, err)
		}
		lines := g.export(1)
		if _, err := verify(t, lines); err != nil {
			t.Fatalf("regrown from %d on: %v", from, err)
		}
		what := fmt.Sprintf("regrown from %d on", from)
		_, err := verify(t, lines, second)
		wantFault(t, what+", the second checkpoint", err, FaultAltered, 1, 10)
		_, err = verify(t, lines, first, second)
		if from <= 5 {
			wantFault(t, what+", both", err, FaultAltered, 1, 5)
		} else {
			wantFault(t, what+", both", err, FaultAltered, 6, 10)
		}
		proof := map[bool]string{true: "first", false: "second"}[from <= 5]
		if fault, ok := err.(*Fault); !ok || fault.Checkpoint != proof {
			t.Errorf("%s: %v does not name checkpoint %s", what, err, proof)
		}
		// What he regrew behind the first checkpoint, that cannot tell.
		if _, err := verify(t, lines, first); (err != nil) != (from <= 5) {
			t.Errorf("%s, the first checkpoint: %v", what, err)
		}
	}

	// Cut off the end, with a head that fits.
	for last := uint64(1); last < 10; last++ {
		g := *f
		g.store = f.copied()
		g.truncate(last)
		if _, err := g.Verify(g.store); err != nil {
			t.Fatalf("cut behind %d: %v", last, err)
		}
		_, err := verify(t, g.export(1), first, second)
		wantFault(t, fmt.Sprintf("cut behind %d", last), err, FaultMissing, last+1, 10)
	}
}

// A log that was begun anew with another signing key is another log.
func TestVerifierChecksTheKey(t *testing.T) {
	f := logOf(t, 4)
	c := f.checkpoint("c")
	other := *f
	other.store = f.copied()
	c.Key[0] ^= 1
	_, err := verify(t, other.export(1), c)
	wantFault(t, "another key", err, FaultAltered, 1, 1)
	lines := f.export(1)
	e, err := ParseEntry(lines[1])
	if err != nil {
		t.Fatal(err)
	}
	e.Record.Event = EventLogin
	e.Hash = Position{Hash: origin(testSerial)}.follow(e.Record.encode()).Hash
	_, err = verify(t, [][]byte{lines[0], e.Line()})
	wantFault(t, "another first event", err, FaultAltered, 1, 1)
}

// Whatever lines come, a verifier answers.
func FuzzVerifier(f *testing.F) {
	log := logOf(f, 4)
	c := log.checkpoint("c")
	f.Add(bytes.Join(log.export(1), []byte("\n")))
	f.Add(bytes.Join(log.export(4), []byte("\n")))
	genuine := bytes.Join(log.export(1), []byte("\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		report, err := verify(t, bytes.Split(text, []byte("\n")), c)
		if err == nil && report.First == 1 && report.Proven == c.Sequence && !bytes.HasPrefix(text, genuine) {
			t.Errorf("proven, and not what was signed: %q", text)
		}
	})
}
