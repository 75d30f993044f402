package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "Write the manual pages into a directory",
		Long:    "man writes a page for each command, tidelock-hsm-show.1 for example, as \"man -l FILE\" shows it.",
		Example: "  tidelock man /usr/local/share/man/man1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			n := 0
			err := eachCommand(cmd.Root(), func(c *cobra.Command) error {
				n++
				return os.WriteFile(filepath.Join(args[0], manName(c)+".1"), []byte(manPage(c)), 0o644)
			})
			if err != nil {
				return err
			}
			return printFields(cmd, []field{{"Pages", "pages", n}, {"Directory", "directory", args[0]}})
		},
	}
}

// eachCommand calls fn with every command that people see.
func eachCommand(cmd *cobra.Command, fn func(c *cobra.Command) error) error {
	if cmd.Hidden {
		return nil
	}
	if err := fn(cmd); err != nil {
		return err
	}
	for _, sub := range cmd.Commands() {
		if sub.Name() == "help" || sub.Name() == "completion" {
			continue
		}
		if err := eachCommand(sub, fn); err != nil {
			return err
		}
	}
	return nil
}

func manName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// roff escapes text for a manual page: backslashes, hyphens that are typed, and a line's
// first character where it would begin a request.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

// manPage is the page of a command, in the man macros.
func manPage(c *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH \"%s\" 1 \"\" \"tidelock %s\" \"Tidelock\"\n", strings.ToUpper(roff(manName(c))), version)
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(manName(c)), roff(c.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roff(c.UseLine()))
	if c.Long != "" {
		fmt.Fprintf(&b, ".SH DESCRIPTION\n%s\n", strings.ReplaceAll(roff(c.Long), "\n\n", "\n.PP\n"))
	}
	if c.HasAvailableSubCommands() {
		b.WriteString(".SH COMMANDS\n")
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() && sub.Name() != "completion" {
				fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(sub.Name()), roff(sub.Short))
			}
		}
	}
	b.WriteString(".SH OPTIONS\n")
	for _, flags := range []*pflag.FlagSet{c.NonInheritedFlags(), c.InheritedFlags()} {
		flags.VisitAll(func(f *pflag.Flag) {
			if f.Hidden {
				return
			}
			name := "--" + f.Name
			if f.Shorthand != "" {
				name = "-" + f.Shorthand + ", " + name
			}
			if f.Value.Type() != "bool" {
				name += " " + f.Value.Type()
			}
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(name), roff(f.Usage))
		})
	}
	if c.Example != "" {
		fmt.Fprintf(&b, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(c.Example))
	}
	b.WriteString(".SH EXIT STATUS\n0 when it was done, 1 when it was refused or failed, 2 when the command line was wrong.\n")
	if c.HasParent() {
		also := []string{manName(c.Parent())}
		for _, other := range c.Parent().Commands() {
			if other != c && other.IsAvailableCommand() && other.Name() != "completion" {
				also = append(also, manName(other))
			}
		}
		slices.Sort(also)
		fmt.Fprintf(&b, ".SH SEE ALSO\n%s\n", roff(strings.Join(also, "(1), ")+"(1)"))
	}
	return b.String()
}
