package main

import (
	"github.com/spf13/cobra"
)

func configCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "config",
		Short:   "The configuration of the HSM's server",
		Example: "  tidelock config check",
	}, &cobra.Command{
		Use:   "check",
		Short: "Check tidelock.toml without starting anything",
		Long: `check reads the configuration as the server would at its start, and says what is wrong
and in which line. The exit status is 0 when it is right.`,
		Example: "  tidelock config check --home ~/hsm",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := homeOf(cmd)
			if err != nil {
				return err
			}
			if _, err := h.ReadConfig(); err != nil {
				return err
			}
			return printFields(cmd, []field{{"Configuration", "file", h.Config()}, {"Valid", "valid", true}})
		},
	})
}
