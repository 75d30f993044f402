package main

import (
	"io"
	"os"

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

// The escape sequences that the commands use.
const (
	styleBold = "\x1b[1m"
	styleDim  = "\x1b[2m"
	styleOff  = "\x1b[0m"
)

// interactive tells whether somebody can be asked: the question goes to standard
// error, the answer comes from standard input.
func interactive(cmd *cobra.Command) bool {
	return isTerminal(cmd.InOrStdin()) && isTerminal(cmd.ErrOrStderr())
}
