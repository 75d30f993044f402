package audit

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/keystore/memstore"
)

// Whoever has only the exported file changes one thing about it. The chain shows
// that wherever it is in the middle, a checkpoint of the last entry shows it
// everywhere, even when the chain was made anew.
func TestVerifierFindsAnySingleChange(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newLog(t)
		for range rapid.IntRange(2, 8).Draw(rt, "entries") {
			f.append(recordGen.Draw(rt, "record"))
		}
		c := f.checkpoint("c")
		lines := f.export(1)
		last := len(lines) - 1
		changed := slices.Clone(lines)
		i := rapid.IntRange(1, last).Draw(rt, "line")
		switch rapid.SampledFrom([]string{"bit", "cut out", "cut off", "exchange", "repeat", "replace", "regrow"}).Draw(rt, "change") {
		case "bit":
			changed[i] = bytes.Clone(lines[i])
			changed[i][rapid.IntRange(0, len(lines[i])-1).Draw(rt, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		case "cut out":
			changed = slices.Delete(changed, i, i+1)
		case "cut off":
			changed = changed[:i]
		case "exchange":
			j := rapid.IntRange(1, last-1).Draw(rt, "other")
			if j >= i {
				j++
			}
			changed[i], changed[j] = lines[j], lines[i]
		case "repeat":
			changed = slices.Insert(changed, rapid.IntRange(1, last+1).Draw(rt, "place"), lines[i])
		case "replace":
			other := newLog(t)
			for range last {
				other.append(recordGen.Draw(rt, "other record"))
			}
			changed[i] = other.export(1)[i]
		case "regrow":
			at := Position{Hash: origin(testSerial)}
			for n := 1; n <= last; n++ {
				e, err := ParseEntry(lines[n])
				if err != nil {
					rt.Fatal(err)
				}
				if n == i {
					e.Record.Actor.UID++
				}
				e.Position = at.follow(e.Record.encode())
				at, changed[n] = e.Position, e.Line()
			}
			if _, err := verify(t, changed); err != nil {
				rt.Fatalf("a whole new chain: %v", err)
			}
		}
		if report, err := verify(t, changed, c); err == nil {
			rt.Fatalf("nothing was found: %+v", report)
		}
	})
}

// Whatever lies in the store in an entry's place, only what the HSM wrote there is
// taken for it.
func FuzzStoredEntry(f *testing.F) {
	log := logOf(f, 3)
	before := log.entries()[1].Position
	genuine := log.stored(3)
	f.Add(genuine)
	f.Add(log.stored(2))
	f.Add(genuine[:entryHeader])
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := log.parseNext(before, b); (err == nil) != bytes.Equal(b, genuine) {
			t.Errorf("%x: %v, %v", b, e, err)
		}
	})
}

// Whatever lies in the head's place, the log goes on from its own head only.
func FuzzHead(f *testing.F) {
	log := logOf(f, 3)
	end := log.entries()[2].Position
	genuine := log.encodeHead(end)
	f.Add(genuine)
	f.Add(genuine[:headSize-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		s := memstore.New()
		err := s.Update(func(w keystore.Writer) error { return w.Put(keystore.TableHSM, keyHead, b) })
		if err != nil {
			t.Skip(err) // longer than any store takes
		}
		_ = s.View(func(r keystore.Reader) error {
			if p, err := log.Head(r); (err == nil) != bytes.Equal(b, genuine) {
				t.Errorf("%x: %v, %v", b, p, err)
			}
			return nil
		})
	})
}
