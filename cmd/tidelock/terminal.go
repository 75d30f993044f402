package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// isTerminal tells whether a stream of a command is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colours tells whether a command's output may have colours (no-color.org).
func colours(w io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(w)
}

// table is a tabwriter whose first line, the headings, is bold where there may be
// colours.
type table struct {
	*tabwriter.Writer
	text bytes.Buffer
	out  io.Writer
	bold bool
}

func newTable(out io.Writer, headings bool) *table {
	t := &table{out: out, bold: headings && colours(out)}
	t.Writer = tabwriter.NewWriter(&t.text, 0, 0, 2, ' ', 0)
	return t
}

// Flush lays out what was written since the last one, and writes it.
func (t *table) Flush() error {
	if err := t.Writer.Flush(); err != nil {
		return err
	}
	defer t.text.Reset()
	text := t.text.Bytes()
	if end := bytes.IndexByte(text, '\n'); t.bold && end > 0 {
		if _, err := fmt.Fprintf(t.out, "\x1b[1m%s\x1b[0m\n", text[:end]); err != nil {
			return err
		}
		text = text[end+1:]
		t.bold = false
	}
	_, err := t.out.Write(text)
	return err
}

// interactive tells whether somebody can be asked: the question goes to standard
// error, the answer comes from standard input.
func interactive(cmd *cobra.Command) bool {
	return isTerminal(cmd.InOrStdin()) && isTerminal(cmd.ErrOrStderr())
}
