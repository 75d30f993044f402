package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// cTypes are the C types of types.txt, in its order.
type cTypes struct {
	ulongs    []string
	callbacks []cFunction
	structs   []cStructure
}

type cStructure struct {
	name    string
	members []cVariable
}

// cFunction is a function or a callback, which return CK_RV.
type cFunction struct {
	name      string
	arguments []cVariable
}

// cVariable is a member or an argument; length is that of an array, else 0.
type cVariable struct {
	typ, name, length string
}

func (v cVariable) String() string {
	if v.length != "" {
		return v.typ + " " + v.name + "[" + v.length + "]"
	}
	return v.typ + " " + v.name
}

var (
	cTypeName = regexp.MustCompile(`^CK_[A-Z0-9_]+$`)
	cMember   = regexp.MustCompile(`^(CK_[A-Z0-9_]+) ([A-Za-z][A-Za-z0-9_]*)(?:\[([0-9]+)\])?$`)
)

func parseVariable(text string) (cVariable, error) {
	m := cMember.FindStringSubmatch(strings.Join(strings.Fields(text), " "))
	if m == nil {
		return cVariable{}, fmt.Errorf("%q is not a type and a name", text)
	}
	return cVariable{m[1], m[2], m[3]}, nil
}

// parseArguments reads "type name; type name".
func parseArguments(text string) ([]cVariable, error) {
	var arguments []cVariable
	for part := range strings.SplitSeq(text, ";") {
		v, err := parseVariable(part)
		if err != nil {
			return nil, err
		}
		arguments = append(arguments, v)
	}
	return arguments, nil
}

func readTypes(root string) (*cTypes, error) {
	text, err := os.ReadFile(filepath.Join(root, "cryptoki", "table", "types.txt"))
	if err != nil {
		return nil, err
	}
	types, err := parseTypes(text)
	if err != nil {
		return nil, fmt.Errorf("types.txt: %w", err)
	}
	return types, nil
}

// parseTypes reads types.txt; its head describes the format.
func parseTypes(text []byte) (*cTypes, error) {
	types := &cTypes{}
	known := map[string]bool{}
	for _, name := range []string{"CK_BYTE", "CK_CHAR", "CK_UTF8CHAR", "CK_BBOOL", "CK_ULONG", "CK_VOID"} {
		known[name], known[name+"_PTR"] = true, true
	}
	known["CK_VOID"], known["CK_VOID_PTR_PTR"] = false, true
	scanner := bufio.NewScanner(bytes.NewReader(text))
	for line := 1; scanner.Scan(); line++ {
		if err := types.parseLine(scanner.Text(), known); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
	return types, scanner.Err()
}

// parseLine reads one line; known collects the types that may be used after it.
func (types *cTypes) parseLine(line string, known map[string]bool) error {
	if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
		return nil
	}
	if strings.HasPrefix(line, " ") {
		if len(types.structs) == 0 {
			return fmt.Errorf("a member before the first struct")
		}
		v, err := parseVariable(line)
		if err != nil {
			return err
		}
		if !known[v.typ] {
			return fmt.Errorf("type %s is not known here", v.typ)
		}
		last := &types.structs[len(types.structs)-1]
		last.members = append(last.members, v)
		known[last.name] = true
		return nil
	}
	keyword, rest, _ := strings.Cut(line, " ")
	name, arguments, _ := strings.Cut(rest, " ")
	if !cTypeName.MatchString(name) || known[name] {
		return fmt.Errorf("%q is no name for a type, or taken", name)
	}
	if (arguments != "") != (keyword == "callback") {
		return fmt.Errorf("a callback has arguments, other types have none")
	}
	switch keyword {
	case "ulong":
		types.ulongs = append(types.ulongs, name)
		known[name], known[name+"_PTR"] = true, true
	case "callback":
		variables, err := parseArguments(arguments)
		if err != nil {
			return err
		}
		for _, v := range variables {
			if !known[v.typ] {
				return fmt.Errorf("type %s is not known here", v.typ)
			}
		}
		types.callbacks = append(types.callbacks, cFunction{name, variables})
		known[name] = true
	case "struct":
		types.structs = append(types.structs, cStructure{name: name})
		known[name+"_PTR"] = true
	default:
		return fmt.Errorf("unknown word %q", keyword)
	}
	return nil
}

// functionList is a structure of pointers to functions. Its members are the
// functions of its own version and of all earlier ones.
type functionList struct {
	since, name string
}

var functionLists = []functionList{
	{"2.40", "CK_FUNCTION_LIST"},
	{"3.0", "CK_FUNCTION_LIST_3_0"},
	{"3.2", "CK_FUNCTION_LIST_3_2"},
}

// readFunctions returns the functions of functions.csv by the version that they
// came with.
func readFunctions(root string) (map[string][]cFunction, error) {
	rows, err := readTable(root, "functions.csv", "name", "since", "position", "arguments")
	if err != nil {
		return nil, err
	}
	functions := map[string][]cFunction{}
	version := 0
	for i, r := range rows {
		name, since := r.fields[0], r.fields[1]
		for version < len(functionLists) && functionLists[version].since != since {
			version++
		}
		if version == len(functionLists) {
			return nil, r.errorf("%s: version %q is unknown or out of order", name, since)
		}
		if r.fields[2] != fmt.Sprint(i+1) {
			return nil, r.errorf("%s: the position is %s, want %d", name, r.fields[2], i+1)
		}
		arguments, err := parseArguments(r.fields[3])
		if err != nil {
			return nil, r.errorf("%s: %w", name, err)
		}
		functions[since] = append(functions[since], cFunction{name, arguments})
	}
	return functions, nil
}
