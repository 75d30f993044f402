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
	"slices"
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
	number  int // or partOnly
	name    string
	layouts []layout
}

// partOnly is in the place of the number of a shape that is only part of others.
const partOnly = -1

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
	of     *shape // what a pointer or a list is of
}

// travelling are the members that have fields on the wire.
func (l layout) travelling() []member {
	var members []member
	for _, m := range l.members {
		if m.kind != "skip" && m.kind != "zero" {
			members = append(members, m)
		}
	}
	return members
}

// wireFields are the fields on the wire before the list, if there is one.
func (l layout) wireFields() []member {
	var fields []member
	for _, m := range l.travelling() {
		switch m.kind {
		case "pointer":
			fields = append(fields, m.of.layouts[0].wireFields()...)
		case "list":
		default:
			fields = append(fields, m)
		}
	}
	return fields
}

// list is the member that is a list.
func (l layout) list() (member, bool) {
	last := l.members[len(l.members)-1]
	return last, last.kind == "list"
}

// elementFields are the fields on the wire of one element of the list, if there is one.
func (l layout) elementFields() []member {
	if list, ok := l.list(); ok {
		return list.of.layouts[0].wireFields()
	}
	return nil
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
	next := 0
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		number, err := parseShapeNumber(row[0])
		if err != nil {
			return nil, fmt.Errorf("line %d: shape: %w", line, err)
		}
		if last := len(shapes) - 1; last < 0 || shapes[last].number != number || shapes[last].name != row[1] {
			if number != partOnly && number != next {
				return nil, fmt.Errorf("line %d: shape %d %s is out of sequence", line, number, row[1])
			}
			next = max(next, number+1)
			shapes = append(shapes, shape{number: number, name: row[1]})
		}
		s := &shapes[len(shapes)-1]
		if row[6] == "" {
			continue
		}
		m := member{field: row[3], member: row[4], length: row[5]}
		var of string
		m.kind, of, _ = strings.Cut(row[6], " ")
		if m.of, err = partNamed(of, shapes); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		if err := s.add(row[2], m); err != nil {
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

func parseShapeNumber(text string) (int, error) {
	if text == "-" {
		return partOnly, nil
	}
	number, err := strconv.ParseUint(text, 10, 16)
	return int(number), err
}

// partNamed returns the shape that a pointer or a list is of, nil without a name. It has no pointer and no
// list itself, so that the elements of a list all have as many fields.
func partNamed(name string, before []shape) (*shape, error) {
	if name == "" {
		return nil, nil
	}
	i := slices.IndexFunc(before, func(s shape) bool { return s.name == name })
	if i < 0 {
		return nil, fmt.Errorf("shape %q does not come before this one", name)
	}
	part := before[i]
	if len(part.layouts) != 1 || slices.ContainsFunc(part.layouts[0].members, func(m member) bool { return m.of != nil }) {
		return nil, fmt.Errorf("shape %s cannot be part of another", name)
	}
	return &part, nil
}

func (s *shape) add(structure string, m member) error {
	switch m.kind {
	case "ulong", "bool", "bytes", "array", "zero", "skip":
		if m.of != nil {
			return fmt.Errorf("a member of kind %s is of no shape", m.kind)
		}
	case "pointer", "list":
		if m.of == nil {
			return fmt.Errorf("a %s without a shape", m.kind)
		}
	default:
		return fmt.Errorf("unknown kind %q", m.kind)
	}
	if _, err := strconv.ParseUint(m.length, 10, 8); m.kind == "array" && err != nil {
		return fmt.Errorf("an array's length is %q", m.length)
	}
	if n := len(s.layouts); n == 0 || s.layouts[n-1].structure != structure {
		s.layouts = append(s.layouts, layout{structure: structure})
	}
	last := &s.layouts[len(s.layouts)-1]
	if len(last.members) > 0 {
		if _, ok := last.list(); ok {
			return errors.New("a member after a list")
		}
	}
	last.members = append(last.members, m)
	return nil
}

// check compares the layouts of a shape: what they put on the wire must be the same.
func (s *shape) check() error {
	for _, l := range s.layouts {
		if err := s.compare(l, layout.wireFields); err != nil {
			return err
		}
		if err := s.compare(l, layout.elementFields); err != nil {
			return err
		}
	}
	return nil
}

func (s *shape) compare(l layout, fieldsOf func(layout) []member) error {
	first, fields := fieldsOf(s.layouts[0]), fieldsOf(l)
	if len(fields) != len(first) {
		return fmt.Errorf("shape %s: %s has other fields than %s", s.name, l.structure, s.layouts[0].structure)
	}
	for i := range fields {
		if fields[i].field != first[i].field || fields[i].kind != first[i].kind {
			return fmt.Errorf("shape %s: field %s of %s differs from that of %s",
				s.name, fields[i].field, l.structure, s.layouts[0].structure)
		}
	}
	return nil
}
