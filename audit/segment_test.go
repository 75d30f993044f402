package audit

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
)

// segment exports the log: its lines, the last of which is what the HSM signed.
func (f *fixture) segment() (Segment, [][]byte) {
	f.t.Helper()
	g, err := f.Export(f.store, Actor{Role: RoleAuditor})
	if err != nil {
		f.t.Fatal(err)
	}
	return g, append(f.export(0), g.Line())
}

func (f *fixture) clear(g Segment) {
	f.t.Helper()
	if err := f.Clear(f.store, g, Actor{Role: RoleAuditor}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) sweep() {
	f.t.Helper()
	for done := false; !done; {
		var err error
		if done, err = f.Sweep(f.store); err != nil {
			f.t.Fatal(err)
		}
	}
}

// records is how many entries lie in the store.
func (f *fixture) records() (n int) {
	f.t.Helper()
	err := f.store.View(func(r keystore.Reader) error {
		return r.Scan(keystore.TableAudit, nil, nil, func(_, _ []byte) (bool, error) { n++; return true, nil })
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

func (f *fixture) usage() (u Usage) {
	f.t.Helper()
	err := f.store.View(func(r keystore.Reader) (err error) {
		u, err = f.Usage(r)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return u
}

// verifyFiles runs files through a verifier.
func verifyFiles(t testing.TB, files [][][]byte, checkpoints ...NamedCheckpoint) (Report, error) {
	t.Helper()
	v, err := NewVerifier(checkpoints...)
	if err != nil {
		t.Fatal(err)
	}
	for _, lines := range files {
		v.Next()
		for _, text := range lines {
			v.Line(text)
		}
	}
	return v.Finish()
}

// A log is exported and cleared twice; the segments and what is left are one chain, which
// holds against a checkpoint from before all that.
func TestSegments(t *testing.T) {
	f := logOf(t, 5)
	old := f.checkpoint("old") // entry 6
	first, a := f.segment()    // ends with 7
	f.append(act(8))
	f.clear(first) // 9
	if got := f.usage(); got.Oldest != 8 || got.Newest != 9 {
		t.Errorf("the log has %+v", got)
	}
	// A crash before the sweep changes nothing.
	if _, err := f.Verify(f.store); err != nil || f.records() != 9 {
		t.Errorf("before the sweep: %v", err)
	}
	f.sweep()
	if u, err := f.Verify(f.store); err != nil || u.Oldest != 8 || u.Newest != 9 || f.records() != 2 {
		t.Errorf("after it: %+v, %v, %d records", u, err, f.records())
	}
	f.append(act(10))
	second, b := f.segment() // 8 to 11
	f.clear(second)          // 12
	f.sweep()
	f.append(act(13))
	rest := f.export(0)
	if u, err := f.Verify(f.store); err != nil || u.Oldest != 12 || u.Newest != 13 {
		t.Errorf("after the second: %+v, %v", u, err)
	}

	want := Report{Serial: testSerial, First: 1, Last: 13, Proven: 6, Checkpoint: "old", Sealed: 11, Key: old.Key}
	for name, files := range map[string][][][]byte{
		"three files": {a, b, rest},
		"one file":    {slices.Concat(a, b, rest)},
	} {
		if got, err := verifyFiles(t, files, old); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if got, err := verifyFiles(t, [][][]byte{rest}, old); err != nil || got.First != 12 || got.Proven != 0 || !slices.Equal(got.Unused, []string{"old"}) {
		t.Errorf("what is left, by itself: %+v, %v", got, err)
	}
	header, err := ParseHeader(rest[0])
	if err != nil {
		t.Fatal(err)
	}
	header.Previous[0]++
	elsewhere := append([][]byte{header.Line()}, rest[1:]...)
	forged := func(g Segment, lines [][]byte) [][]byte {
		return append(slices.Clone(lines[:len(lines)-1]), resigned(t, g).Line())
	}
	for name, test := range map[string]struct {
		files       [][][]byte
		kind        FaultKind
		first, last uint64
	}{
		"the second is missing":     {[][][]byte{a, rest}, FaultMissing, 8, 11},
		"the first comes later":     {[][][]byte{b, a}, FaultMisplaced, 1, 11},
		"the first comes twice":     {[][][]byte{a, a}, FaultMisplaced, 1, 7},
		"the end is cut":            {[][][]byte{append(slices.Clone(a[:len(a)-2]), a[len(a)-1])}, FaultMissing, 7, 7},
		"the end of another":        {[][][]byte{append(slices.Clone(b[:len(b)-1]), a[len(a)-1])}, FaultAltered, 8, 11},
		"not what came before":      {[][][]byte{a, b, elsewhere}, FaultAltered, 12, 12},
		"not the key of entry 1":    {[][][]byte{forged(first, a)}, FaultAltered, 1, 7},
		"a segment without entries": {[][][]byte{{a[0], a[len(a)-1]}}, FaultMissing, 1, 7},
	} {
		_, err := verifyFiles(t, test.files)
		wantFault(t, name, err, test.kind, test.first, test.last)
	}
	// Here entry 1 is not there to name the key.
	third, c := f.segment() // 12 to 14
	_, err = verifyFiles(t, [][][]byte{b, forged(third, c)})
	wantFault(t, "not the key of the segment before", err, FaultAltered, 12, 14)
	_, err = verifyFiles(t, [][][]byte{forged(second, b)}, f.checkpoint("new"))
	wantFault(t, "not the checkpoint's key", err, FaultAltered, 8, 11)
	if _, err := verifyFiles(t, [][][]byte{append(slices.Clone(a), a[1])}); err == nil {
		t.Error("an entry behind the end of a segment was taken")
	}
	other := logOf(t, 3)
	_, foreign := other.segment()
	if _, err := verifyFiles(t, [][][]byte{append(slices.Clone(a[:len(a)-1]), foreign[len(foreign)-1])}); err == nil {
		t.Error("the end of another HSM's segment was taken")
	}
}

// resigned is a segment as somebody with another key signs it.
func resigned(t testing.TB, g Segment) Segment {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	copy(g.Key[:], public)
	copy(g.Signature[:], ed25519.Sign(private, g.statement()))
	return g
}

// Nothing is cleared that the HSM has not signed as exported, from the oldest entry on.
func TestClearRefuses(t *testing.T) {
	f := logOf(t, 4)
	first, _ := f.segment()
	second, _ := f.segment() // 1 to 6 too
	f.append(act(7))
	altered := first
	altered.Last.Hash[0]++
	later := first
	later.Last.Sequence = 99
	elsewhere, _ := logOf(t, 4).segment()
	foreign := first
	foreign.Serial = "1"
	gap := first
	gap.After = second.Last
	gap.Last = f.entries()[6].Position
	before := dump(t, f.store)
	for name, g := range map[string]Segment{
		"another hash": altered, "behind the end": later, "another key": elsewhere, "another HSM": foreign, "a gap before it": gap,
	} {
		if err := f.Clear(f.store, g, Actor{}); cryptoki.Code(err) != cryptoki.CKR_ARGUMENTS_BAD {
			t.Errorf("%s: %v", name, err)
		}
	}
	if dump(t, f.store) != before {
		t.Error("what was refused left something")
	}
	f.clear(first)
	if err := f.Clear(f.store, first, Actor{}); !errors.Is(err, ErrCleared) {
		t.Errorf("a second time: %v", err)
	}
	// A segment may begin before the oldest entry.
	f.clear(second)
	if u, err := f.Verify(f.store); err != nil || u.Oldest != 7 {
		t.Errorf("%+v, %v", u, err)
	}
}

// A full log that is cleared takes acts again; one whose limit was raised does too.
func TestClearMakesRoom(t *testing.T) {
	f := logOf(t, 4)
	f.settings.Store(&Settings{DefaultClasses, 5})
	f.append(act(5))
	if !f.isFull() {
		t.Fatal("not full")
	}
	g, _ := f.segment()
	f.clear(g)
	f.append(act(8))
	if f.isFull() {
		t.Error("full after it was cleared")
	}
	// The sweep is not what makes the room.
	if f.records() == int(f.usage().Entries()) {
		t.Error("it was swept already")
	}
}

// What was cleared is not shown as missing but as cleared.
func TestReadCleared(t *testing.T) {
	f := logOf(t, 4)
	g, _ := f.segment()
	f.clear(g)
	f.append(act(7))
	if p, err := f.Read(f.store, 0, MaxPage); err != nil || p.Header.From != 6 || p.Header.Previous != g.Last.Hash || len(p.Entries) != 2 {
		t.Errorf("from the oldest on: %+v, %v", p, err)
	}
	for _, from := range []uint64{1, 5} {
		if _, err := f.Read(f.store, from, 1); !errors.Is(err, ErrCleared) || cryptoki.Code(err) != cryptoki.CKR_ARGUMENTS_BAD {
			t.Errorf("from %d on: %v", from, err)
		}
	}
	err := f.store.View(func(r keystore.Reader) error {
		if same, err := f.Passes(r, g.Last); err != nil || !same {
			t.Errorf("the end of the segment: %v, %v", same, err)
		}
		_, err := f.Passes(r, g.After)
		return err
	})
	if !errors.Is(err, ErrCleared) {
		t.Errorf("a position that was cleared: %v", err)
	}
}

// Whoever lacks the HSM's key cannot move the beginning.
func TestTailIsTheHSMs(t *testing.T) {
	f := logOf(t, 4)
	g, _ := f.segment()
	f.clear(g)
	f.sweep()
	var genuine []byte
	f.replace(keystore.TableHSM, keyTail, func(b []byte) []byte { genuine = b; return b })
	for i := range genuine {
		b := slices.Clone(genuine)
		b[i] ^= 1
		f.replace(keystore.TableHSM, keyTail, func([]byte) []byte { return b })
		_, err := f.Verify(f.store)
		wantFault(t, fmt.Sprintf("byte %d", i), err, FaultHead, 0, 0)
	}
	f.replace(keystore.TableHSM, keyTail, func([]byte) []byte { return nil })
	_, err := f.Verify(f.store)
	wantFault(t, "without a beginning", err, FaultMissing, 1, 5)
	head := f.encodeHead(g.Last)
	f.replace(keystore.TableHSM, keyTail, func([]byte) []byte { return head })
	_, err = f.Verify(f.store)
	wantFault(t, "a head in its place", err, FaultHead, 0, 0)
}

// Entries are swept in batches, the rest of the log with nothing else.
func TestSweepBatches(t *testing.T) {
	f := logOf(t, 2*sweepBatch+5)
	g, _ := f.segment()
	f.clear(g)
	for _, want := range []bool{false, false, true, true} {
		if done, err := f.Sweep(f.store); err != nil || done != want {
			t.Fatalf("%v, %v; %d records are left", done, err, f.records())
		}
	}
	if f.records() != 1 {
		t.Errorf("%d records are left", f.records())
	}
}

func TestParseSegmentRefuses(t *testing.T) {
	f := logOf(t, 3)
	g, _ := f.segment()
	genuine := g.Line()
	if got, err := ParseSegment(genuine); err != nil || got != g {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range genuine {
		b := bytes.Clone(genuine)
		b[i] ^= 1
		if _, err := ParseSegment(b); err == nil {
			t.Errorf("byte %d: %s", i, b)
		}
	}
	empty := g
	empty.After = g.Last
	for name, text := range map[string]string{
		"empty":            "",
		"a checkpoint":     string(bytes.Join(bytes.Fields(f.checkpoint("").Text()), nil)),
		"formatted":        strings.ReplaceAll(string(genuine), ":", ": "),
		"cut":              string(genuine[:len(genuine)-1]),
		"something behind": string(genuine) + "x",
		"no entries":       string(empty.Line()),
		"too long":         string(genuine) + strings.Repeat(" ", MaxLine),
	} {
		if _, err := ParseSegment([]byte(text)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func FuzzParseSegment(f *testing.F) {
	g, _ := logOf(f, 3).segment()
	f.Add(g.Line())
	f.Add([]byte(`{"format":"tidelock audit segment","version":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if g, err := ParseSegment(text); err == nil && !bytes.Equal(g.Line(), text) {
			t.Errorf("%s is %s", text, g.Line())
		}
	})
}

// No lines make a verifier fail otherwise than with an error.
func FuzzSegmentLines(f *testing.F) {
	_, lines := logOf(f, 3).segment()
	f.Add(bytes.Join(lines, []byte("\n")))
	f.Add(bytes.Join(slices.Concat(lines, lines), []byte("\n")))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := NewVerifier()
		if err != nil {
			t.Fatal(err)
		}
		for l := range bytes.SplitSeq(text, []byte("\n")) {
			v.Line(l)
		}
		if r, err := v.Finish(); err == nil && (r.Last+1 < r.First || r.Sealed > r.Last) {
			t.Errorf("%+v", r)
		}
	})
}
