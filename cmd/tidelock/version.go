package main

import (
	"runtime/debug"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/firmware"
)

// version is the product's version, which CHANGELOG.md describes.
const version = "0.1.0"

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show the version of the program",
		Example: "  tidelock version -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows := []field{
				{"Version", "version", version},
				{"Firmware level of a new HSM", "firmware", firmware.Newest.String()},
			}
			if info, ok := debug.ReadBuildInfo(); ok {
				rows = append(rows, field{"Go", "go", info.GoVersion})
			}
			return printFields(cmd, rows)
		},
	}
}

// programName is what the server's logs call a command.
func programName(cmd *cobra.Command) string { return cmd.CommandPath() }
