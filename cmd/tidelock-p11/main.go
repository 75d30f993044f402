// Command tidelock-p11 runs a script of PKCS#11 calls, each a line, and ends with the
// first that does not answer as the script says; usage.txt has the language. Scenarios
// of "tidelock compare" use it, where its name is p11.
package main

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/miekg/pkcs11"

	"tidelock.dev/tidelock/cryptoki"
)

// moduleVariable has the library's path.
const moduleVariable = "P11_MODULE"

//go:embed usage.txt
var usage string

func main() {
	in := io.Reader(os.Stdin)
	switch {
	case len(os.Args) == 1:
	case os.Args[1] == workerArgument:
		work(os.Stdin, os.Stdout)
		return
	case os.Args[1] == "--help":
		fmt.Print(usage)
		return
	default:
		file, err := os.Open(os.Args[1])
		if err != nil {
			fail(err)
		}
		defer file.Close()
		in = file
	}
	m, err := newMachine()
	if err != nil {
		fail(err)
	}
	defer m.others.end()
	lines := bufio.NewScanner(in)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		answer, err := m.run(strings.Fields(line))
		if err != nil {
			m.others.end()
			fail(fmt.Errorf("line %d: %s: %w", number, line, err))
		}
		fmt.Printf("%s => %s\n", line, answer)
	}
	if err := lines.Err(); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "p11:", err)
	os.Exit(1)
}

// machine is what a script works on: a process's library and names.
type machine struct {
	module   *pkcs11.Ctx
	slot     uint
	sessions map[string]pkcs11.SessionHandle
	objects  map[string]pkcs11.ObjectHandle
	wrapped  map[string][]byte
	others   *workers
	waiting  *waiting // nil without
}

func newMachine() (*machine, error) {
	module := pkcs11.New(os.Getenv(moduleVariable))
	if module == nil {
		return nil, fmt.Errorf("%s=%s: no PKCS#11 library there", moduleVariable, os.Getenv(moduleVariable))
	}
	return &machine{
		module:   module,
		sessions: map[string]pkcs11.SessionHandle{},
		objects:  map[string]pkcs11.ObjectHandle{},
		wrapped:  map[string][]byte{},
		others:   &workers{named: map[string]*worker{}},
	}, nil
}

// run executes a line. The answer is CKR_OK, perhaps with what the call brought.
func (m *machine) run(words []string) (string, error) {
	switch words[0] {
	case "expect":
		if len(words) < 3 {
			return "", errUsage
		}
		_, err := m.run(words[2:])
		if got := codeOf(err); got != words[1] {
			return "", fmt.Errorf("the answer is %s (%w)", got, orOK(err))
		}
		return words[1], nil
	case "in":
		if len(words) < 3 {
			return "", errUsage
		}
		w, err := m.others.get(words[1])
		if err != nil {
			return "", err
		}
		return w.run(words[2:])
	case "crowd":
		return crowd(words[1:])
	case "same", "differ":
		return "CKR_OK", m.compare(words[0] == "same", words[1:])
	}
	fn, known := calls[words[0]]
	if !known {
		return "", fmt.Errorf("no such call: %w", errUsage)
	}
	args, names := words[1:], []string(nil)
	if i := slices.Index(args, "as"); i >= 0 {
		args, names = args[:i], args[i+1:]
	}
	if len(args) < fn.least {
		return "", errUsage
	}
	brought, err := fn.do(m, args, names)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace("CKR_OK " + brought), nil
}

// compare tells whether the handles of objects are all equal, or all different.
func (m *machine) compare(same bool, names []string) error {
	handles := map[string]string{}
	for _, name := range names {
		handle, err := m.handle(name)
		if err != nil {
			return err
		}
		for other, h := range handles {
			if (h == handle) != same {
				return fmt.Errorf("%s has handle %s, %s has %s", other, h, name, handle)
			}
		}
		handles[name] = handle
	}
	return nil
}

func (m *machine) handle(name string) (string, error) {
	if process, object, remote := strings.Cut(name, "."); remote {
		w, err := m.others.get(process)
		if err != nil {
			return "", err
		}
		answer, err := w.run([]string{"handle", object})
		return strings.TrimPrefix(answer, "CKR_OK "), err
	}
	object, err := m.object(name)
	return fmt.Sprint(object), err
}

var errUsage = errors.New("not as \"p11 --help\" says")

// codeOf is the name of an answer's CKR_ code, or "an error" that is no answer.
func codeOf(err error) string {
	var code pkcs11.Error
	var remote remoteError
	switch {
	case err == nil:
		return "CKR_OK"
	case errors.As(err, &code):
		return cryptoki.RV(code).String()
	case errors.As(err, &remote):
		return remote.code
	}
	return noCode
}

const noCode = "an error"

func orOK(err error) error {
	if err == nil {
		return errors.New("it went well")
	}
	return err
}
