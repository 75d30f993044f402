package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/client"
	"tidelock.dev/tidelock/wire"
)

// connect reaches the server of a home for a command, and starts it first where
// that is allowed. Whoever may use the administrators' socket goes by it: it shows
// all partitions.
func connect(cmd *cobra.Command) (*client.Client, error) {
	h, err := homeOf(cmd)
	if err != nil {
		return nil, err
	}
	dial := func() (*client.Client, error) {
		if c, err := client.Dial(h.AdminSocket(), programName(cmd)); err == nil {
			return c, nil
		}
		return client.Dial(h.Socket(), programName(cmd))
	}
	c, err := dial()
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
	return dial()
}

// administer reaches the server by the administrators' socket, and by no other.
func administer(cmd *cobra.Command) (*client.Client, error) {
	h, err := homeOf(cmd)
	if err != nil {
		return nil, err
	}
	// This starts a server that may be started, and tells best why none can be reached.
	c, err := connect(cmd)
	if err != nil {
		return nil, err
	}
	if err := c.Close(); err != nil {
		return nil, err
	}
	c, err = client.Dial(h.AdminSocket(), programName(cmd))
	if err != nil {
		return nil, fmt.Errorf("%w: this is for the HSM's administrator, root or the user that runs the server", err)
	}
	return c, nil
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
