package home

import (
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestConfig(t *testing.T) {
	type want struct {
		mode    os.FileMode
		uids    []uint32
		level   slog.Level
		tickets time.Duration
	}
	for name, c := range map[string]struct {
		text string
		want want
	}{
		"empty":     {"", want{0o600, nil, slog.LevelInfo, 24 * time.Hour}},
		"a new HSM": {DefaultConfig, want{0o600, []uint32{}, slog.LevelInfo, 24 * time.Hour}},
		"all of it": {
			"[socket]\nmode = \"0666\"\nallowed_uids = [7, 1000]\n[login]\nticket_lifetime = \"90m\"\n[log]\nlevel = \"debug\"\n",
			want{0o666, []uint32{7, 1000}, slog.LevelDebug, 90 * time.Minute},
		},
		"tickets off": {"[login]\nticket_lifetime = \"0\"", want{0o600, nil, slog.LevelInfo, 0}},
		"warn":        {"[log]\nlevel = \"warn\"", want{0o600, nil, slog.LevelWarn, 24 * time.Hour}},
		"error":       {"[log]\nlevel = \"error\"", want{0o600, nil, slog.LevelError, 24 * time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := parseConfig([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			var got want
			var errs [3]error
			got.mode, errs[0] = config.SocketMode()
			got.level, errs[1] = config.LogLevel()
			got.tickets, errs[2] = config.TicketLife()
			got.uids = config.Socket.AllowedUIDs
			if errs != [3]error{} {
				t.Fatal(errs)
			}
			if got.mode != c.want.mode || got.level != c.want.level || got.tickets != c.want.tickets ||
				!slices.Equal(got.uids, c.want.uids) || (got.uids == nil) != (c.want.uids == nil) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// A bad configuration is refused with the place and what is wrong.
func TestBadConfig(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		says []string
	}{
		"an unknown key":         {"[log]\nlevel = \"info\"\nfile = \"x\"\n", []string{"line 3", `"log.file"`}},
		"an unknown table":       {"\n[logs]\nlevel = \"info\"\n", []string{"line 2", "unknown key", "logs"}},
		"a number for a mode":    {"[socket]\nmode = 600\n", []string{"line 2"}},
		"text for numbers":       {"[socket]\nallowed_uids = \"root\"\n", []string{"line 2"}},
		"a uid below zero":       {"[socket]\nallowed_uids = [-1]\n", []string{"line 2"}},
		"a uid that is too big":  {"[socket]\nallowed_uids = [4294967296]\n", []string{"line 2"}},
		"a mode that is none":    {"[socket]\nmode = \"rw-------\"\n", []string{"socket.mode", `"rw-------"`, "0660"}},
		"a mode with 8":          {"[socket]\nmode = \"0680\"\n", []string{"socket.mode", `"0680"`}},
		"a mode with more bits":  {"[socket]\nmode = \"1777\"\n", []string{"socket.mode", `"1777"`}},
		"an unknown level":       {"[log]\nlevel = \"loud\"\n", []string{"log.level", `"loud"`, "debug, info, warn or error"}},
		"a lifetime of no unit":  {"[login]\nticket_lifetime = \"24\"\n", []string{"login.ticket_lifetime", `"24"`, "24h"}},
		"a lifetime below zero":  {"[login]\nticket_lifetime = \"-1h\"\n", []string{"login.ticket_lifetime", `"-1h"`}},
		"metrics for the world":  {"[metrics]\nlisten = \"0.0.0.0:9464\"\n", []string{"metrics.listen", `"0.0.0.0:9464"`, "127.0.0.1:9464"}},
		"metrics of a name":      {"[metrics]\nlisten = \"localhost:9464\"\n", []string{"metrics.listen"}},
		"metrics without port":   {"[metrics]\nlisten = \"127.0.0.1\"\n", []string{"metrics.listen"}},
		"no TOML":                {"[socket\nmode", []string{"line 1"}},
		"an admin mode":          {"[admin]\nmode = \"0999\"\n", []string{"admin.mode", `"0999"`}},
		"a limit below zero":     {"[limits]\nconnections = -1\n", []string{"limits.connections", "-1", "65536"}},
		"a limit too large":      {"[limits]\nconnections_per_user = 65537\n", []string{"limits.connections_per_user", "65537"}},
		"an idle time":           {"[server]\nidle_exit = \"ten\"\n", []string{"server.idle_exit", `"ten"`}},
		"an unknown format":      {"[log]\nformat = \"xml\"\n", []string{"log.format", `"xml"`, "text or json"}},
		"several":                {"[log]\nfile = 1\nlevel = \"x\"\n[socket]\nmode = \"9\"\n", []string{"log.file", "log.level", "socket.mode"}},
		"a key twice":            {"[log]\nlevel = \"info\"\nlevel = \"warn\"\n", []string{"line 3"}},
		"a zero byte in a value": {"[log]\nlevel = \"in\x00fo\"\n", []string{"line 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := mustMake(t)
			if err := os.WriteFile(h.Config(), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := h.ReadConfig()
			says(t, err, append(c.says, h.Config())...)
		})
	}
	t.Run("too large", func(t *testing.T) {
		h := mustMake(t)
		if err := os.WriteFile(h.Config(), []byte(strings.Repeat("#\n", maxConfig/2+1)), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := h.ReadConfig()
		says(t, err, h.Config(), "65538 bytes")
	})
	t.Run("gone", func(t *testing.T) {
		h := mustMake(t)
		os.Remove(h.Config())
		_, err := h.ReadConfig()
		says(t, err, h.Config())
	})
}

// Each fault is an error of its own.
func TestCheckConfig(t *testing.T) {
	if faults := CheckConfig([]byte(DefaultConfig)); len(faults) != 0 {
		t.Errorf("a new HSM: %v", faults)
	}
	faults := CheckConfig([]byte("[log]\nfile = 1\nlevel = \"x\"\nformat = \"y\"\n[sockets]\nmode = \"9\"\n"))
	want := []string{`line 2: unknown key "log.file"`, `line 5: unknown key "sockets"`, "log.level", "log.format"}
	if len(faults) != len(want) {
		t.Fatalf("%d faults, not %d: %v", len(faults), len(want), faults)
	}
	for i, part := range want {
		says(t, faults[i], part)
	}
	if faults := CheckConfig(make([]byte, maxConfig+1)); len(faults) != 1 {
		t.Errorf("too large: %v", faults)
	}
}

func TestProductionSettings(t *testing.T) {
	c, err := parseConfig([]byte(`
[admin]
mode = "0660"
allowed_uids = [7]
[limits]
connections = 100
connections_per_user = 10
[server]
idle_exit = "10m"
[log]
format = "json"
`))
	if err != nil {
		t.Fatal(err)
	}
	mode, _ := c.AdminMode()
	idle, _ := c.IdleExit()
	inJSON, _ := c.LogJSON()
	if mode != 0o660 || !slices.Equal(c.Admin.AllowedUIDs, []uint32{7}) || c.Limits.Connections != 100 || c.Limits.ConnectionsPerUser != 10 ||
		idle != 10*time.Minute || !inJSON {
		t.Errorf("%+v", c)
	}
}

// Whatever is in the file, reading it ends with a configuration whose settings are
// good, or with an error.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(DefaultConfig))
	f.Add([]byte("[socket]\nmode = \"0666\"\nallowed_uids = [1000]\n"))
	f.Add([]byte("socket.mode = '777'\nlog = {level = 'warn'}"))
	f.Add([]byte("[login]\nticket_lifetime = \"1h\"\n[witness]\nfile = \"\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseConfig(text)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		mode, err := c.SocketMode()
		if err != nil || mode&^0o777 != 0 {
			t.Errorf("socket.mode: %v, %v", mode, err)
		}
		if _, err := c.LogLevel(); err != nil {
			t.Error(err)
		}
		if d, err := c.TicketLife(); err != nil || d < 0 {
			t.Errorf("login.ticket_lifetime: %v, %v", d, err)
		}
	})
}
