package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The exit statuses.
const (
	exitOK      = 0
	exitRefused = 1 // the HSM refused, or something failed
	exitUsage   = 2 // the command line is wrong; nothing was asked of the HSM
)

// usageError is a command line that is wrong by itself.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// wrongUse makes a usageError.
func wrongUse(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitStatus is what the program ends with after err.
func exitStatus(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	}
	return exitRefused
}

// markUsage makes what cobra refuses of a command and of all below it usage errors, in
// words that say what would be right.
func markUsage(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(wrongFlag)
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return wrongUse("%s: the command is `%s`", describeArgs(args), cmd.UseLine())
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		markUsage(sub)
	}
}

// describeArgs tells what stands after a command whose number of arguments is wrong.
func describeArgs(args []string) string {
	if len(args) == 0 {
		return "something is missing"
	}
	return fmt.Sprintf("%q does not fit", strings.Join(args, " "))
}

// wrongFlag says what is wrong with a flag, and what it takes.
func wrongFlag(cmd *cobra.Command, err error) error {
	var value *pflag.InvalidValueError
	if errors.As(err, &value) {
		f := value.GetFlag()
		return wrongUse("--%s %s: it takes %s: %s", f.Name, value.GetValue(), kindOf(f), f.Usage)
	}
	return wrongUse("%w: `%s --help` shows what there is", err, cmd.CommandPath())
}

// kindOf names what a flag takes, for people.
func kindOf(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "uint8", "uint16", "int", "uint64":
		return "a number"
	case "duration":
		return "a time such as 30s or 10m"
	case "bool":
		return "true or false"
	}
	return "a " + f.Value.Type()
}
