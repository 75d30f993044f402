package main

import (
	"time"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/wire"
)

func hsmCommand() *cobra.Command {
	return group(&cobra.Command{Use: "hsm", Short: "The HSM as a whole"}, &cobra.Command{
		Use:     "show",
		Short:   "Show what the HSM is and what it does",
		Example: "  tidelock hsm show\n  tidelock hsm show -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var info wire.HSMInfoReply
			if err := ask(cmd, wire.CallHSMInfo, &wire.HSMInfoRequest{}, &info); err != nil {
				return err
			}
			return printFields(cmd, []field{
				{"Label", "label", info.Label},
				{"Serial number", "serial", info.Serial},
				{"Model", "model", info.Model},
				{"Firmware level", "firmware", info.Firmware},
				{"Mode", "mode", info.Mode},
				{"Root key", "rootKey", info.RootKey},
				{"State", "state", info.State},
				{"FIPS module", "fips", info.Approved},
				{"Rollback of the store", "rollback", info.Rollback},
				{"Memory", "memory", info.Memory},
				{"Partitions", "partitions", info.Partitions},
				{"Applications", "applications", info.Applications},
				{"Sessions", "sessions", info.Sessions},
				{"Up for", "uptime", (time.Duration(info.UptimeSeconds) * time.Second).String()},
			})
		},
	})
}

func partitionCommand() *cobra.Command {
	return group(&cobra.Command{Use: "partition", Short: "The HSM's partitions"}, &cobra.Command{
		Use:     "list",
		Short:   "List the partitions",
		Example: "  tidelock partition list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list wire.PartitionListReply
			if err := ask(cmd, wire.CallPartitionList, &wire.PartitionListRequest{}, &list); err != nil {
				return err
			}
			rows := make([][]field, len(list.Slots))
			for i := range list.Slots {
				rows[i] = []field{
					{"Slot", "slot", list.Slots[i]},
					{"Label", "label", list.Labels[i]},
					{"Serial number", "serial", list.Serials[i]},
				}
			}
			return printTable(cmd, rows)
		},
	})
}
