package audit

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidelock.dev/tidelock/cryptoki"
)

func TestEntryLine(t *testing.T) {
	e := Entry{Position{17, origin("x")}, Record{
		Time: time.UnixMicro(1_795_500_000_000_001), Event: EventKeyGenerate,
		Actor:  Actor{Source: SourceLocal, Role: RoleCryptoOfficer, Application: 3, UID: 1000, PID: 4711, Program: `a "<program>"`},
		Object: 42, Partition: 1, Mechanism: Some(cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN), Class: Some(cryptoki.CKO_DATA),
	}.normal()}
	want := `{"sequence":17,"time":"2026-11-24T06:00:00.000001Z","event":"key-generate","result":"CKR_OK","source":"local","role":"crypto-officer",` +
		`"application":3,"uid":1000,"pid":4711,"program":"a \"<program>\"","partition":1,"object":42,"mechanism":"CKM_RSA_PKCS_KEY_PAIR_GEN",` +
		`"class":"CKO_DATA","hash":"` + e.Hash.String() + `"}`
	if got := string(e.Line()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEntryLineRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := Entry{Position{rapid.Uint64().Draw(t, "sequence"), origin(rapid.String().Draw(t, "hash"))}, recordGen.Draw(t, "record").normal()}
		text := e.Line()
		if bytes.ContainsRune(text, '\n') {
			t.Fatalf("a line with an end inside: %q", text)
		}
		got, err := ParseEntry(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got != e {
			t.Fatalf("got  %+v\nwant %+v", got, e)
		}
	})
}

// The longest entries fit a line, and a page of them fits a frame.
func TestLongestLine(t *testing.T) {
	longest := Record{
		Time: lastTime, Event: ^Event(0), Result: ^cryptoki.RV(0),
		Actor:     Actor{Source: 255, Role: RoleLimitedCryptoOfficer, Application: ^uint64(0), UID: ^uint32(0), PID: -1 << 31, Program: strings.Repeat(`"`, MaxProgram)},
		Partition: ^uint32(0), Object: ^cryptoki.ObjectHandle(0), Related: ^cryptoki.ObjectHandle(0),
		Class: Some(^cryptoki.ObjectClass(0)), Detail: strings.Repeat(`\`, MaxDetail),
	}
	// The longest name of a mechanism.
	for m := range cryptoki.MechanismType(1 << 16) {
		if !longest.Mechanism.Present || len(m.String()) > len(longest.Mechanism.Value.String()) {
			longest.Mechanism = Some(m)
		}
	}
	text := Entry{Position{^uint64(0), origin("")}, longest.normal()}.Line()
	if len(text) > MaxLine {
		t.Errorf("a line of %d bytes", len(text))
	}
	if _, err := ParseEntry(text); err != nil {
		t.Error(err)
	}
	// Beside the entries: lengths, header, the frame's own.
	const frame, others = 1 << 20, 4096
	if MaxPage*(4+MaxLine)+others > frame {
		t.Errorf("%d lines do not fit a frame", MaxPage)
	}
}

// A text that another program would read in another way is refused, as is every
// value that no HSM writes.
func TestParseEntryRefuses(t *testing.T) {
	good := string(Entry{Position{7, origin("x")}, act(7).normal()}.Line())
	replace := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%s is not in %s", old, good)
		}
		return strings.Replace(good, old, with, 1)
	}
	for _, test := range []struct{ name, text string }{
		{"nothing", ""},
		{"no object", "[]"},
		{"null", "null"},
		{"a field twice", replace(`"uid":1000`, `"uid":0,"uid":1000`)},
		{"a field in another case", replace(`"program":`, `"program":"evil","Program":`)},
		{"an unknown field", replace(`"uid":`, `"gid":5,"uid":`)},
		{"a missing field", replace(`"uid":1000,`, ``)},
		{"fields in another order", replace(`"uid":1000,"pid":4711`, `"pid":4711,"uid":1000`)},
		{"a space", replace(`"uid":1000`, `"uid": 1000`)},
		{"an escaped letter", replace(`"a program"`, `"\u0061 program"`)},
		{"something behind", good + " {}"},
		{"a space behind", good + " "},
		{"a number of another form", replace(`1000`, `1e3`)},
		{"a number that is too large", replace(`1000`, `4294967296`)},
		{"a negative number", replace(`1000`, `-1`)},
		{"an event by its number", replace(`"key-generate"`, `"event-60"`)},
		{"an unknown event", replace(`"key-generate"`, `"nothing"`)},
		{"a role by its number", replace(`"crypto-officer"`, `"role-2"`)},
		{"an unknown source", replace(`"local"`, `"nowhere"`)},
		{"a result by its number", replace(`"CKR_OK"`, `"0x00000000"`)},
		{"an unknown mechanism", replace(`CKM_AES_KEY_GEN`, `CKM_NOTHING`)},
		{"an unknown class", replace(`CKO_SECRET_KEY`, `CKO_NOTHING`)},
		{"an object of 0", replace(`"object":7`, `"object":0`)},
		{"a time without a fraction", replace(`.000000Z`, `Z`)},
		{"a time in another zone", replace(`.000000Z`, `.000000+00:00`)},
		{"a time before 1970", replace(`1970-`, `1969-`)},
		{"a short hash", replace(`"}`, `00"}`)},
		{"a hash in capitals", strings.ToUpper(good)},
		{"a control character", replace(`"a program"`, `"\u001b"`)},
		{"a long detail", replace(`"act 7"`, `"`+strings.Repeat("a", MaxDetail+1)+`"`)},
		{"a long line", good[:len(good)-1] + strings.Repeat(" ", MaxLine) + "}"},
	} {
		if e, err := ParseEntry([]byte(test.text)); err == nil {
			t.Errorf("%s: accepted as %v", test.name, e)
		}
	}
	if _, err := ParseEntry([]byte(good)); err != nil {
		t.Errorf("the line itself: %v", err)
	}
}

func TestHeader(t *testing.T) {
	h := Header{testSerial, 7, origin("x")}
	text := string(h.Line())
	if got, err := ParseHeader([]byte(text)); err != nil || got != h {
		t.Errorf("%s became %+v: %v", text, got, err)
	}
	for _, test := range []struct{ name, old, with string }{
		{"another format", "audit log", "audit"},
		{"another version", `"version":1`, `"version":2`},
		{"numbers from 0", `"from":7`, `"from":0`},
		{"a field twice", `"from":7`, `"from":8,"from":7`},
		{"a serial number that does not print", testSerial, `\u001b`},
		{"a long serial number", testSerial, strings.Repeat("1", maxSerial+1)},
		{"a short hash", `"}`, `00"}`},
	} {
		if !strings.Contains(text, test.old) {
			t.Fatalf("%s is not in %s", test.old, text)
		}
		if got, err := ParseHeader([]byte(strings.Replace(text, test.old, test.with, 1))); err == nil {
			t.Errorf("%s: accepted as %+v", test.name, got)
		}
	}
}

// A line that is accepted is the one that its entry has, and is JSON for others too.
func FuzzParseEntry(f *testing.F) {
	f.Add(Entry{Position{7, origin("x")}, act(7).normal()}.Line())
	f.Add(Entry{Record: Record{}.normal()}.Line())
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := ParseEntry(text)
		if err != nil {
			return
		}
		if !bytes.Equal(e.Line(), text) || !json.Valid(text) {
			t.Errorf("%q was accepted as %q", text, e.Line())
		}
		// What is hashed has to be what is shown.
		if got, err := parseRecord(e.Record.encode()); err != nil || got != e.Record {
			t.Errorf("%+v is hashed as %+v: %v", e.Record, got, err)
		}
	})
}

func FuzzParseHeader(f *testing.F) {
	f.Add(Header{testSerial, 1, origin(testSerial)}.Line())
	f.Fuzz(func(t *testing.T, text []byte) {
		if h, err := ParseHeader(text); err == nil && !bytes.Equal(h.Line(), text) {
			t.Errorf("%q was accepted as %q", text, h.Line())
		}
	})
}

func TestText(t *testing.T) {
	for _, test := range []struct {
		e    Entry
		want string
	}{
		{Entry{Record: Record{Event: EventHSMStart, Detail: "start 1"}.normal()}, "0 1970-01-01T00:00:00.000000Z hsm-start CKR_OK by the HSM: start 1"},
		{Entry{Position{3, Hash{}}, act(3).normal()},
			`3 1970-01-01T00:00:00.000000Z key-generate CKR_OK by crypto-officer, uid 1000, pid 4711, application 3, "a program": partition 1, object 3, CKO_SECRET_KEY, CKM_AES_KEY_GEN, act 3`},
	} {
		if got := test.e.String(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}
