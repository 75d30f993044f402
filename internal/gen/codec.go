package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// protocol is what the tables say about the wire; the emitters in codec_go.go and
// codec_c.go turn it into the two codecs.
type protocol struct {
	calls      []call
	shapes     []shape
	mechanisms []constant // of the class of their shape
	attributes []constant // of the class of their kind
}

// call is one call of the protocol with the fields of its two bodies.
type call struct {
	number  uint16
	name    string
	creates bool
	request []field
	reply   []field
}

type field struct {
	name string
	typ  string
}

// fieldTypes are the types of docs/wire.md, "Field types".
var fieldTypes = map[string]bool{
	"u8": true, "u16": true, "u32": true, "u64": true, "bool": true, "id": true,
	"bytes": true, "secret": true, "text": true, "texts": true, "u64s": true,
	"template": true, "values": true, "mechanism": true,
}

// shape is the form of a mechanism parameter. All its structures put the same
// fields on the wire.
type shape struct {
	number  uint16
	name    string
	layouts []layout
}

// layout is one C structure that a shape is read from.
type layout struct {
	structure string
	members   []member
}

// member is a row of parameters.csv.
type member struct {
	field  string
	member string
	length string
	kind   string
}

// wireFields are the members that travel.
func (l layout) wireFields() []member {
	var fields []member
	for _, m := range l.members {
		if m.kind != "skip" {
			fields = append(fields, m)
		}
	}
	return fields
}

// codecOutputs makes the files of both codecs from the tables under root.
func codecOutputs(root string) ([]output, error) {
	p, err := readProtocol(root)
	if err != nil {
		return nil, err
	}
	goFiles, err := goCodec(p)
	if err != nil {
		return nil, err
	}
	cFiles, err := cCodec(p)
	if err != nil {
		return nil, err
	}
	return append(goFiles, cFiles...), nil
}

func readProtocol(root string) (*protocol, error) {
	text, err := os.ReadFile(filepath.Join(root, "cryptoki", "table", "calls.txt"))
	if err != nil {
		return nil, err
	}
	p := &protocol{}
	if p.calls, err = parseCalls(text); err != nil {
		return nil, fmt.Errorf("calls.txt: %w", err)
	}
	if p.shapes, err = readShapes(root); err != nil {
		return nil, err
	}
	if p.mechanisms, err = readMechanisms(root); err != nil {
		return nil, err
	}
	if p.attributes, err = readAttributes(root); err != nil {
		return nil, err
	}
	return p, nil
}

var (
	callName  = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	fieldName = regexp.MustCompile(`^[a-z][A-Za-z0-9]*$`)
)

// parseCalls reads calls.txt; its head describes the format.
func parseCalls(text []byte) ([]call, error) {
	var calls []call
	names := map[string]bool{}
	scanner := bufio.NewScanner(bytes.NewReader(text))
	for line := 1; scanner.Scan(); line++ {
		words := strings.Fields(scanner.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		var err error
		switch words[0] {
		case "call":
			var c call
			if c, err = parseCall(words[1:]); err != nil {
				break
			}
			if len(calls) > 0 && c.number <= calls[len(calls)-1].number || names[c.name] {
				err = fmt.Errorf("call %d %s: numbers must rise and names differ", c.number, c.name)
			}
			names[c.name] = true
			calls = append(calls, c)
		case ">", "<":
			if len(calls) == 0 {
				err = errors.New("a field before the first call")
				break
			}
			last := &calls[len(calls)-1]
			if words[0] == ">" {
				last.request, err = appendField(last.request, words[1:])
			} else {
				last.reply, err = appendField(last.reply, words[1:])
			}
		default:
			err = fmt.Errorf("unknown word %q", words[0])
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
	return calls, scanner.Err()
}

func parseCall(words []string) (call, error) {
	if len(words) < 2 || len(words) > 3 || len(words) == 3 && words[2] != "CREATES" {
		return call{}, errors.New("want: call NUMBER NAME [CREATES]")
	}
	number, err := strconv.ParseUint(words[0], 10, 16)
	if err != nil || number == 0 {
		return call{}, fmt.Errorf("%q is not a call number of 1 to 65535", words[0])
	}
	if !callName.MatchString(words[1]) {
		return call{}, fmt.Errorf("%q is not a call name", words[1])
	}
	return call{number: uint16(number), name: words[1], creates: len(words) == 3}, nil
}

func appendField(fields []field, words []string) ([]field, error) {
	if len(words) != 2 || !fieldName.MatchString(words[0]) || !fieldTypes[words[1]] {
		return nil, fmt.Errorf("%q is not a field name and a type", strings.Join(words, " "))
	}
	for _, f := range fields {
		if f.name == words[0] {
			return nil, fmt.Errorf("field %s twice", f.name)
		}
	}
	return append(fields, field{name: words[0], typ: words[1]}), nil
}

// parseShapes reads parameters.csv. The numbers start at 0 and have no gaps, so
// that the codecs can index by them.
func parseShapes(text []byte) ([]shape, error) {
	r := csv.NewReader(bytes.NewReader(text))
	r.Comment = '#'
	header, err := r.Read()
	if err != nil {
		return nil, err
	}
	if got := strings.Join(header, ","); got != "shape,name,struct,field,member,length,kind" {
		return nil, fmt.Errorf("unexpected columns %s", got)
	}
	var shapes []shape
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		number, err := strconv.ParseUint(row[0], 10, 16)
		if err != nil {
			return nil, fmt.Errorf("line %d: shape: %w", line, err)
		}
		if int(number) == len(shapes) {
			shapes = append(shapes, shape{number: uint16(number), name: row[1]})
		}
		if int(number) != len(shapes)-1 || shapes[number].name != row[1] {
			return nil, fmt.Errorf("line %d: shape %d %s is out of sequence", line, number, row[1])
		}
		if row[6] == "" {
			continue
		}
		m := member{field: row[3], member: row[4], length: row[5], kind: row[6]}
		if err := shapes[number].add(row[2], m); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
	for _, s := range shapes {
		if err := s.check(); err != nil {
			return nil, err
		}
	}
	return shapes, nil
}

func (s *shape) add(structure string, m member) error {
	switch m.kind {
	case "ulong", "bool", "bytes", "skip":
	default:
		return fmt.Errorf("unknown kind %q", m.kind)
	}
	if n := len(s.layouts); n == 0 || s.layouts[n-1].structure != structure {
		s.layouts = append(s.layouts, layout{structure: structure})
	}
	last := &s.layouts[len(s.layouts)-1]
	last.members = append(last.members, m)
	return nil
}

// check compares the layouts of a shape: what they put on the wire must be the same.
func (s *shape) check() error {
	for _, l := range s.layouts {
		first, fields := s.layouts[0].wireFields(), l.wireFields()
		if len(fields) != len(first) {
			return fmt.Errorf("shape %s: %s has other fields than %s", s.name, l.structure, s.layouts[0].structure)
		}
		for i := range fields {
			if fields[i].field != first[i].field || fields[i].kind != first[i].kind {
				return fmt.Errorf("shape %s: field %s of %s differs from that of %s",
					s.name, fields[i].field, l.structure, s.layouts[0].structure)
			}
		}
	}
	return nil
}
