package main

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"testing"

	"github.com/miekg/pkcs11"
)

// TestUsage finds every call in the text that --help prints.
func TestUsage(t *testing.T) {
	for _, name := range append(slices.Sorted(maps.Keys(calls)), "same", "differ", "expect", "in", "crowd") {
		if !regexp.MustCompile(`(?m)(^    |\| ?)` + name + `( |\||$)`).MatchString(usage) {
			t.Errorf("the text does not tell of %s", name)
		}
	}
}

func TestCodeOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, "CKR_OK"},
		{pkcs11.Error(pkcs11.CKR_PIN_INCORRECT), "CKR_PIN_INCORRECT"},
		{pkcs11.Error(0x80000068), "CKR_ACCESS_ID_INVALID"},
		{fmt.Errorf("line 1: %w", pkcs11.Error(0x1b)), "CKR_ACTION_PROHIBITED"},
		{remoteError{"CKR_PIN_LOCKED", "text"}, "CKR_PIN_LOCKED"},
		{errors.New("no session s"), noCode},
	} {
		if got := codeOf(c.err); got != c.want {
			t.Errorf("of %v it is %s", c.err, got)
		}
	}
}

// Lines that are wrong by themselves are no answers of the library, which "expect"
// could take for one.
func TestWrongLines(t *testing.T) {
	m := &machine{sessions: map[string]pkcs11.SessionHandle{"s": 1}, objects: map[string]pkcs11.ObjectHandle{"o": 2}}
	for _, line := range [][]string{
		{"no-such-call"},
		{"open", "rw"},
		{"login", "s", "nobody", "1234"},
		{"login", "r", "user", "1234"},
		{"get", "s", "o", "no-such-attribute"},
		{"create", "s", "no-such-attribute=1", "as", "x"},
		{"create", "s", "label=x"},
		{"generate-key", "s", "many", "as", "x"},
		{"mechanism", "CKM_NONE"},
		{"same", "o", "p"},
		{"expect", "CKR_OK"},
		{"in", "other"},
		{"crowd", "many", "init"},
	} {
		if _, err := m.run(line); codeOf(err) != noCode {
			t.Errorf("%q: %v", line, err)
		}
	}
	if _, err := m.run([]string{"expect", "CKR_PIN_INCORRECT", "same", "o", "o"}); err == nil {
		t.Error("expect took CKR_OK for another code")
	}
}
