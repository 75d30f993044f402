package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/client"
	"tidelock.dev/tidelock/wire"
)

// link is a connection, for one command or for all of a shell.
type link struct {
	*client.Client
	administers bool // by the administrators' socket
	kept        bool // by a shell, which closes it
}

// Close ends the connection, unless a shell goes on with it.
func (l *link) Close() error {
	if l.kept {
		return nil
	}
	return l.Client.Close()
}

// connect reaches the server of a home for a command, and starts it first where
// that is allowed. Whoever may use the administrators' socket goes by it: it shows
// all partitions.
func connect(cmd *cobra.Command) (*link, error) {
	if s := shellOf(cmd); s != nil {
		return s.link, nil
	}
	h, err := homeOf(cmd)
	if err != nil {
		return nil, err
	}
	settings, err := client.LoadSettings(h.Dir)
	if err != nil {
		return nil, err
	}
	dial := func() (*link, error) {
		c, err := client.DialAs(h.AdminSocket(), programName(cmd), settings.Level)
		if err == nil {
			return &link{Client: c, administers: true}, nil
		}
		c, err = client.DialAs(h.Socket(), programName(cmd), settings.Level)
		return &link{Client: c}, err
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

// withServer lets a command speak to the server.
func withServer(cmd *cobra.Command, do func(c *link) error) error {
	c, err := connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	return do(c)
}

// administer reaches the server by the administrators' socket, and by no other.
func administer(cmd *cobra.Command) (*link, error) {
	c, err := connect(cmd)
	if err != nil {
		return nil, err
	}
	if !c.administers {
		c.Close()
		return nil, errors.New("this is for the HSM's administrator, who reaches run/admin.sock: root, or the user that runs the server")
	}
	return c, nil
}

// ask makes one call to the server of a home.
func ask(cmd *cobra.Command, call wire.Call, request, reply wire.Message) error {
	return withServer(cmd, func(c *link) error { return c.Do(call, 0, request, reply) })
}
