package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// shell is one run of the shell: a connection, and the sessions in which somebody is
// logged in.
type shell struct {
	home     string
	link     *link
	sessions map[uint64]*session // by slot
	lines    *bufio.Reader       // of standard input, where it is no terminal
	last     *session            // that the prompt tells of
}

type shellKey struct{}

// shellOf is the shell that a command runs in, nil outside of one.
func shellOf(cmd *cobra.Command) *shell {
	if cmd.Context() == nil {
		return nil
	}
	s, _ := cmd.Context().Value(shellKey{}).(*shell)
	return s
}

func shellCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "shell",
		Short: "Give several commands with one login",
		Long: `shell takes the same commands, without the word tidelock, and keeps logins: a PIN is asked
for once for each role and partition. The prompt tells who is logged in. Tab completes,
the arrow keys find earlier lines, which are forgotten at the end; "exit" or ^D leaves.

From a pipe it takes a command from each line, and ends with the first that fails.
--pin-stdin then takes the line below the command.`,
		Example: "  tidelock shell\n  printf 'partition list\\nhsm show\\n' | tidelock shell",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if shellOf(cmd) != nil {
				return wrongUse("this is the shell already")
			}
			h, err := homeOf(cmd)
			if err != nil {
				return err
			}
			s := &shell{home: h.Dir, sessions: make(map[uint64]*session)}
			if s.link, err = connect(cmd); err != nil {
				return err
			}
			defer s.link.Client.Close()
			s.link.kept = true
			if interactive(cmd) {
				return s.converse(cmd)
			}
			return s.script(cmd)
		},
	}
}

// script runs the lines of standard input up to the first that fails.
func (s *shell) script(cmd *cobra.Command) error {
	s.lines = bufio.NewReader(cmd.InOrStdin())
	for n := 1; ; n++ {
		line, err := s.lines.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if failed := s.run(cmd, line); errors.Is(failed, errExit) {
			return nil
		} else if failed != nil {
			return fmt.Errorf("command %d: %w", n, failed)
		}
		if err != nil {
			return nil
		}
	}
}

// errExit is what the word exit gives.
var errExit = errors.New("exit")

// run executes one line.
func (s *shell) run(cmd *cobra.Command, line string) error {
	words, err := splitWords(line)
	if err != nil || len(words) == 0 || strings.HasPrefix(words[0], "#") {
		return err
	}
	if words[0] == "exit" || words[0] == "quit" {
		return errExit
	}
	root := s.root(cmd)
	root.SetArgs(words)
	return root.Execute()
}

// outside are the commands that have no place in a shell.
var outside = []string{"serve", "stop", "autostart", "quickstart", "shell", "man", "completion", "top", "compare"}

// root makes the commands for one line: they find the shell in their context.
func (s *shell) root(cmd *cobra.Command) *cobra.Command {
	root := rootCommand()
	root.CompletionOptions.DisableDefaultCmd = true
	for _, c := range root.Commands() {
		if slices.Contains(outside, c.Name()) {
			root.RemoveCommand(c)
		}
	}
	root.SetIn(cmd.InOrStdin())
	root.SetOut(cmd.OutOrStdout())
	root.SetErr(cmd.ErrOrStderr())
	root.SetContext(context.WithValue(context.Background(), shellKey{}, s))
	// The shell's own home holds for all lines.
	root.PersistentFlags().Lookup("home").DefValue = s.home
	_ = root.PersistentFlags().Set("home", s.home)
	return root
}

// converse reads lines from the terminal until exit.
func (s *shell) converse(cmd *cobra.Command) error {
	in, out := cmd.InOrStdin().(*os.File), cmd.ErrOrStderr().(*os.File)
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, out}, "")
	t.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' || pos != len(line) {
			return "", 0, false
		}
		done := s.complete(cmd, line)
		return done, len(done), done != line
	}
	for {
		t.SetPrompt(s.prompt())
		line, err := readLine(in, t)
		if errors.Is(err, io.EOF) {
			fmt.Fprintln(out)
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.run(cmd, line); errors.Is(err, errExit) {
			return nil
		} else if err != nil {
			explain(out, err)
		}
	}
}

// readLine lets a line be edited. The terminal is raw only meanwhile, so that commands
// find it as it was.
func readLine(in *os.File, t *term.Terminal) (string, error) {
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return "", err
	}
	if width, height, err := term.GetSize(int(in.Fd())); err == nil && width > 0 {
		_ = t.SetSize(width, height)
	}
	line, err := t.ReadLine()
	return line, errors.Join(err, term.Restore(int(in.Fd()), before))
}

// prompt tells the partition and the role of the newest login.
func (s *shell) prompt() string {
	if s.last == nil {
		return "tidelock> "
	}
	return fmt.Sprintf("%s %s> ", printable(s.last.partition.label), s.last.role.name)
}

// complete extends a line by what its last word can become, as far as that is clear.
func (s *shell) complete(cmd *cobra.Command, line string) string {
	words, err := splitWords(line)
	if err != nil {
		return line
	}
	last := ""
	if len(words) > 0 && !strings.HasSuffix(line, " ") {
		last, words = words[len(words)-1], words[:len(words)-1]
	}
	root := s.root(cmd)
	var offers bytes.Buffer
	root.SetOut(&offers)
	root.SetErr(io.Discard)
	root.SetArgs(append(append([]string{cobra.ShellCompNoDescRequestCmd}, words...), last))
	if err := root.Execute(); err != nil {
		return line
	}
	var common string
	count := 0
	for offer := range strings.Lines(offers.String()) {
		offer = strings.TrimSuffix(offer, "\n")
		if offer == "" || strings.HasPrefix(offer, ":") || !strings.HasPrefix(offer, last) {
			continue
		}
		if count++; count == 1 {
			common = offer
		}
		for !strings.HasPrefix(offer, common) {
			common = common[:len(common)-1]
		}
	}
	if count == 0 || len(common) < len(last) || strings.ContainsAny(common, " \"") {
		return line
	}
	line += common[len(last):]
	if count == 1 {
		line += " "
	}
	return line
}

// splitWords splits a line at blanks; double quotes keep blanks inside a word.
func splitWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord, quoted := false, false
	for _, r := range strings.TrimRight(line, "\r\n") {
		switch {
		case r == '"':
			quoted, inWord = !quoted, true
		case (r == ' ' || r == '\t') && !quoted:
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quoted {
		return nil, wrongUse("a double quote has no partner")
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
