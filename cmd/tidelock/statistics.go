package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

func statisticsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "statistics",
		Short: "Show what the HSM has done since its start",
		Long: `Show what the HSM has done since its start: its partitions and how full they are,
cryptographic operations by mechanism and the code that they got, and calls. An
operation counts once: with its C_SignInit, or as a whole where it came whole.`,
		Example: "  tidelock statistics\n  tidelock statistics -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s wire.StatisticsReply
			if err := ask(cmd, wire.CallStatistics, &wire.StatisticsRequest{}, &s); err != nil {
				return err
			}
			return printStatistics(cmd, &s)
		},
	}
}

func printStatistics(cmd *cobra.Command, s *wire.StatisticsReply) error {
	summary := []field{
		{"Up for", "uptime", (time.Duration(s.UptimeSeconds) * time.Second).String()},
		{"Applications", "applications", s.Applications},
		{"Connections", "connections", s.Connections},
	}
	tables := []struct {
		title, name string
		rows        [][]field
	}{{"Partitions", "partitions", partitionRows(s)}, {"Operations", "operations", useRows(s)}, {"Calls", "calls", callRows(s)}}
	asJSON, err := wantsJSON(cmd)
	if err != nil {
		return err
	}
	if asJSON {
		all := object(summary)
		for _, t := range tables {
			list := make([]map[string]any, 0, len(t.rows))
			for _, r := range t.rows {
				list = append(list, object(r))
			}
			all[t.name] = list
		}
		return printJSON(cmd, all)
	}
	if err := printFields(cmd, summary); err != nil {
		return err
	}
	for _, t := range tables {
		if len(t.rows) == 0 {
			continue
		}
		fmt.Fprintf(cmd.OutOrStdout(), "\n%s\n", t.title)
		if err := printTable(cmd, t.rows); err != nil {
			return err
		}
	}
	return nil
}

func partitionRows(s *wire.StatisticsReply) [][]field {
	var rows [][]field
	for i := range s.Slots {
		rows = append(rows, []field{
			{"Slot", "slot", s.Slots[i]},
			{"Label", "label", s.Labels[i]},
			{"Sessions", "sessions", s.Sessions[i]},
			{"Objects", "objects", s.Objects[i]},
			{"Used", "usedBytes", s.UsedBytes[i]},
			{"Total", "totalBytes", s.TotalBytes[i]},
		})
	}
	return rows
}

func useRows(s *wire.StatisticsReply) [][]field {
	var rows [][]field
	for i, function := range s.UseFunctions {
		rows = append(rows, []field{
			{"Function", "function", useFunction(function)},
			{"Mechanism", "mechanism", mechanismName(s.UseMechanisms[i])},
			{"Code", "code", cryptoki.RV(s.UseCodes[i]).String()},
			{"Count", "count", s.UseCounts[i]},
		})
	}
	return rows
}

func callRows(s *wire.StatisticsReply) [][]field {
	var rows [][]field
	for i, call := range s.Calls {
		name := "other"
		if call != 0 {
			name = wire.Call(call).String()
		}
		rows = append(rows, []field{
			{"Call", "call", name},
			{"Code", "code", cryptoki.RV(s.CallCodes[i]).String()},
			{"Count", "count", s.CallCounts[i]},
		})
	}
	return rows
}

// mechanismName names a mechanism, or what is counted for all that are not known.
func mechanismName(n uint64) string {
	if n == ^uint64(0) {
		return "other"
	}
	return cryptoki.MechanismType(n).String()
}

// useFunction names a function of docs/wire.md, "Operations", and what makes keys.
func useFunction(n uint64) string {
	names := map[uint64]string{1: "encrypt", 2: "decrypt", 3: "digest", 4: "sign", 5: "verify", 32: "generate key", 33: "generate key pair"}
	if name, known := names[n]; known {
		return name
	}
	return "other"
}
