package main

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestFirstLine(t *testing.T) {
	for text, c := range map[string]struct{ pin, fault string }{
		"1234\n":                               {"1234", ""},
		"1234":                                 {"1234", ""},
		"1234\r\n":                             {"1234", ""},
		" 12 34 \n":                            {" 12 34 ", ""},
		"1234\n5678\n":                         {"1234", ""},
		"":                                     {"", "no PIN"},
		"\n1234\n":                             {"", "no PIN"},
		strings.Repeat("1", maxPIN) + "\n":     {"", "more than 1023 bytes"},
		strings.Repeat("1", maxPIN-1) + "\n":   {strings.Repeat("1", maxPIN-1), ""},
		strings.Repeat("1", 100*maxPIN) + "\n": {"", "more than 1023 bytes"},
	} {
		pin, err := firstLine(bufio.NewReaderSize(strings.NewReader(text), maxPIN), "here")
		switch {
		case c.fault == "" && err != nil:
			t.Errorf("%.20q: %v", text, err)
		case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault) || !strings.HasPrefix(err.Error(), "here: ")):
			t.Errorf("%.20q: error %v, want %q", text, err, c.fault)
		case err == nil && string(pin.Expose()) != c.pin:
			t.Errorf("%.20q: %q", text, pin.Expose())
		}
	}
}

// Where the PINs of a command with two come from.
func TestPINSources(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a, b := file("a", "aaaa\n"), file("b", "bbbb\n")
	for _, c := range []struct {
		name         string
		pins         pins
		in           string
		present, new string
		status       int
	}{
		{"files", pins{file: a, newFile: b}, "", "aaaa", "bbbb", exitOK},
		{"lines", pins{stdin: true}, "cccc\ndddd\n", "cccc", "dddd", exitOK},
		{"file before line", pins{file: a, stdin: true}, "cccc\n", "aaaa", "cccc", exitOK},
		{"nobody to ask", pins{file: a}, "cccc\n", "aaaa", "", exitUsage},
		{"one line", pins{stdin: true}, "cccc\n", "cccc", "", exitRefused},
		{"no file", pins{file: a, newFile: filepath.Join(dir, "none")}, "", "aaaa", "", exitRefused},
	} {
		cmd := &cobra.Command{Use: "test"}
		cmd.SetIn(strings.NewReader(c.in))
		cmd.SetErr(&bytes.Buffer{})
		present, err := c.pins.present(cmd, "Crypto Officer")
		if err != nil || string(present.Expose()) != c.present {
			t.Errorf("%s: present %q, %v", c.name, present.Expose(), err)
		}
		next, err := c.pins.next(cmd, "Crypto Officer")
		if got := exitStatus(err); got != c.status || string(next.Expose()) != c.new {
			t.Errorf("%s: new %q, status %d, %v", c.name, next.Expose(), got, err)
		}
	}
}
