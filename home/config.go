package home

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// Config is the content of tidelock.toml. Every setting may be left out.
type Config struct {
	// Socket is the applications' socket, Admin the administrators'.
	Socket SocketConfig `toml:"socket"`
	Admin  SocketConfig `toml:"admin"`
	Limits struct {
		// Connections bounds those of all applications, ConnectionsPerUser those of one
		// user; 0 is the default, and for a user no bound of his own.
		Connections        int `toml:"connections"`
		ConnectionsPerUser int `toml:"connections_per_user"`
	} `toml:"limits"`
	Server struct {
		// IdleExit ends the server when no application was there for so long; "0" never.
		IdleExit string `toml:"idle_exit"`
	} `toml:"server"`
	Login struct {
		// TicketLifetime is how long an application's login outlives the server, such as
		// "24h"; "0" turns that off.
		TicketLifetime string `toml:"ticket_lifetime"`
	} `toml:"login"`
	Witness struct {
		// File is where the witness is; "" is none.
		File *string `toml:"file"`
	} `toml:"witness"`
	Metrics struct {
		// Listen is the address on which Prometheus is answered; "" is none.
		Listen string `toml:"listen"`
	} `toml:"metrics"`
	Log struct {
		// Level is debug, info, warn or error.
		Level string `toml:"level"`
		// Format is text or json.
		Format string `toml:"format"`
	} `toml:"log"`
}

// SocketConfig says who may connect to a socket.
type SocketConfig struct {
	// Mode is the permission bits of the socket, octal.
	Mode string `toml:"mode"`
	// AllowedUIDs may connect beside root and the server's user, as far as Mode lets
	// them reach the socket; none is everybody whom Mode lets.
	AllowedUIDs []uint32 `toml:"allowed_uids"`
}

// DefaultConfig is what a new home gets.
const DefaultConfig = `# Tidelock: configuration of this HSM. Unknown keys are refused. A running server
# reads it again on SIGHUP; docs/running.md says which settings then change.

[socket]
# Permission bits of the socket. 0600: only the user that runs the server.
mode = "0600"
# Users who may connect beside root and that user, of those whom the mode lets;
# [] is all of them.
allowed_uids = []

[admin]
# The same for run/admin.sock, by which the HSM itself is administered.
mode = "0600"
allowed_uids = []

[limits]
# Connections of all applications, and of one user's; 0 for a user is no bound of
# his own. Administrators have a bound of their own.
connections = 4096
connections_per_user = 0

[server]
# Leave when no application was there for so long, such as "10m"; "0" is never.
idle_exit = "0"

[login]
# How long the login of a running application outlives the server, so that a restart
# goes unnoticed. "0" turns that off: applications then log in again.
ticket_lifetime = "24h"

[witness]
# A small file that notices when an old copy of the store is put back. Best on
# another disk; relative to this directory; "" for none.
file = "witness"

[metrics]
# Where Prometheus finds /metrics, such as "127.0.0.1:9464"; "" is nowhere. Addresses of
# other hosts are refused: whoever reaches it is not asked who he is.
listen = ""

[log]
# debug, info, warn or error. debug also tells why a call was refused.
level = "info"
# text or json.
format = "text"
`

// maxConfig bounds the configuration file, in bytes.
const maxConfig = 64 << 10

// ReadConfig reads the home's configuration. An error names the file, the place in
// it and what is wrong.
func (h Home) ReadConfig() (Config, error) {
	info, err := os.Stat(h.Config())
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	if info.Size() > maxConfig {
		return Config{}, fmt.Errorf("configuration %s has %d bytes, more than %d", h.Config(), info.Size(), maxConfig)
	}
	text, err := os.ReadFile(h.Config())
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	c, err := parseConfig(text)
	if err != nil {
		return Config{}, fmt.Errorf("configuration %s: %w", h.Config(), err)
	}
	return c, nil
}

func parseConfig(text []byte) (Config, error) {
	c, faults := decodeConfig(text)
	return c, errors.Join(faults...)
}

// CheckConfig gives all that is wrong with the text of a configuration, each fault with
// its line or key; none where a server would take it.
func CheckConfig(text []byte) []error {
	if len(text) > maxConfig {
		return []error{fmt.Errorf("%d bytes, more than %d", len(text), maxConfig)}
	}
	_, faults := decodeConfig(text)
	return faults
}

func decodeConfig(text []byte) (c Config, faults []error) {
	err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&c)
	var unknown *toml.StrictMissingError
	var at *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		for _, e := range unknown.Errors {
			row, _ := e.Position()
			faults = append(faults, fmt.Errorf("line %d: unknown key %q", row, strings.Join(e.Key(), ".")))
		}
	case errors.As(err, &at):
		row, column := at.Position()
		return c, []error{fmt.Errorf("line %d, column %d: %w", row, column, err)}
	case err != nil:
		return c, []error{err}
	}
	return c, append(faults, c.faults()...)
}

// faults gives all settings that make no sense.
func (c Config) faults() []error {
	var faults []error
	note := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	_, err := c.SocketMode()
	note(err)
	_, err = c.AdminMode()
	note(err)
	note(atMost("limits.connections", c.Limits.Connections))
	note(atMost("limits.connections_per_user", c.Limits.ConnectionsPerUser))
	_, err = c.IdleExit()
	note(err)
	_, err = c.TicketLife()
	note(err)
	_, err = c.LogLevel()
	note(err)
	note(c.checkMetrics())
	_, err = c.LogJSON()
	note(err)
	return faults
}

// maxConnections is the most that a limit may say: each may have 1 MiB under way.
const maxConnections = 1 << 16

func atMost(key string, n int) error {
	if n < 0 || n > maxConnections {
		return fmt.Errorf("%s %d is not a number from 0 to %d", key, n, maxConnections)
	}
	return nil
}

// SocketMode is the permission bits of the applications' socket, AdminMode those of
// the administrators'.
func (c Config) SocketMode() (os.FileMode, error) { return c.Socket.mode("socket.mode") }
func (c Config) AdminMode() (os.FileMode, error)  { return c.Admin.mode("admin.mode") }

func (c SocketConfig) mode(key string) (os.FileMode, error) {
	if c.Mode == "" {
		return 0o600, nil
	}
	mode, err := strconv.ParseUint(c.Mode, 8, 32)
	if err != nil || mode > 0o777 {
		return 0, fmt.Errorf("%s %q is not permission bits such as \"0660\"", key, c.Mode)
	}
	return os.FileMode(mode), nil
}

// IdleExit is how long a server without applications stays; 0 is for ever.
func (c Config) IdleExit() (time.Duration, error) {
	return duration("server.idle_exit", c.Server.IdleExit, 0)
}

// TicketLife is how long a login outlives the server; 0 is not at all.
func (c Config) TicketLife() (time.Duration, error) {
	return duration("login.ticket_lifetime", c.Login.TicketLifetime, 24*time.Hour)
}

func duration(key, text string, none time.Duration) (time.Duration, error) {
	if text == "" {
		return none, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%s %q is not a time such as \"24h\", or \"0\"", key, text)
	}
	return d, nil
}

// LogLevel is the least severity that is logged.
func (c Config) LogLevel() (slog.Level, error) {
	switch c.Log.Level {
	case "", "info":
		return slog.LevelInfo, nil
	case "debug":
		return slog.LevelDebug, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("log.level %q is not debug, info, warn or error", c.Log.Level)
}

// checkMetrics tells what is wrong with the address of metrics.
func (c Config) checkMetrics() error {
	if c.Metrics.Listen == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(c.Metrics.Listen)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("metrics.listen %q is not an address of this host alone, such as \"127.0.0.1:9464\"", c.Metrics.Listen)
	}
	return nil
}

// LogJSON tells whether log records are JSON.
func (c Config) LogJSON() (bool, error) {
	switch c.Log.Format {
	case "", "text":
		return false, nil
	case "json":
		return true, nil
	}
	return false, fmt.Errorf("log.format %q is not text or json", c.Log.Format)
}
