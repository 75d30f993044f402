package client

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tidelock.dev/tidelock/firmware"
)

// Settings is what client.conf says. libtidelock.so reads the same files.
//
//	# to a server, a client of this level
//	level = 10.2
type Settings struct {
	// Level is that of the client's software, firmware.NewestClient where nothing says
	// otherwise.
	Level firmware.Level
}

// LevelEnv names the level in front of every file.
const LevelEnv = "TIDELOCK_CLIENT_LEVEL"

// hostSettings is the file for all HSMs of a host; a home's is read over it.
const hostSettings = "/etc/tidelock/client.conf"

// maxSettings is the longest file that is read, in bytes.
const maxSettings = 4096

// LoadSettings reads the settings of a client of the HSM in a home, or of none in
// particular when that is empty.
func LoadSettings(home string) (Settings, error) {
	s := Settings{Level: firmware.NewestClient}
	paths := []string{hostSettings}
	if home != "" {
		paths = append(paths, filepath.Join(home, "client.conf"))
	}
	for _, path := range paths {
		text, err := readSettings(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = s.Parse(text)
		}
		if err != nil {
			return Settings{}, fmt.Errorf("%s: %w", path, err)
		}
	}
	if text := os.Getenv(LevelEnv); text != "" {
		var err error
		if s.Level, err = firmware.ParseClientLevel(text); err != nil {
			return Settings{}, fmt.Errorf("%s: %w", LevelEnv, err)
		}
	}
	return s, nil
}

func readSettings(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSettings+1))
	if err == nil && len(text) > maxSettings {
		err = fmt.Errorf("longer than %d bytes", maxSettings)
	}
	return text, err
}

// Parse reads the text of a file over what the settings are. An error names the line.
func (s *Settings) Parse(text []byte) error {
	given := false
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxSettings+1)
	for number := 1; lines.Scan(); number++ {
		line := strings.Trim(lines.Text(), " \t\r")
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, found := strings.Cut(line, "=")
		if !found {
			return fmt.Errorf("line %d: neither `key = value` nor a comment", number)
		}
		if key = strings.Trim(key, " \t"); key != "level" {
			return fmt.Errorf("line %d: there is no key %q; `level` is the only one", number, key)
		}
		if given {
			return fmt.Errorf("line %d: the level is set twice", number)
		}
		given = true
		var err error
		if s.Level, err = firmware.ParseClientLevel(strings.Trim(value, " \t")); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
	}
	return lines.Err()
}
