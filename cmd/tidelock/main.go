// Go's cryptographic module runs in its FIPS 140-3 mode: self-tests at start,
// consistency tests of new keys, its own random number generator.
//
//go:debug fips140=on

// Command tidelock is the HSM's server and all of its commands.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run()) }

// run executes the command line and returns the exit status; an error has been
// printed.
func run() int {
	if err := rootCommand().Execute(); err != nil {
		explain(os.Stderr, err)
		return exitStatus(err)
	}
	return exitOK
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "tidelock",
		Short: "A network HSM in software",
		Long: `Tidelock is an HSM in software: keys are made and used inside a separate
process, and programs reach them through PKCS#11 (libtidelock.so).`,
		Example: `  tidelock quickstart --home ~/hsm --label demo --so-pin 12345678 --pin 87654321
  export TIDELOCK_HOME=~/hsm
  pkcs11-tool --module bin/libtidelock.so --login --pin 87654321 --keypairgen --key-type EC:prime256v1
  tidelock hsm show`,
		// Refused before anything is done whose result could not be shown.
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := wantsJSON(cmd); err != nil {
				return err
			}
			return checkFlags(cmd)
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.Args = cobra.ArbitraryArgs // group says which command is unknown
	root.PersistentFlags().String("home", "", "directory of the HSM (default $TIDELOCK_HOME)")
	root.PersistentFlags().StringP("output", "o", "text", "text or json")
	group(root, quickstartCommand(), serveCommand(), stopCommand(), statisticsCommand(), topCommand(), autostartCommand(), hsmCommand(), partitionCommand(), auditCommand(), roleCommand(), clientCommand(), keyCommand(), configCommand(), compareCommand(), shellCommand(), manCommand(), versionCommand())
	markUsage(root)
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		hideFlags(cmd)
		help(cmd, args)
	})
	return root
}

// group makes a command of one that only has others below it. By itself it shows
// them; cobra would do the same for a name that it does not know, and succeed.
func group(cmd *cobra.Command, commands ...*cobra.Command) *cobra.Command {
	cmd.DisableFlagsInUseLine = true
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return wrongUse("unknown command %q for %q: %s", args[0], cmd.CommandPath(), nearest(cmd, args[0]))
		}
		return cmd.Help()
	}
	cmd.AddCommand(commands...)
	return cmd
}

// nearest offers the commands that somebody may have meant.
func nearest(cmd *cobra.Command, word string) string {
	cmd.SuggestionsMinimumDistance = 2
	if meant := cmd.SuggestionsFor(word); len(meant) > 0 {
		return fmt.Sprintf("is it %s?", strings.Join(meant, " or "))
	}
	return fmt.Sprintf("`%s --help` shows them all", cmd.CommandPath())
}
