package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func readShapes(root string) ([]shape, error) {
	text, err := os.ReadFile(filepath.Join(root, "cryptoki", "table", "parameters.csv"))
	if err != nil {
		return nil, err
	}
	shapes, err := parseShapes(text)
	if err != nil {
		return nil, fmt.Errorf("parameters.csv: %w", err)
	}
	return shapes, nil
}

// constant is the name of the shape's Go constant.
func (s shape) constant() string { return "Shape" + parameterName(s.name) }

// structured says that a Go structure is generated for the shape; none, bytes and
// ulong, whose only field is no member of a C structure, need none.
func (s shape) structured() bool {
	return len(s.layouts) > 0 && s.layouts[0].members[0].member != ""
}

// parameterNames are the words of parameters.csv whose Go spelling is more than a
// capital.
var parameterNames = map[string]string{
	"aad": "AAD", "aesKeyBits": "AESKeyBits", "ctr": "CTR", "ecdh1": "ECDH1", "eddsa": "EdDSA", "gcm": "GCM", "hkdf": "HKDF", "iv": "IV",
	"kdf": "KDF", "mgf": "MGF", "oaep": "OAEP", "prf": "PRF", "prf-data": "PRFData", "pss": "PSS", "rsa-aes": "RSAAES", "ulong": "ULong",
}

func parameterName(word string) string {
	if name, ok := parameterNames[word]; ok {
		return name
	}
	return upperFirst(word)
}

// structure is the name of the shape's Go structure.
func (s shape) structure() string { return parameterName(s.name) + "Parameters" }

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// parameterType gives a field its Go type: that of its meaning where it has one.
func parameterType(m member) string {
	switch {
	case m.kind == "bytes":
		return "[]byte"
	case m.kind == "bool":
		return "bool"
	case m.kind == "array":
		return "[" + m.length + "]byte"
	case m.kind == "pointer":
		return m.of.structure()
	case m.kind == "list":
		return "[]" + m.of.structure()
	case m.field == "hashAlg", m.field == "prf":
		return "MechanismType"
	case m.field == "mgf":
		return "MGF"
	}
	return "uint64"
}

// parametersGo emits the shapes and, for those with a C structure, a Go structure
// with its reader and its constructor.
func parametersGo(root string) ([]byte, error) {
	shapes, err := readShapes(root)
	if err != nil {
		return nil, err
	}
	s := newGoSource("parameters.csv")
	s.printf("// The shapes of mechanism parameters.\nconst (\n")
	for _, shape := range shapes {
		if shape.number != partOnly {
			s.printf("%s Shape = %d\n", shape.constant(), shape.number)
		}
	}
	s.printf(")\n\n")
	for _, shape := range shapes {
		if shape.structured() {
			s.structure(shape)
		}
		if shape.structured() && shape.number != partOnly {
			s.reader(shape)
			s.constructor(shape)
		}
	}
	return s.source()
}

func (s *goSource) structure(shape shape) {
	l := shape.layouts[0]
	s.printf("// %s is a %s.\ntype %s struct {\n", shape.structure(), l.structure, shape.structure())
	for _, m := range l.travelling() {
		s.printf("%s %s\n", parameterName(m.field), parameterType(m))
	}
	s.printf("}\n\n")
}

func (s *goSource) reader(shape shape) {
	name, l := parameterName(shape.name), shape.layouts[0]
	parts := ""
	if l.hasBytes() {
		parts = ", whose byte strings are parts of m.Data"
	}
	s.printf("// %s returns the parameter of m%s;\n", name, parts)
	s.printf("// CKR_MECHANISM_PARAM_INVALID when it is no %s.\n", l.structure)
	s.printf("func (m *Mechanism) %s() (%s, error) {\n", name, shape.structure())
	list, listed := l.list()
	if listed {
		s.printf("in := m.parameterList(%s, %d, %d)\n", shape.constant(), len(l.wireFields()), len(l.elementFields()))
	} else {
		s.printf("in := m.parameter(%s, %d)\n", shape.constant(), len(l.wireFields()))
	}
	s.printf("p := %s{\n", shape.structure())
	s.readMembers(l)
	s.printf("}\n")
	if listed {
		name := parameterName(list.field)
		s.printf("for in.more() {\np.%s = append(p.%s, %s{\n", name, name, list.of.structure())
		s.readMembers(list.of.layouts[0])
		s.printf("})\n}\n")
	}
	s.printf("if err := in.end(); err != nil {\nreturn %s{}, err\n}\nreturn p, nil\n}\n\n", shape.structure())
}

// readMembers emits the members of a composite literal, but for a list.
func (s *goSource) readMembers(l layout) {
	for _, m := range l.travelling() {
		name := parameterName(m.field)
		switch t := parameterType(m); {
		case m.kind == "list":
		case m.kind == "pointer":
			s.printf("%s: %s{\n", name, t)
			s.readMembers(m.of.layouts[0])
			s.printf("},\n")
		case m.kind == "array":
			s.printf("%s: %s(in.array(%s)),\n", name, t, m.length)
		case m.kind == "ulong" && t != "uint64":
			s.printf("%s: %s(in.ulong()),\n", name, t)
		default:
			s.printf("%s: in.%s(),\n", name, m.kind)
		}
	}
}

func (s *goSource) constructor(shape shape) {
	name, l := parameterName(shape.name), shape.layouts[0]
	copies := ""
	if l.hasBytes() {
		copies = ", whose byte strings it copies"
	}
	s.printf("// New%s makes a mechanism with parameter p%s.\n", name, copies)
	s.printf("func New%s(t MechanismType, p %s) Mechanism {\n", name, shape.structure())
	s.printf("out := newParameter(t, %s, %d)\n", shape.constant(), len(l.wireFields()))
	s.writeMembers(l, "p.")
	s.printf("return out.mechanism\n}\n\n")
}

// writeMembers emits the writing of the members of what prefix names.
func (s *goSource) writeMembers(l layout, prefix string) {
	for _, m := range l.travelling() {
		value := prefix + parameterName(m.field)
		switch {
		case m.kind == "list":
			s.printf("for _, e := range %s {\n", value)
			s.writeMembers(m.of.layouts[0], "e.")
			s.printf("}\n")
		case m.kind == "pointer":
			s.writeMembers(m.of.layouts[0], value+".")
		case m.kind == "array":
			s.printf("out.bytes(%s[:])\n", value)
		case m.kind == "ulong" && parameterType(m) != "uint64":
			s.printf("out.ulong(uint64(%s))\n", value)
		default:
			s.printf("out.%s(%s)\n", m.kind, value)
		}
	}
}

// hasBytes tells whether a Go structure of the layout holds byte slices.
func (l layout) hasBytes() bool {
	return slices.ContainsFunc(append(l.wireFields(), l.elementFields()...), func(f member) bool { return f.kind == "bytes" })
}
