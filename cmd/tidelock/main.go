// Go's cryptographic module runs in its FIPS 140-3 mode: self-tests at start,
// consistency tests of new keys, its own random number generator.
//
//go:debug fips140=on

// Command tidelock is the HSM's server and all of its commands.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run()) }

// run executes the command line and returns the exit status: 0, or 1 after an error
// that has been printed.
func run() int {
	if err := rootCommand().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "tidelock:", err)
		return 1
	}
	return 0
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
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentFlags().String("home", "", "directory of the HSM (default $TIDELOCK_HOME)")
	root.PersistentFlags().StringP("output", "o", "text", "text or json")
	root.AddCommand(quickstartCommand(), serveCommand(), stopCommand(), autostartCommand(), hsmCommand(), partitionCommand(), auditCommand(), versionCommand())
	return root
}
