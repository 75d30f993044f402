package home

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Config is the content of tidelock.toml. Every setting may be left out.
type Config struct {
	Socket struct {
		// Mode is the permission bits of the socket, octal.
		Mode string `toml:"mode"`
		// AllowedUIDs may connect beside root and the server's user, as far as Mode
		// lets them reach the socket.
		AllowedUIDs []uint32 `toml:"allowed_uids"`
	} `toml:"socket"`
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
# Users who may connect beside root and that user (with a mode that lets them).
allowed_uids = []

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
