package audit

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/keystore/memstore"
	"tidelock.dev/tidelock/seal"
)

var update = flag.Bool("update", false, "write testdata/golden.txt anew")

const goldenFile = "testdata/golden.txt"

const goldenHead = `# A whole log as it lies in a store, as it is exported, and a checkpoint of it; records in hexadecimal, lines of
# text as they are, the checkpoint quoted as in Go. The key file of the HSM has the bytes 0 to 31. Stores and exports
# like this exist: what reads them must go on doing so, so that a line may be added here and none changed.
`

// goldenRecords are the records behind the first entry, as their callers gave them.
var goldenRecords = []Record{
	{Event: EventHSMStart, Detail: "start 1"},
	act(3),
	{Event: EventRoleLock, Result: cryptoki.CKR_PIN_LOCKED, Partition: 1, Detail: "wrong PIN 10 of 10",
		Actor: Actor{Source: SourceLocal, Role: RoleCryptoOfficer, Application: 1, UID: 1000, PID: 4711, Program: "\x1b[31mred\u202e \"<é>\\"}},
	{Event: ^Event(0), Result: ^cryptoki.RV(0), Partition: ^uint32(0), Object: ^cryptoki.ObjectHandle(0), Related: ^cryptoki.ObjectHandle(0),
		Mechanism: Some(^cryptoki.MechanismType(0)), Class: Some(^cryptoki.ObjectClass(0)), Detail: strings.Repeat("d", MaxDetail+1),
		Actor: Actor{Source: ^Source(0), Role: ^Role(0), Application: ^uint64(0), UID: ^uint32(0), PID: math.MinInt32, Program: strings.Repeat("é", MaxProgram)}},
}

// goldenRoot opens the golden HSM's key.
func goldenRoot(t *testing.T) *seal.RootKEK {
	t.Helper()
	file := make([]byte, seal.KeyFileSize)
	for i := range file {
		file[i] = byte(i)
	}
	root, err := seal.NewStretcher(true).RootKEK([]seal.Factor{seal.KeyFile()}, secret.Take(file))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// writeGolden makes another log of the golden records, with keys of its own.
func writeGolden(t *testing.T) {
	t.Helper()
	f := newLog(t)
	for _, r := range goldenRecords {
		f.append(r)
	}
	c := f.checkpoint("")
	text := bytes.NewBufferString(goldenHead)
	fmt.Fprintf(text, "hsm-key %x\n", goldenRoot(t).WrapHSMKey(f.key))
	for _, r := range []struct {
		name string
		key  []byte
	}{{"signing-key", keySigningKey}, {"head", keyHead}} {
		f.replace(keystore.TableHSM, r.key, func(b []byte) []byte { fmt.Fprintf(text, "%s %x\n", r.name, b); return b })
	}
	for n := range c.Sequence {
		fmt.Fprintf(text, "entry %x\n", f.stored(n+1))
	}
	for _, line := range f.export(1) {
		fmt.Fprintf(text, "line %s\n", line)
	}
	fmt.Fprintf(text, "checkpoint %q\n", c.Text())
	if err := os.WriteFile(goldenFile, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// golden is what the file says.
type golden struct {
	hsmKey, signingKey, head []byte
	entries, lines           [][]byte
	checkpoint               []byte
}

func readGolden(t *testing.T) (g golden) {
	t.Helper()
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		b := []byte(value)
		switch name {
		case "#":
			continue
		case "line":
			g.lines = append(g.lines, b)
			continue
		case "checkpoint":
			var unquoted string
			unquoted, err = strconv.Unquote(value)
			g.checkpoint = []byte(unquoted)
		default:
			b, err = hex.DecodeString(value)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		switch name {
		case "hsm-key":
			g.hsmKey = b
		case "signing-key":
			g.signingKey = b
		case "head":
			g.head = b
		case "entry":
			g.entries = append(g.entries, b)
		}
	}
	return g
}

// fixture is the HSM whose store the file describes.
func (g golden) fixture(t *testing.T) *fixture {
	t.Helper()
	key, err := goldenRoot(t).OpenHSMKey(g.hsmKey)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, key: key, store: memstore.New(), clock: testStart}
	f.Log = New(Config{Key: key, Serial: testSerial, Now: f.now})
	put := func(table keystore.Table, key, value []byte) {
		f.replace(table, key, func([]byte) []byte { return value })
	}
	put(keystore.TableHSM, keySigningKey, g.signingKey)
	put(keystore.TableHSM, keyHead, g.head)
	for i, b := range g.entries {
		put(keystore.TableAudit, entryKey(uint64(i+1)), b)
	}
	return f
}

// A log that was written once is read, verified and exported for ever.
func TestGoldenIsRead(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	g := readGolden(t)
	f := g.fixture(t)
	if end, err := f.Verify(f.store); err != nil || end.Newest != uint64(len(goldenRecords)+2) {
		t.Fatalf("the log ends at %d: %v", end.Newest, err)
	}
	if got := f.export(1); !slices.EqualFunc(got, g.lines, bytes.Equal) {
		t.Errorf("got\n%s\nwant\n%s", bytes.Join(got, []byte("\n")), bytes.Join(g.lines, []byte("\n")))
	}
	all := f.entries()
	for i, r := range goldenRecords {
		r.Time = testStart.Add(time.Duration(i+2) * time.Second)
		if got := all[i+1].Record; got != r.normal() {
			t.Errorf("entry %d is\n%+v, not\n%+v", i+2, got, r.normal())
		}
	}
	c, err := ParseCheckpoint(g.checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	if c.Position != all[len(all)-1].Position || c.Serial != testSerial {
		t.Errorf("the checkpoint is %+v", c)
	}
	if report, err := verify(t, g.lines, NamedCheckpoint{"c", c}); err != nil || report.Proven != c.Sequence {
		t.Errorf("the exported log: %+v, %v", report, err)
	}
}

// The same acts at the same times give the same bytes. Of the golden store only the
// keys are used, and the first entry, which names one.
func TestGoldenIsWritten(t *testing.T) {
	g := readGolden(t)
	f := g.fixture(t)
	f.truncate(1)
	f.clock = testStart.Add(time.Second)
	for _, r := range goldenRecords {
		f.append(r)
	}
	c := f.checkpoint("")
	for i, want := range g.entries {
		if got := f.stored(uint64(i + 1)); !bytes.Equal(got, want) {
			t.Errorf("entry %d is\n%x, not\n%x", i+1, got, want)
		}
	}
	f.replace(keystore.TableHSM, keyHead, func(b []byte) []byte {
		if !bytes.Equal(b, g.head) {
			t.Errorf("the head is\n%x, not\n%x", b, g.head)
		}
		return b
	})
	if !bytes.Equal(c.Text(), g.checkpoint) {
		t.Errorf("the checkpoint is\n%s, not\n%s", c.Text(), g.checkpoint)
	}
}
