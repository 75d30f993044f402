package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
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

// markUsage makes what cobra refuses of a command and of all below it usage errors.
func markUsage(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		markUsage(sub)
	}
}
