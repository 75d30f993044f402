package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"tidelock.dev/tidelock/cryptoki"
)

// An exported log is lines of JSON: a Header, then the entries in their order. Each
// line has one form only, which a parser insists on: a text that other programs read in
// another way than this one, say with a name that occurs twice, is refused.

// MaxLine is the size of the longest line, in bytes, without its end.
const MaxLine = 2048

// exportFormat and exportVersion begin a Header.
const (
	exportFormat  = "tidelock audit log"
	exportVersion = 1
)

// maxSerial bounds the serial number of an HSM, in bytes.
const maxSerial = 64

// Header is an exported log's first line: whose log it is, and what stands before
// its first entry.
type Header struct {
	Serial string
	// From is the number of the first entry that follows.
	From uint64
	// Previous is the hash of the entry before that.
	Previous Hash
}

type headerJSON struct {
	Format   string `json:"format"`
	Version  int    `json:"version"`
	Serial   string `json:"serial"`
	From     uint64 `json:"from"`
	Previous string `json:"previous"`
}

// Line is the header as a line, without its end.
func (h Header) Line() []byte {
	return line(headerJSON{exportFormat, exportVersion, h.Serial, h.From, h.Previous.String()})
}

// ParseHeader reads a header's line.
func ParseHeader(text []byte) (Header, error) {
	var j headerJSON
	if err := parseLine(text, &j); err != nil {
		return Header{}, fmt.Errorf("not an exported audit log: %w", err)
	}
	if j.Format != exportFormat || j.Version != exportVersion {
		return Header{}, fmt.Errorf("not an exported audit log: format %q, version %d, instead of %q, version %d", j.Format, j.Version, exportFormat, exportVersion)
	}
	h := Header{Serial: j.Serial, From: j.From}
	if err := errors.Join(
		checkText(j.Serial, "serial number", maxSerial),
		parseHex(h.Previous[:], j.Previous, "hash"),
	); err != nil {
		return Header{}, err
	}
	if h.From == 0 {
		return Header{}, errors.New("the entries of a log are numbered from 1")
	}
	return h, sameLine(text, h.Line())
}

type entryJSON struct {
	Sequence    uint64 `json:"sequence"`
	Time        string `json:"time"`
	Event       string `json:"event"`
	Result      string `json:"result"`
	Source      string `json:"source"`
	Role        string `json:"role"`
	Application uint64 `json:"application"`
	UID         uint32 `json:"uid"`
	PID         int32  `json:"pid"`
	Program     string `json:"program"`
	Partition   uint32 `json:"partition"`
	Object      uint64 `json:"object,omitempty"`
	Related     uint64 `json:"related,omitempty"`
	Mechanism   string `json:"mechanism,omitempty"`
	Class       string `json:"class,omitempty"`
	Detail      string `json:"detail,omitempty"`
	Hash        string `json:"hash"`
}

// timeLayout is RFC 3339 in UTC with microseconds.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// Line is the entry as a line, without its end.
func (e Entry) Line() []byte {
	r := e.Record
	j := entryJSON{
		Sequence: e.Sequence, Time: r.Time.Format(timeLayout), Event: r.Event.String(), Result: r.Result.String(),
		Source: r.Actor.Source.String(), Role: r.Actor.Role.String(), Application: r.Actor.Application,
		UID: r.Actor.UID, PID: r.Actor.PID, Program: r.Actor.Program,
		Partition: r.Partition, Object: uint64(r.Object), Related: uint64(r.Related),
		Detail: r.Detail, Hash: e.Hash.String(),
	}
	if r.Mechanism.Present {
		j.Mechanism = r.Mechanism.Value.String()
	}
	if r.Class.Present {
		j.Class = r.Class.Value.String()
	}
	return line(j)
}

// ParseEntry reads an entry's line. That its hash is right is for a Verifier to say.
func ParseEntry(text []byte) (Entry, error) {
	var j entryJSON
	if err := parseLine(text, &j); err != nil {
		return Entry{}, err
	}
	r := Record{
		Actor:     Actor{Application: j.Application, UID: j.UID, PID: j.PID, Program: j.Program},
		Partition: j.Partition, Object: cryptoki.ObjectHandle(j.Object), Related: cryptoki.ObjectHandle(j.Related),
		Detail: j.Detail,
	}
	e := Entry{Position: Position{Sequence: j.Sequence}}
	if err := errors.Join(
		parseHex(e.Hash[:], j.Hash, "hash"),
		checkText(j.Program, "program", MaxProgram),
		checkText(j.Detail, "detail", MaxDetail),
		into(&r.Time, j.Time, parseTime),
		into(&r.Event, j.Event, ParseEvent),
		into(&r.Result, j.Result, cryptoki.ParseRV),
		into(&r.Actor.Source, j.Source, parseSource),
		into(&r.Actor.Role, j.Role, parseRole),
		optionally(&r.Mechanism, j.Mechanism, cryptoki.ParseMechanismType),
		optionally(&r.Class, j.Class, cryptoki.ParseObjectClass),
	); err != nil {
		return Entry{}, err
	}
	e.Record = r
	return e, sameLine(text, e.Line())
}

func into[T any](dst *T, s string, parse func(string) (T, error)) (err error) {
	*dst, err = parse(s)
	return err
}

func optionally[T ~uint64](dst *Optional[T], s string, parse func(string) (T, error)) error {
	if s == "" {
		return nil
	}
	dst.Present = true
	return into(&dst.Value, s, parse)
}

func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(timeLayout, s)
	if err == nil && (t.UnixMicro() < 0 || t.After(lastTime)) {
		err = fmt.Errorf("the time %s is out of range", s)
	}
	return t, err
}

// line encodes v, which always has a JSON form, on one line. Characters are not
// escaped beyond what JSON demands, so that they can be read.
func line(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("audit: %v", err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// parseLine decodes one JSON object that has the names of v and no others.
func parseLine(text []byte, v any) error {
	if len(text) > MaxLine {
		return fmt.Errorf("a line of more than %d bytes", MaxLine)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) {
		return fmt.Errorf("the line is not JSON of the expected form: it has a %s where it cannot be", kind.Value)
	}
	if err != nil {
		return fmt.Errorf("the line is not JSON of the expected form: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the line has something behind its JSON")
	}
	return nil
}

// sameLine refuses a line that is not in the form that it would be written in.
func sameLine(got, want []byte) error {
	if !bytes.Equal(got, want) {
		return errors.New("the text is not in the form that the HSM writes: it was edited or formatted")
	}
	return nil
}
