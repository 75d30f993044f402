package audit

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"tidelock.dev/tidelock/cryptoki"
)

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := recordGen.Draw(t, "record").normal()
		b := r.encode()
		if len(b) > maxRecord {
			t.Fatalf("the encoding has %d bytes, more than %d", len(b), maxRecord)
		}
		got, err := parseRecord(b)
		if err != nil {
			t.Fatal(err)
		}
		if got != r {
			t.Fatalf("got  %+v\nwant %+v", got, r)
		}
	})
}

// The encoding is what is hashed: it must not change.
func TestRecordEncoding(t *testing.T) {
	r := Record{
		Time: time.UnixMicro(0x102030405060), Event: EventKeyPairGenerate, Result: cryptoki.CKR_PIN_INCORRECT,
		Actor:     Actor{Source: SourceLocal, Role: RoleAuditor, Application: 2, UID: 3, PID: -1, Program: "p"},
		Partition: 4, Object: 5, Related: 6, Mechanism: Some(cryptoki.CKM_EC_KEY_PAIR_GEN), Class: Some(cryptoki.CKO_PRIVATE_KEY), Detail: "dé",
	}
	const want = "01" + "0000102030405060" + "003d" + "000000a0" + "01" + "07" + "0000000000000002" + "00000003" + "ffffffff" + "00000004" +
		"0000000000000005" + "0000000000000006" + "03" + "0000000000001040" + "0000000000000003" + "0170" + "0364c3a9"
	if got := hex.EncodeToString(r.encode()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestParseRecordRefuses(t *testing.T) {
	good := act(7).normal().encode()
	change := func(at int, to ...byte) []byte { return slices.Replace(slices.Clone(good), at, at+len(to), to...) }
	program := fixedSize
	for _, test := range []struct {
		name, says string
		b          []byte
	}{
		{"nothing", "cut short", nil},
		{"another version", "version 2", change(0, 2)},
		{"a late time", "9999", change(1, 0xff)},
		{"unknown presence bits", "presence", change(53, 7)},
		{"a mechanism where there is none", "mechanism", change(53, presentClass)},
		{"a class where there is none", "class", change(53, presentMechanism)},
		{"a long program", "more than 64", slices.Concat(good[:program], []byte{65}, bytes.Repeat([]byte{'a'}, 65), []byte{0})},
		{"a program that is cut short", "program is cut short", good[:program+5]},
		{"no detail", "detail is cut short", good[:program+1+int(good[program])]},
		{"a control character", "U+001B", change(program+1, 0x1b)},
		{"no UTF-8", "UTF-8", change(program+1, 0xff)},
		{"more behind it", "behind its end", append(slices.Clone(good), 0)},
		{"far too long", "more than", make([]byte, maxRecord+1)},
	} {
		if _, err := parseRecord(test.b); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, which does not say %q", test.name, err, test.says)
		}
	}
	for n := range good {
		if _, err := parseRecord(good[:n]); err == nil {
			t.Errorf("the first %d bytes of %d were accepted", n, len(good))
		}
	}
}

// Texts of every length, the longest too, come back.
func TestLengthsOfTexts(t *testing.T) {
	for n := range MaxDetail + 1 {
		r := Record{Detail: strings.Repeat("d", n), Actor: Actor{Program: strings.Repeat("p", min(n, MaxProgram))}}.normal()
		if got, err := parseRecord(r.encode()); err != nil || got != r {
			t.Errorf("%d bytes became %+v: %v", n, got, err)
		}
	}
}

// An encoding that parses is the one that its record has.
func FuzzParseRecord(f *testing.F) {
	f.Add(Record{}.normal().encode())
	f.Add(act(1).normal().encode())
	f.Add(Record{Detail: strings.Repeat("d", MaxDetail)}.normal().encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		if got := r.normal().encode(); !bytes.Equal(got, b) {
			t.Errorf("%x became %x", b, got)
		}
	})
}

func TestNormal(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"", ""},
		{"plain", "plain"},
		{"grün <&>", "grün <&>"},
		{"\x1b[31mred", "\uFFFD[31mred"},
		{"two\nlines", "two\uFFFDlines"},
		{"\u202egnp.exe", "\uFFFDgnp.exe"},
		{"\xff\xffbytes", "\uFFFDbytes"},
		{strings.Repeat("a", MaxProgram+1), strings.Repeat("a", MaxProgram)},
		{strings.Repeat("a", MaxProgram-1) + "é", strings.Repeat("a", MaxProgram-1)},
		{strings.Repeat("\n", MaxProgram), strings.Repeat("\uFFFD", MaxProgram/3)},
	} {
		if got := printable(test.in, MaxProgram); got != test.want {
			t.Errorf("%q became %q, not %q", test.in, got, test.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := textGen.Draw(t, "text")
		size := rapid.IntRange(0, 80).Draw(t, "size")
		got := printable(s, size)
		if len(got) > size || !utf8.ValidString(got) || checkText(got, "text", size) != nil {
			t.Fatalf("%q became %q", s, got)
		}
		if checkText(s, "text", size) == nil && got != s {
			t.Fatalf("%q, which is fine, became %q", s, got)
		}
	})
	for _, at := range []time.Time{{}, time.UnixMicro(-1), time.UnixMicro(math.MaxInt64), lastTime.Add(time.Hour)} {
		micros := binary.BigEndian.Uint64(Record{Time: at}.normal().encode()[1:])
		if micros > uint64(lastTime.UnixMicro()) {
			t.Errorf("the time %v is stored as %d", at, micros)
		}
	}
}

func TestNames(t *testing.T) {
	names := make(map[string]bool)
	for e, name := range events {
		if names[name] {
			t.Errorf("two events are called %s", name)
		}
		names[name] = true
		if got, err := ParseEvent(e.String()); err != nil || got != e {
			t.Errorf("%s became %v: %v", name, got, err)
		}
	}
	for n := range 256 {
		if got, err := ParseEvent(Event(n).String()); err != nil || got != Event(n) {
			t.Errorf("event %d became %v: %v", n, got, err)
		}
		if got, err := parseSource(Source(n).String()); err != nil || got != Source(n) {
			t.Errorf("source %d became %v: %v", n, got, err)
		}
		if got, err := parseRole(Role(n).String()); err != nil || got != Role(n) {
			t.Errorf("role %d became %v: %v", n, got, err)
		}
	}
	for _, name := range []string{"", "event-", "event-65536", "event--1", "nothing"} {
		if e, err := ParseEvent(name); err == nil {
			t.Errorf("%q is event %v", name, e)
		}
	}
	for _, name := range []string{"", "role-", "role-256", "role-7x"} {
		if r, err := parseRole(name); err == nil {
			t.Errorf("%q is role %v", name, r)
		}
	}
}
