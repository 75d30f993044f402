package client_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidelock.dev/tidelock/client"
	"tidelock.dev/tidelock/firmware"
)

func TestSettings(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "10.5.0",
		"# level = 10.2\n\n":         "10.5.0",
		"level = 10.2":               "10.2.0",
		"\t level=7.4.2 \r\n":        "7.4.2",
		"level = 10.5.0\n# newest\n": "10.5.0",
	} {
		s := client.Settings{Level: firmware.NewestClient}
		if err := s.Parse([]byte(text)); err != nil || s.Level.String() != want {
			t.Errorf("%q: %v, %v", text, s.Level, err)
		}
	}
	for text, says := range map[string]string{
		"level":                      "line 1: neither",
		"\nlevels = 10.2":            "line 2: there is no key \"levels\"",
		"level = 10.2\nlevel = 10.2": "line 2: the level is set twice",
		"level = 10":                 "line 1: \"10\" is no client level",
		"level = 10.6":               "newer than this client, 10.5.0",
		"level = 10.02":              "is no client level",
		"level = 010.2":              "is no client level",
		"level = 0.2":                "is no client level",
		"level = 10.2.0.0":           "is no client level",
		"level = 10.100":             "is no client level",
		"level = 10.2 # old":         "is no client level",
		"level =":                    "is no client level",
	} {
		s := client.Settings{Level: firmware.NewestClient}
		if err := s.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// The environment goes before the file of a home.
func TestLoadSettings(t *testing.T) {
	home := t.TempDir()
	file := filepath.Join(home, "client.conf")
	level := func(want string) {
		t.Helper()
		if s, err := client.LoadSettings(home); err != nil || s.Level.String() != want {
			t.Errorf("%v, %v", s.Level, err)
		}
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(client.LevelEnv, "")
	level("10.5.0")
	write("level = 10.3")
	level("10.3.0")
	t.Setenv(client.LevelEnv, "10.2")
	level("10.2.0")
	t.Setenv(client.LevelEnv, "x")
	if _, err := client.LoadSettings(home); err == nil || !strings.HasPrefix(err.Error(), client.LevelEnv+": ") {
		t.Error(err)
	}
	t.Setenv(client.LevelEnv, "")
	for text, says := range map[string]string{
		"level": "line 1",
		strings.Repeat("#", 2048) + "\n" + strings.Repeat("#", 2048): "longer than 4096 bytes",
	} {
		write(text)
		if _, err := client.LoadSettings(home); err == nil || !strings.HasPrefix(err.Error(), file+": "+says) {
			t.Error(err)
		}
	}
}

func FuzzSettings(f *testing.F) {
	f.Add([]byte("# old\nlevel = 10.2.0\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := client.Settings{Level: firmware.NewestClient}
		if err := s.Parse(text); err != nil {
			return
		}
		if again, err := firmware.ParseClientLevel(s.Level.String()); err != nil || again != s.Level {
			t.Errorf("%v is read as %v, %v", s.Level, again, err)
		}
	})
}
