package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// confirmation stands before everything that destroys.
type confirmation struct{ yes, dryRun bool }

func (c *confirmation) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&c.dryRun, "dry-run", false, "say what would be lost, and do nothing")
}

// ask says what a deed destroys, and by which changes where it is one of settings, and lets
// the user type word. false means that nothing is to be done: it was a dry run.
func (c *confirmation) ask(cmd *cobra.Command, word string, lost []string, changes ...string) (bool, error) {
	if c.dryRun {
		return false, printLoss(cmd, lost)
	}
	if c.yes {
		return true, nil
	}
	what := strings.Join(lost, "\n  ")
	if len(changes) > 0 {
		what += "\nby the change of:\n  " + strings.Join(changes, "\n  ")
	}
	if !interactive(cmd) {
		return false, wrongUse("this would destroy:\n  %s\nnobody can be asked without a terminal: --yes does it, --dry-run only tells", what)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "This destroys, for good:\n  %s\n", what)
	return true, typed(cmd, word)
}

// typed lets the user type a word, and is an error when he types another.
func typed(cmd *cobra.Command, word string) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "Type %s to go on: ", word)
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if strings.TrimRight(line, "\r\n") != word {
		return errors.New("not confirmed: nothing was changed")
	}
	return nil
}

// printLoss is the answer of a dry run.
func printLoss(cmd *cobra.Command, lost []string) error {
	asJSON, err := wantsJSON(cmd)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd, map[string]any{"dryRun": true, "lost": append([]string{}, lost...)})
	}
	w := cmd.OutOrStdout()
	if len(lost) == 0 {
		_, err := fmt.Fprintln(w, "Nothing was changed. Nothing would be destroyed.")
		return err
	}
	fmt.Fprintln(w, "Nothing was changed. This would be destroyed:")
	for _, l := range lost {
		fmt.Fprintln(w, " ", l)
	}
	return nil
}
