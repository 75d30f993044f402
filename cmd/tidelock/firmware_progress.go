package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/client"
	"tidelock.dev/tidelock/wire"
)

// progressEvery is how often the server is asked how far an update is.
const progressEvery = 200 * time.Millisecond

// showProgress shows on a terminal how far an update is, by a connection of its own, until
// the caller says that it is over. Not to know costs nothing but the line.
func showProgress(cmd *cobra.Command) (over func()) {
	out := cmd.ErrOrStderr()
	if !isTerminal(out) {
		return func() {}
	}
	h, err := homeOf(cmd)
	if err != nil {
		return func() {}
	}
	c, err := client.Dial(h.AdminSocket(), programName(cmd))
	if err != nil {
		return func() {}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		defer c.Close()
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				fmt.Fprint(out, "\r\x1b[K")
				return
			case <-ticker.C:
			}
			var info wire.FirmwareInfoReply
			if err := c.Do(wire.CallFirmwareInfo, 0, &wire.FirmwareInfoRequest{}, &info); err != nil || info.Updating == "" {
				continue
			}
			fmt.Fprintf(out, "\r\x1b[KUpdating to %s: %d of %d objects", info.Updating, info.Done, info.Total)
		}
	}()
	return func() {
		close(stop)
		<-stopped
	}
}
