package behaviour

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/miekg/pkcs11"
)

// moduleVariable has the library's path.
const moduleVariable = "P11_MODULE"

// p11 is a program for the rows: it runs a script of PKCS#11 calls, each a line, and
// ends with the first that does not answer as the script says.
// What it prints depends on nothing but the script and the answers.
//
//	init | finalize
//	open rw|ro SESSION
//	close SESSION | close-all
//	slots                                                         how many there are, and their labels
//	slot LABEL|NUMBER                                             where the script goes on; first it is in the first
//	token FIGURE...                                               of C_GetTokenInfo
//	init-token LABEL PIN
//	init-pin SESSION PIN
//	init-role SESSION USER PIN                                    CA_InitRolePIN
//	reset-pin SESSION PIN                                         CA_ResetPIN
//	role USER                                                     CA_RoleStateGet: flags, then tries left
//	login SESSION so|user|cu|auditor|context PIN
//	logout SESSION
//	set-pin SESSION OLD NEW
//	generate-pair SESSION [NAME=VALUE...] as PUBLIC PRIVATE      an EC pair on P-256
//	create SESSION [NAME=VALUE...] as OBJECT                      a data object
//	find SESSION [NAME=VALUE...] [as OBJECT]                      the only one, if it is named
//	get SESSION OBJECT NAME
//	set SESSION OBJECT NAME=VALUE...
//	destroy SESSION OBJECT
//	sign SESSION OBJECT TEXT                                      CKM_ECDSA_SHA256
//	sign-init|sign-update|sign-final SESSION [OBJECT|TEXT]
//	flags SESSION                                                 of the token, those about PINs
//	same|differ OBJECT OBJECT...                                  compares handles
//	kill                                                          the server, as kill -9 does
//	expect CKR_CODE LINE                                          the line answers that
//	in PROCESS LINE                                               another process runs the line
//	crowd COUNT LINE [| COUNT LINE...]                            as many processes, at once
//
// A NAME is an attribute's in lower case without its prefix. A name that starts with
// PROCESS and a dot, in same and differ, is of an object there.
//
// The script is the file that the first argument names, or standard input.
func p11() {
	in := io.Reader(os.Stdin)
	if len(os.Args) > 1 && os.Args[1] == workerArgument {
		work(os.Stdin, os.Stdout)
		return
	}
	if len(os.Args) > 1 {
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
	others   *workers
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

var errUsage = errors.New("see the comment of p11 for how it is used")

// codeOf is the name of an answer's CKR_ code, or "an error" that is no answer.
func codeOf(err error) string {
	var code pkcs11.Error
	var remote remoteError
	switch {
	case err == nil:
		return "CKR_OK"
	case errors.As(err, &code):
		// miekg/pkcs11 has the names in its messages only.
		if code == actionProhibited {
			return "CKR_ACTION_PROHIBITED"
		}
		text := code.Error()
		return text[strings.LastIndexByte(text, ' ')+1:]
	case errors.As(err, &remote):
		return remote.code
	}
	return noCode
}

// actionProhibited is newer than the names of miekg/pkcs11.
const actionProhibited pkcs11.Error = 0x1b

const noCode = "an error"

func orOK(err error) error {
	if err == nil {
		return errors.New("it went well")
	}
	return err
}
