package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/client"
	"tidelock.dev/tidelock/wire"
)

// connect reaches the server of a home for a command, and starts it first where
// that is allowed.
func connect(cmd *cobra.Command) (*client.Client, error) {
	h, err := homeOf(cmd)
	if err != nil {
		return nil, err
	}
	c, err := client.Dial(h.Socket(), programName(cmd))
	if err == nil {
		return c, nil
	}
	if !h.IsDevelopment() {
		return nil, fmt.Errorf("%w: is the server running? `tidelock serve --home %s` starts it", err, h.Dir)
	}
	if failed := autostart(h); failed != nil {
		// A server that is there may have turned this user away.
		return nil, fmt.Errorf("%w; starting a server: %w", err, failed)
	}
	return client.Dial(h.Socket(), programName(cmd))
}

// ask makes one call to the server of a home.
func ask(cmd *cobra.Command, call wire.Call, request, reply wire.Message) error {
	c, err := connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Do(call, 0, request, reply)
}
