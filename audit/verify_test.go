package audit

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
)

const testEntries = 8

func TestVerify(t *testing.T) {
	f := logOf(t, testEntries)
	end, err := f.Verify(f.store)
	if err != nil || end.Newest != testEntries {
		t.Errorf("the log ends at %d: %v", end.Newest, err)
	}
}

// More entries than one view checks, with and without a remainder.
func TestVerifyBatches(t *testing.T) {
	f := newLog(t)
	for _, n := range []uint64{verifyBatch, verifyBatch + 1, 2 * verifyBatch} {
		f.update(func(w keystore.Writer) error {
			for {
				head, err := f.Head(w)
				if err != nil || head.Sequence == n {
					return err
				}
				if err := f.Append(w, act(1)); err != nil {
					return err
				}
			}
		})
		if end, err := f.Verify(f.store); err != nil || end.Newest != n {
			t.Errorf("of %d entries the log ends at %d: %v", n, end.Newest, err)
		}
	}
	f.replace(keystore.TableAudit, entryKey(verifyBatch+1), func([]byte) []byte { return nil })
	_, err := f.Verify(f.store)
	wantFault(t, "a gap between views", err, FaultMissing, verifyBatch+1, verifyBatch+1)
}

// Every change of every byte of every entry is found, at that entry.
func TestVerifyFindsAlteredBytes(t *testing.T) {
	f := logOf(t, testEntries)
	for n := uint64(1); n <= testEntries; n++ {
		original := f.stored(n)
		for i := range original {
			f.replace(keystore.TableAudit, entryKey(n), func(b []byte) []byte { b[i] ^= 1; return b })
			_, err := f.Verify(f.store)
			wantFault(t, fmt.Sprintf("byte %d of entry %d", i, n), err, FaultAltered, n, n)
			f.replace(keystore.TableAudit, entryKey(n), func([]byte) []byte { return original })
		}
		for _, size := range []int{0, 1, entryHeader, len(original) - 1} {
			f.replace(keystore.TableAudit, entryKey(n), func([]byte) []byte { return original[:size] })
			_, err := f.Verify(f.store)
			wantFault(t, fmt.Sprintf("entry %d cut to %d bytes", n, size), err, FaultAltered, n, n)
			f.replace(keystore.TableAudit, entryKey(n), func([]byte) []byte { return original })
		}
	}
	if _, err := f.Verify(f.store); err != nil {
		t.Errorf("put back as it was: %v", err)
	}
}

// An entry's hash and MAC made anew by somebody who has no key still do not make the
// entry.
func TestVerifyFindsRecomputedHashes(t *testing.T) {
	for n := uint64(2); n <= testEntries; n++ {
		f := logOf(t, testEntries)
		all := f.entries()
		at := all[n-2].Position
		// A new chain from n on, with the MACs that are there.
		for _, e := range all[n-1:] {
			e.Record.Detail = "altered"
			record := e.Record.encode()
			at = at.follow(record)
			f.replace(keystore.TableAudit, entryKey(e.Sequence), func(b []byte) []byte {
				return slices.Concat(b[:1], at.Hash[:], b[1+len(at.Hash):entryHeader], record)
			})
		}
		_, err := f.Verify(f.store)
		wantFault(t, fmt.Sprintf("a new chain from %d on", n), err, FaultAltered, n, n)
	}
}

func TestVerifyFindsCuts(t *testing.T) {
	for first := uint64(1); first <= testEntries; first++ {
		for last := first; last <= testEntries; last++ {
			f := logOf(t, testEntries)
			for n := first; n <= last; n++ {
				f.replace(keystore.TableAudit, entryKey(n), func([]byte) []byte { return nil })
			}
			_, err := f.Verify(f.store)
			wantFault(t, fmt.Sprintf("%d to %d cut", first, last), err, FaultMissing, first, last)
			if last == testEntries {
				continue
			}
			// The rest moved up, so that there is no gap.
			for n := last + 1; n <= testEntries; n++ {
				moved := f.stored(n)
				f.replace(keystore.TableAudit, entryKey(n-last+first-1), func([]byte) []byte { return moved })
				f.replace(keystore.TableAudit, entryKey(n), func([]byte) []byte { return nil })
			}
			_, err = f.Verify(f.store)
			wantFault(t, fmt.Sprintf("%d to %d cut, the rest moved up", first, last), err, FaultAltered, first, first)
		}
	}
}

func TestVerifyFindsReorder(t *testing.T) {
	for a := uint64(1); a <= testEntries; a++ {
		for b := a + 1; b <= testEntries; b++ {
			f := logOf(t, testEntries)
			atA, atB := f.stored(a), f.stored(b)
			f.replace(keystore.TableAudit, entryKey(a), func([]byte) []byte { return atB })
			f.replace(keystore.TableAudit, entryKey(b), func([]byte) []byte { return atA })
			_, err := f.Verify(f.store)
			wantFault(t, fmt.Sprintf("%d and %d exchanged", a, b), err, FaultAltered, a, a)
		}
	}
}

// An old head is this HSM's own, and still does not fit a log that went on.
func TestVerifyFindsAnOldHead(t *testing.T) {
	f := newLog(t)
	var heads [][]byte
	for i := 1; i <= testEntries; i++ {
		f.replace(keystore.TableHSM, keyHead, func(b []byte) []byte { heads = append(heads, slices.Clone(b)); return b })
		f.append(act(i))
	}
	for i, head := range heads {
		f.replace(keystore.TableHSM, keyHead, func([]byte) []byte { return head })
		_, err := f.Verify(f.store)
		wantFault(t, fmt.Sprintf("the head of entry %d", i+1), err, FaultMisplaced, uint64(i+2), uint64(i+2))
	}
	f.replace(keystore.TableHSM, keyHead, func([]byte) []byte { return nil })
	_, err := f.Verify(f.store)
	wantFault(t, "no head", err, FaultHead, 0, 0)
}

// Entries and heads of two histories of one HSM do not make a log, though each of
// them was written by it.
func TestVerifyFindsMixedHistories(t *testing.T) {
	// The histories part behind entry 1: of either, entry 2 would follow.
	for n := uint64(3); n <= testEntries; n++ {
		f := logOf(t, testEntries)
		old := f.stored(n)
		f.regrow(2)
		f.replace(keystore.TableAudit, entryKey(n), func([]byte) []byte { return old })
		_, err := f.Verify(f.store)
		wantFault(t, fmt.Sprintf("entry %d of another history", n), err, FaultAltered, n, n)
	}
	f := logOf(t, testEntries)
	var old []byte
	f.replace(keystore.TableHSM, keyHead, func(b []byte) []byte { old = b; return b })
	f.regrow(2)
	f.replace(keystore.TableHSM, keyHead, func([]byte) []byte { return old })
	_, err := f.Verify(f.store)
	wantFault(t, "the head of another history", err, FaultHead, 0, 0)
}

func TestVerifyFindsForeignRecords(t *testing.T) {
	for name, key := range map[string][]byte{
		"a short key":               {0},
		"a key like an entry's":     append(entryKey(3), 0),
		"a key behind all entries":  {0xff},
		"a long key behind the end": append(entryKey(testEntries), 0),
	} {
		f := logOf(t, testEntries)
		f.replace(keystore.TableAudit, key, func([]byte) []byte { return []byte("foreign") })
		_, err := f.Verify(f.store)
		wantFault(t, name, err, FaultMisplaced, 0, 0)
	}
	for _, n := range []uint64{0, testEntries + 1, ^uint64(0)} {
		f := logOf(t, testEntries)
		copied := f.stored(testEntries)
		f.replace(keystore.TableAudit, entryKey(n), func([]byte) []byte { return copied })
		_, err := f.Verify(f.store)
		wantFault(t, fmt.Sprintf("an entry %d", n), err, FaultMisplaced, n, n)
	}
}

// The owner, who has all keys, puts another signing key in place.
func TestVerifyFindsAnotherSigningKey(t *testing.T) {
	f := logOf(t, testEntries)
	f.update(func(w keystore.Writer) error {
		_, err := f.createSigningKey(w)
		return err
	})
	_, err := f.Verify(f.store)
	wantFault(t, "another signing key", err, FaultAltered, 1, 1)
	f.replace(keystore.TableHSM, keySigningKey, func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
	if _, err := f.Verify(f.store); cryptoki.Code(err) != cryptoki.CKR_DEVICE_ERROR {
		t.Errorf("a damaged signing key: %v", err)
	}
}

// Whatever is done to the store without the key, the log does not hold any more.
func TestVerifyFindsAnyChange(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := logOf(t, testEntries)
		before := dump(t, f.store)
		for range rapid.IntRange(1, 4).Draw(rt, "changes") {
			n := rapid.Uint64Range(1, testEntries+2).Draw(rt, "entry")
			m := rapid.Uint64Range(1, testEntries).Draw(rt, "other")
			switch rapid.SampledFrom([]string{"delete", "copy", "flip", "head"}).Draw(rt, "change") {
			case "delete":
				f.replace(keystore.TableAudit, entryKey(n), func([]byte) []byte { return nil })
			case "copy":
				f.update(func(w keystore.Writer) error {
					b, err := w.Get(keystore.TableAudit, entryKey(m))
					if err != nil || b == nil {
						return err
					}
					return w.Put(keystore.TableAudit, entryKey(n), slices.Clone(b))
				})
			case "flip":
				f.replace(keystore.TableAudit, entryKey(n), func(b []byte) []byte {
					if len(b) == 0 {
						return nil
					}
					b[rapid.IntRange(0, len(b)-1).Draw(rt, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
					return b
				})
			case "head":
				f.replace(keystore.TableHSM, keyHead, func(b []byte) []byte {
					b[rapid.IntRange(0, len(b)-1).Draw(rt, "byte")] ^= 1
					return b
				})
			}
		}
		changed := dump(t, f.store) != before
		if _, err := f.Verify(f.store); (err != nil) != changed {
			rt.Errorf("changed: %v, found: %v", changed, err)
		}
	})
}
