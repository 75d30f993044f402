package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"tidelock.dev/tidelock/home"
)

// terminal is a command that runs on a pseudo-terminal.
type terminal struct {
	t    *testing.T
	cmd  *exec.Cmd
	side *os.File
	read *bufio.Reader
	seen strings.Builder
}

// onTerminal starts tidelock there, with the HSM of dir.
func onTerminal(t *testing.T, dir string, args ...string) *terminal {
	t.Helper()
	return onTerminalWith(t, []string{home.Env + "=" + dir, "TERM=xterm", "NO_COLOR=1"}, args...)
}

func onTerminalWith(t *testing.T, env []string, args ...string) *terminal {
	t.Helper()
	self, err := exec.LookPath("tidelock") // which TestMain puts into PATH
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), env...)
	side, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 200})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { side.Close() })
	return &terminal{t: t, cmd: cmd, side: side, read: bufio.NewReader(side)}
}

// expect reads up to a text.
func (x *terminal) expect(text string) {
	x.t.Helper()
	start := x.seen.Len()
	for !strings.Contains(x.seen.String()[start:], text) {
		b, err := x.read.ReadByte()
		if err != nil {
			x.t.Fatalf("%q did not come, but %q (%v)", text, x.seen.String(), err)
		}
		x.seen.WriteByte(b)
	}
}

func (x *terminal) typeText(text string) {
	x.t.Helper()
	if _, err := io.WriteString(x.side, text); err != nil {
		x.t.Fatal(err)
	}
}

// end waits and gives all that the terminal showed, and the exit status.
func (x *terminal) end() (shown string, status int) {
	x.t.Helper()
	rest, _ := io.ReadAll(x.read) // EIO when the other side is closed
	x.seen.Write(rest)
	_ = x.cmd.Wait()
	return x.seen.String(), x.cmd.ProcessState.ExitCode()
}

// developmentHSM makes a development HSM that ends with the test.
func developmentHSM(t *testing.T) string {
	t.Helper()
	h, err := home.Quickstart{Label: "demo", SOPIN: "12345678", PIN: "87654321", Test: true}.Make(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, status := onTerminal(t, h.Dir, "stop").end(); status != exitOK {
			t.Errorf("stopping the server: status %d", status)
		}
	})
	return h.Dir
}

// A PIN is asked for without being shown, a new one twice.
func TestPINsOnATerminal(t *testing.T) {
	dir := developmentHSM(t)
	x := onTerminal(t, dir, "role", "changepw", "co")
	x.expect("PIN of the Crypto Officer: ")
	x.typeText("87654321\n")
	x.expect("New PIN of the Crypto Officer: ")
	x.typeText("11223344\n")
	x.expect("The same again: ")
	x.typeText("11223345\n")
	if shown, status := x.end(); status != exitRefused || !strings.Contains(shown, "differ") {
		t.Errorf("different PINs: status %d, %q", status, shown)
	}
	x = onTerminal(t, dir, "role", "changepw", "co")
	x.expect("PIN of the Crypto Officer: ")
	x.typeText("87654321\n")
	x.expect("New PIN of the Crypto Officer: ")
	x.typeText("11223344\n")
	x.expect("The same again: ")
	x.typeText("11223344\n")
	shown, status := x.end()
	if status != exitOK || !strings.Contains(shown, "PIN changed") {
		t.Errorf("status %d, %q", status, shown)
	}
	if strings.Contains(shown, "11223344") || strings.Contains(shown, "87654321") {
		t.Errorf("the terminal showed a PIN: %q", shown)
	}
}

// An interrupt at a prompt leaves a terminal that shows what is typed.
func TestInterruptAtAPrompt(t *testing.T) {
	x := onTerminal(t, developmentHSM(t), "key", "list")
	x.expect("PIN of the Crypto Officer: ")
	before, err := unix.IoctlGetTermios(int(x.side.Fd()), unix.TCGETS)
	if err != nil || before.Lflag&unix.ECHO != 0 {
		t.Errorf("at the prompt the terminal shows what is typed (%v)", err)
	}
	x.typeText("\x03")
	if shown, status := x.end(); status != exitRefused {
		t.Errorf("status %d, %q", status, shown)
	}
	after, err := unix.IoctlGetTermios(int(x.side.Fd()), unix.TCGETS)
	if err != nil || after.Lflag&unix.ECHO == 0 {
		t.Errorf("afterwards the terminal does not show what is typed (%v)", err)
	}
}

// What is destroyed has to be typed.
func TestConfirmationOnATerminal(t *testing.T) {
	dir := developmentHSM(t)
	generate := onTerminal(t, dir, "key", "generate", "aes", "--label", "old")
	generate.expect(": ")
	generate.typeText("87654321\n")
	if shown, status := generate.end(); status != exitOK {
		t.Fatalf("status %d, %q", status, shown)
	}
	for _, c := range []struct {
		answer, says string
		status       int
	}{{"yes", "not confirmed", exitRefused}, {"old", "Deleted objects", exitOK}, {"", "no such key", exitRefused}} {
		x := onTerminal(t, dir, "key", "delete", "--label", "old")
		x.expect("PIN of the Crypto Officer: ")
		x.typeText("87654321\n")
		if c.answer != "" {
			x.expect(`aes secret key "old"`)
			x.expect("Type old to go on: ")
			x.typeText(c.answer + "\n")
		}
		if shown, status := x.end(); status != c.status || !strings.Contains(shown, c.says) {
			t.Errorf("%q: status %d, %q", c.answer, status, shown)
		}
	}
}

// The shell completes, keeps a login, and shows it in its prompt.
func TestShellOnATerminal(t *testing.T) {
	x := onTerminal(t, developmentHSM(t), "shell")
	x.expect("tidelock> ")
	x.typeText("key gen\taes --label one\r")
	x.expect("PIN of the Crypto Officer: ")
	x.typeText("87654321\n")
	x.expect("demo co> ")
	x.typeText("key show --label one\r")
	x.expect("Handle:")
	x.expect("demo co> ")
	x.typeText("key show 99\r")
	x.expect("CKR_OBJECT_HANDLE_INVALID")
	x.expect("demo co> ")
	x.typeText("exit\r")
	shown, status := x.end()
	if status != exitOK {
		t.Errorf("status %d, %q", status, shown)
	}
	if strings.Contains(shown, "87654321") {
		t.Errorf("the terminal showed a PIN: %q", shown)
	}
}

// Headings are bold on a terminal, unless somebody does not want that.
func TestColours(t *testing.T) {
	dir := developmentHSM(t)
	const bold = "\x1b[1mSlot"
	if shown, _ := onTerminal(t, dir, "partition", "list").end(); strings.Contains(shown, bold) || !strings.Contains(shown, "Slot") {
		t.Errorf("with NO_COLOR: %q", shown)
	}
	colourful := []string{home.Env + "=" + dir, "TERM=xterm", "NO_COLOR="}
	if shown, _ := onTerminalWith(t, colourful, "partition", "list", "-o", "json").end(); strings.Contains(shown, "\x1b") {
		t.Errorf("in JSON: %q", shown)
	}
	if shown, _ := onTerminalWith(t, colourful, "partition", "list").end(); !strings.Contains(shown, bold) {
		t.Errorf("without NO_COLOR: %q", shown)
	}
}

func TestSplitWords(t *testing.T) {
	for line, want := range map[string][]string{
		"":                        nil,
		"  \t\r\n":                nil,
		"a b":                     {"a", "b"},
		` a  "b c"d "" e`:         {"a", "b cd", "", "e"},
		`--label="x y" --id 01\n`: {"--label=x y", "--id", `01\n`},
	} {
		got, err := splitWords(line)
		if err != nil || strings.Join(got, "|") != strings.Join(want, "|") || len(got) != len(want) {
			t.Errorf("%q: %q, %v", line, got, err)
		}
	}
	if _, err := splitWords(`a "b`); exitStatus(err) != exitUsage {
		t.Errorf("an open quote: %v", err)
	}
}
