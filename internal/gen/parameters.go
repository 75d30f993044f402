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
	"aad": "AAD", "eddsa": "EdDSA", "gcm": "GCM", "iv": "IV", "mgf": "MGF", "oaep": "OAEP", "pss": "PSS", "ulong": "ULong",
}

func parameterName(word string) string {
	if name, ok := parameterNames[word]; ok {
		return name
	}
	return upperFirst(word)
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// parameterType gives a field its Go type: that of its meaning where it has one.
func parameterType(m member) string {
	switch {
	case m.kind == "bytes":
		return "[]byte"
	case m.kind == "bool":
		return "bool"
	case m.field == "hashAlg":
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
		s.printf("%s Shape = %d\n", shape.constant(), shape.number)
	}
	s.printf(")\n\n")
	for _, shape := range shapes {
		if shape.structured() {
			s.parameter(shape)
		}
	}
	return s.source()
}

func (s *goSource) parameter(shape shape) {
	name := parameterName(shape.name)
	structure := name + "Parameters"
	cStructure := shape.layouts[0].structure
	fields := shape.layouts[0].wireFields()

	s.printf("// %s is a %s.\ntype %s struct {\n", structure, cStructure, structure)
	for _, f := range fields {
		s.printf("%s %s\n", parameterName(f.field), parameterType(f))
	}
	s.printf("}\n\n")

	parts, copies := "", ""
	if slices.ContainsFunc(fields, func(f member) bool { return f.kind == "bytes" }) {
		parts, copies = ", whose byte strings are parts of m.Data", ", whose byte strings it copies"
	}
	s.printf("// %s returns the parameter of m%s;\n", name, parts)
	s.printf("// CKR_MECHANISM_PARAM_INVALID when it is no %s.\n", cStructure)
	s.printf("func (m *Mechanism) %s() (%s, error) {\n", name, structure)
	s.printf("in := m.parameter(%s, %d)\np := %s{\n", shape.constant(), len(fields), structure)
	for _, f := range fields {
		read := fmt.Sprintf("in.%s()", f.kind)
		if t := parameterType(f); f.kind == "ulong" && t != "uint64" {
			read = t + "(" + read + ")"
		}
		s.printf("%s: %s,\n", parameterName(f.field), read)
	}
	s.printf("}\nif err := in.end(); err != nil {\nreturn %s{}, err\n}\nreturn p, nil\n}\n\n", structure)

	s.printf("// New%s makes a mechanism with parameter p%s.\n", name, copies)
	s.printf("func New%s(t MechanismType, p %s) Mechanism {\n", name, structure)
	s.printf("out := newParameter(t, %s, %d)\n", shape.constant(), len(fields))
	for _, f := range fields {
		value := "p." + parameterName(f.field)
		if f.kind == "ulong" && parameterType(f) != "uint64" {
			value = "uint64(" + value + ")"
		}
		s.printf("out.%s(%s)\n", f.kind, value)
	}
	s.printf("return out.mechanism\n}\n\n")
}
