package home

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// Config is the content of tidelock.toml. Every setting may be left out.
type Config struct {
	Socket struct {
		// Mode is the permission bits of the socket, octal.
		Mode string `toml:"mode"`
		// AllowedUIDs may connect beside root and the server's user, as far as Mode lets
		// them reach the socket; none is everybody whom Mode lets.
		AllowedUIDs []uint32 `toml:"allowed_uids"`
	} `toml:"socket"`
	Login struct {
		// TicketLifetime is how long an application's login outlives the server, such as
		// "24h"; "0" turns that off.
		TicketLifetime string `toml:"ticket_lifetime"`
	} `toml:"login"`
	Witness struct {
		// File is where the witness is; "" is none.
		File *string `toml:"file"`
	} `toml:"witness"`
	Log struct {
		// Level is debug, info, warn or error.
		Level string `toml:"level"`
	} `toml:"log"`
}

// DefaultConfig is what a new home gets.
const DefaultConfig = `# Tidelock: configuration of this HSM. Unknown keys are refused.

[socket]
# Permission bits of the socket. 0600: only the user that runs the server.
mode = "0600"
# Users who may connect beside root and that user, of those whom the mode lets;
# [] is all of them.
allowed_uids = []

[login]
# How long the login of a running application outlives the server, so that a restart
# goes unnoticed. "0" turns that off: applications then log in again.
ticket_lifetime = "24h"

[witness]
# A small file that notices when an old copy of the store is put back. Best on
# another disk; relative to this directory; "" for none.
file = "witness"

[log]
# debug, info, warn or error. debug also tells why a call was refused.
level = "info"
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
	var c Config
	d := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		var unknown *toml.StrictMissingError
		if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
			row, _ := unknown.Errors[0].Position()
			return Config{}, fmt.Errorf("line %d: unknown key %q", row, strings.Join(unknown.Errors[0].Key(), "."))
		}
		var at *toml.DecodeError
		if errors.As(err, &at) {
			row, column := at.Position()
			return Config{}, fmt.Errorf("line %d, column %d: %w", row, column, err)
		}
		return Config{}, err
	}
	if _, err := c.SocketMode(); err != nil {
		return Config{}, err
	}
	if _, err := c.LogLevel(); err != nil {
		return Config{}, err
	}
	if _, err := c.TicketLife(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// SocketMode is the socket's permission bits.
func (c Config) SocketMode() (os.FileMode, error) {
	if c.Socket.Mode == "" {
		return 0o600, nil
	}
	mode, err := strconv.ParseUint(c.Socket.Mode, 8, 32)
	if err != nil || mode > 0o777 {
		return 0, fmt.Errorf("socket.mode %q is not permission bits such as \"0660\"", c.Socket.Mode)
	}
	return os.FileMode(mode), nil
}

// TicketLife is how long a login outlives the server; 0 is not at all.
func (c Config) TicketLife() (time.Duration, error) {
	if c.Login.TicketLifetime == "" {
		return 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(c.Login.TicketLifetime)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("login.ticket_lifetime %q is not a time such as \"24h\", or \"0\"", c.Login.TicketLifetime)
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
