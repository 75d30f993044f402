package wire

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

var update = flag.Bool("update", false, "write testdata/golden.txt anew")

const goldenFile = "testdata/golden.txt"

const goldenHead = `# Messages as both codecs must write them: call, direction, sample, and the body in hexadecimal ("-" for an
# empty one). The samples are in samples_test.go and in clib/test/codec_test.c. Go writes this file (go test ./wire
# -update), C must agree. A line of a released protocol may only change together with the protocol's version.
`

type golden struct {
	name string
	body []byte
}

// goldens encodes every message with every sample, then the mechanisms of all shapes,
// then a header.
func goldens() []golden {
	var all []golden
	for _, c := range Calls() {
		for _, direction := range []string{"request", "reply"} {
			for _, v := range []string{"zero", "sample", "most"} {
				m := messageOf(c, direction)
				fill(m, variants[v])
				all = append(all, golden{fmt.Sprintf("%s %s %s", c, direction, v), m.AppendTo(nil)})
			}
		}
	}
	var names []string
	for name := range edges() {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		m := edges()[name]
		all = append(all, golden{"mechanism request " + name, appendMechanism(nil, &m)})
	}
	return append(all, golden{"header reply sample", AppendHeader(nil, sampleHeader)})
}

var sampleHeader = Header{
	Length: 0x01020, Kind: KindReply, Call: CallOperateFused, Request: 0x1122334455667788, Application: 0x2122334455667788,
	Session: 0x3122334455667788, Code: cryptoki.CKR_BUFFER_TOO_SMALL, Epoch: 0x4122334455667788,
}

func messageOf(c Call, direction string) Message {
	if direction == "request" {
		return c.NewRequest()
	}
	return c.NewReply()
}

func readGoldens(t testing.TB) []golden {
	t.Helper()
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	var all []golden
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		if len(words) != 4 {
			t.Fatalf("%s: not a golden line: %s", goldenFile, line)
		}
		body, err := hex.DecodeString(strings.TrimPrefix(words[3], "-"))
		if err != nil {
			t.Fatalf("%s: %s: %v", goldenFile, words[:3], err)
		}
		all = append(all, golden{strings.Join(words[:3], " "), body})
	}
	return all
}

func TestGoldenEncoding(t *testing.T) {
	want := goldens()
	if *update {
		text := goldenHead
		for _, g := range want {
			body := hex.EncodeToString(g.body)
			if body == "" {
				body = "-"
			}
			text += g.name + " " + body + "\n"
		}
		if err := os.WriteFile(goldenFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got := readGoldens(t)
	if len(got) != len(want) {
		t.Fatalf("%d golden lines, want %d", len(got), len(want))
	}
	for i, g := range got {
		if g.name != want[i].name {
			t.Fatalf("golden line %d is %q, want %q", i, g.name, want[i].name)
		}
		if !bytes.Equal(g.body, want[i].body) {
			t.Errorf("%s\nencoded %x\ngolden  %x", g.name, want[i].body, g.body)
		}
	}
}

// TestGoldenDecoding parses the messages into fresh ones and into used ones, and
// every beginning and every prolongation, which must not parse.
func TestGoldenDecoding(t *testing.T) {
	for _, g := range readGoldens(t) {
		words := strings.Fields(g.name)
		c := callNamed(words[0])
		if c == 0 {
			continue
		}
		for used, v := range variants {
			m := messageOf(c, words[1])
			fill(m, v)
			if err := m.Parse(g.body); err != nil {
				t.Errorf("%s: %v", g.name, err)
				continue
			}
			if again := m.AppendTo(nil); !bytes.Equal(again, g.body) {
				t.Errorf("%s parsed over %s\nbecomes %x\nwant    %x", g.name, used, again, g.body)
			}
		}
		m := messageOf(c, words[1])
		for n := range g.body {
			if err := m.Parse(g.body[:n]); cryptoki.Code(err) != cryptoki.CKR_ARGUMENTS_BAD {
				t.Errorf("%s cut to %d bytes: %v", g.name, n, err)
			}
		}
		if err := m.Parse(append(g.body, 0)); cryptoki.Code(err) != cryptoki.CKR_ARGUMENTS_BAD {
			t.Errorf("%s with a byte more: %v", g.name, err)
		}
	}
}

func callNamed(name string) Call {
	for _, c := range Calls() {
		if c.String() == name {
			return c
		}
	}
	return 0
}

// TestGoldenByHand holds against the document what the other tests only hold
// against the codec itself.
func TestGoldenByHand(t *testing.T) {
	for name, want := range map[string]string{
		"SlotInfo request sample":    "8877665544332211",
		"SlotList request sample":    "01",
		"Login request sample":       "8877665544332211" + "02000000" + "a0a1",
		"Find reply sample":          "03000000" + "0100000000000000" + "0000000001000000" + "0000000000000000" + "00",
		"GetAttributes reply zero":   "00000000",
		"mechanism request pss":      "4300000000000000" + "0300" + "0300" + "00000000" + "5002000000000000" + "0200000000000000" + "2000000000000000",
		"mechanism request bytes":    "8510000000000000" + "0100" + "0100" + "10000000" + "1000000000000000" + hex.EncodeToString([]byte("0123456789abcdef")),
		"GetAttributes reply sample": "04000000" + "00" + "03000000" + "616263" + "01" + "00000000" + "02" + "00000000" + "00" + "00000000",
		"header reply sample": "20100000" + "01" + "02" + "2000" + "8877665544332211" + "8877665544332221" + "8877665544332231" +
			"50010000" + "00000000" + "8877665544332241",
	} {
		i := slices.IndexFunc(readGoldens(t), func(g golden) bool { return g.name == name })
		if i < 0 {
			t.Errorf("no golden line %s", name)
			continue
		}
		if got := hex.EncodeToString(readGoldens(t)[i].body); got != want {
			t.Errorf("%s\nis   %s\nwant %s", name, got, want)
		}
	}
}
