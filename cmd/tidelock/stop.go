package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/client"
	"tidelock.dev/tidelock/wire"
)

func stopCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "stop",
		Short:   "Stop the server of an HSM",
		Example: "  tidelock stop --home ~/hsm",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := homeOf(cmd)
			if err != nil {
				return err
			}
			c, err := client.Dial(h.Socket(), programName(cmd))
			if err != nil {
				cmd.Println("no server is running")
				return nil
			}
			if err := c.Do(wire.CallStop, 0, &wire.StopRequest{}, &wire.StopReply{}); err != nil {
				return err
			}
			for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
				if used, err := h.InUse(); err != nil || !used {
					return err
				}
				time.Sleep(5 * time.Millisecond)
			}
			return errors.New("the server was told to stop and still runs")
		},
	}
}
