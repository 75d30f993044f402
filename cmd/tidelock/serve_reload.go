package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"tidelock.dev/tidelock/home"
	"tidelock.dev/tidelock/serve"
)

// reloadOn reads the configuration again at each signal until done.
func (d *daemon) reloadOn(ctx context.Context, hangup <-chan os.Signal, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-hangup:
			d.tell(d.notifier.Reloading())
			d.reload(ctx)
			d.tell(d.notifier.Ready("serves"))
		}
	}
}

// reload takes over what a running server can change. A configuration with a fault
// changes nothing.
func (d *daemon) reload(ctx context.Context) {
	config, err := d.home.ReadConfig()
	if err != nil {
		d.log.Error("the settings stay as they were", "cause", err)
		return
	}
	level, err := config.LogLevel()
	life, badLife := config.TicketLife()
	err = errors.Join(err, badLife)
	if err == nil {
		err = d.scrape(ctx, config.Metrics.Listen)
	}
	if err == nil {
		err = d.chmod(config)
	}
	if err != nil {
		d.log.Error("the settings stay as they were", "cause", err)
		return
	}
	d.level.Set(level)
	d.server.Set(settingsOf(config))
	d.opened.HSM.SetTicketLife(life)
	d.log.Info("configuration read again")
	if later := needRestart(d.config, config, d.passed); len(later) > 0 {
		d.log.Warn("some settings change only when the server is started again", "settings", later)
	}
	// What needs a restart stays at the value that holds, so that the next reload names
	// it again.
	held := config
	held.Server, held.Witness, held.Log.Format = d.config.Server, d.config.Witness, d.config.Log.Format
	if d.passed {
		held.Socket.Mode, held.Admin.Mode = d.config.Socket.Mode, d.config.Admin.Mode
	}
	d.config = held
}

// chmod gives the sockets their new permissions.
func (d *daemon) chmod(config home.Config) error {
	if d.passed {
		return nil
	}
	mode, err := config.SocketMode()
	if err != nil {
		return err
	}
	adminMode, err := config.AdminMode()
	if err != nil {
		return err
	}
	if err := errors.Join(os.Chmod(d.home.Socket(), mode), os.Chmod(d.home.AdminSocket(), adminMode)); err != nil {
		return fmt.Errorf("permissions of the sockets: %w", err)
	}
	return nil
}

// needRestart names the settings that differ and that a running server does not change.
func needRestart(old, new home.Config, passed bool) []string {
	var names []string
	differ := func(name string, differs bool) {
		if differs {
			names = append(names, name)
		}
	}
	differ("server.idle_exit", old.Server != new.Server)
	differ("witness.file", (old.Witness.File == nil) != (new.Witness.File == nil) ||
		old.Witness.File != nil && *old.Witness.File != *new.Witness.File)
	differ("log.format", old.Log.Format != new.Log.Format)
	differ("socket.mode", passed && old.Socket.Mode != new.Socket.Mode)
	differ("admin.mode", passed && old.Admin.Mode != new.Admin.Mode)
	return names
}

// settingsOf are the server's settings in a configuration.
func settingsOf(c home.Config) serve.Settings {
	return serve.Settings{
		AllowedUIDs: c.Socket.AllowedUIDs, AdministratorUIDs: c.Admin.AllowedUIDs,
		MaxConnections: c.Limits.Connections, MaxPerUser: c.Limits.ConnectionsPerUser,
	}
}
