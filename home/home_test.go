package home

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidelock.dev/tidelock/keystore/boltstore"
	"tidelock.dev/tidelock/seal"
)

var discard = slog.New(slog.DiscardHandler)

// demo is a good HSM whose PINs cost nothing.
var demo = Quickstart{Label: "demo", SOPIN: "12345678", PIN: "87654321", Test: true}

func mustMake(t *testing.T) Home {
	t.Helper()
	h, err := demo.Make(filepath.Join(t.TempDir(), "hsm"))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// open opens the HSM of a home with its own configuration.
func open(h Home) (*Opened, error) {
	c, err := h.ReadConfig()
	if err != nil {
		return nil, err
	}
	return h.Open(c, Options{Log: discard})
}

// says checks that an error is there and names what a reader needs.
func says(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error %q does not say %q", err, part)
		}
	}
}

func TestQuickstart(t *testing.T) {
	h := mustMake(t)
	if !h.IsDevelopment() {
		t.Error("it is no development HSM")
	}
	for path, size := range map[string]int64{h.RootKey(): seal.KeyFileSize, h.Config(): int64(len(DefaultConfig)), h.Store(): 0, h.Development(): 0} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if size != 0 && info.Size() != size {
			t.Errorf("%s has %d bytes, want %d", path, info.Size(), size)
		}
	}
	for _, dir := range []string{h.Dir, h.Run(), h.LogDir()} {
		if info, err := os.Stat(dir); err != nil || info.Mode() != 0o700|fs.ModeDir {
			t.Errorf("%s has mode %v: %v", dir, info.Mode(), err)
		}
	}
	opened, err := open(h)
	if err != nil {
		t.Fatal(err)
	}
	if err := opened.Close(); err != nil {
		t.Error(err)
	}
	other := mustMake(t)
	a, _ := os.ReadFile(h.RootKey())
	b, _ := os.ReadFile(other.RootKey())
	if bytes.Equal(a, b) {
		t.Error("two HSMs have the same root key")
	}
}

// A quickstart that fails leaves nothing behind and can be tried again.
func TestQuickstartCleansUp(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Quickstart)
		says   string
	}{
		"no label":            {func(q *Quickstart) { q.Label = "" }, "label"},
		"a long label":        {func(q *Quickstart) { q.Label = strings.Repeat("x", 33) }, "label"},
		"a label with a mark": {func(q *Quickstart) { q.Label = "what?" }, "label"},
		"a label of no text":  {func(q *Quickstart) { q.Label = "\xff" }, "UTF-8"},
		"a short SO PIN":      {func(q *Quickstart) { q.SOPIN = "abc" }, "HSM SO"},
		"a short PIN":         {func(q *Quickstart) { q.PIN = "abc" }, "Crypto Officer"},
		"a long PIN":          {func(q *Quickstart) { q.PIN = strings.Repeat("9", 256) }, "Crypto Officer"},
		"a PIN with a tab":    {func(q *Quickstart) { q.PIN = "1234\t5678" }, "Crypto Officer"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "hsm")
			q := demo
			c.change(&q)
			_, err := q.Make(dir)
			says(t, err, c.says)
			for _, pin := range []string{q.SOPIN, q.PIN} {
				if len(pin) > 0 && strings.Contains(err.Error(), pin) {
					t.Error("the error tells a PIN")
				}
			}
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the directory is still there: %v", err)
			}
			if _, err := demo.Make(dir); err != nil {
				t.Errorf("the next attempt: %v", err)
			}
		})
	}
	t.Run("a directory that was there", func(t *testing.T) {
		dir := t.TempDir()
		q := demo
		q.PIN = "abc"
		_, err := q.Make(dir)
		says(t, err, "Crypto Officer")
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 0 {
			t.Errorf("it holds %v: %v", entries, err)
		}
	})
}

// Nothing that is there is overwritten.
func TestMakeRefusesWhatIsThere(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"a file in it": func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "root.key"), []byte("precious"), 0o600))
		},
		"a hidden file in it": func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, ".keep"), nil, 0o600))
		},
		"a directory in it": func(dir string) error { return os.MkdirAll(filepath.Join(dir, "run"), 0o700) },
		"a file":            func(path string) error { return os.WriteFile(path, []byte("precious"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "hsm")
			if err := make(dir); err != nil {
				t.Fatal(err)
			}
			before := listing(t, dir)
			_, err := demo.Make(dir)
			says(t, err, dir)
			if after := listing(t, dir); after != before {
				t.Errorf("there was\n%s\nand there is\n%s", before, after)
			}
		})
	}
}

// listing is every file below a path with its content.
func listing(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			b.WriteString(path + "\n")
			return err
		}
		content, err := os.ReadFile(path)
		b.WriteString(path + ": " + string(content) + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFind(t *testing.T) {
	h := mustMake(t)
	t.Setenv(Env, "")
	_, err := Find("")
	says(t, err, "--home", Env)
	if got, err := Find(h.Dir); err != nil || got != h {
		t.Errorf("by its name: %v, %v", got, err)
	}
	t.Setenv(Env, h.Dir)
	if got, err := Find(""); err != nil || got != h {
		t.Errorf("by the environment: %v, %v", got, err)
	}
	empty := t.TempDir()
	_, err = Find(empty)
	says(t, err, empty, "holds no HSM", "quickstart")
	t.Chdir(filepath.Dir(h.Dir))
	if got, err := Find("hsm"); err != nil || got != h {
		t.Errorf("by a relative name: %v, %v", got, err)
	}
}

func TestRootKey(t *testing.T) {
	key := func(h Home) []byte {
		b, err := os.ReadFile(h.RootKey())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	write := func(h Home, b []byte, mode os.FileMode) {
		if err := errors.Join(os.WriteFile(h.RootKey(), b, 0o600), os.Chmod(h.RootKey(), mode)); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		spoil func(h Home)
		says  []string
	}{
		"readable by a group": {func(h Home) { write(h, key(h), 0o640) }, []string{"root.key", "read by others", "0640", "chmod 600"}},
		"readable by all":     {func(h Home) { write(h, key(h), 0o604) }, []string{"root.key", "read by others", "0604"}},
		"too short":           {func(h Home) { write(h, key(h)[:31], 0o600) }, []string{"root.key", "31 bytes", "32"}},
		"too long":            {func(h Home) { write(h, append(key(h), '\n'), 0o600) }, []string{"root.key", "33 bytes", "32"}},
		"gone":                {func(h Home) { os.Remove(h.RootKey()) }, []string{"root.key", "no such file"}},
		"another HSM's": {func(h Home) { write(h, bytes.Repeat([]byte{7}, seal.KeyFileSize), 0o600) },
			[]string{"root.key", "does not open", "store.db", "another HSM"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := mustMake(t)
			before := key(h)
			c.spoil(h)
			_, err := open(h)
			says(t, err, c.says...)
			write(h, before, 0o600)
			opened, err := open(h)
			if err != nil {
				t.Fatalf("with its own key again: %v", err)
			}
			opened.Close()
		})
	}
	t.Run("only its owner's", func(t *testing.T) {
		h := mustMake(t)
		write(h, key(h), 0o400)
		opened, err := open(h)
		if err != nil {
			t.Fatal(err)
		}
		opened.Close()
	})
}

// Two servers never share a store.
func TestSecondServer(t *testing.T) {
	h := mustMake(t)
	first, err := open(h)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	_, err = open(h)
	if !errors.Is(err, boltstore.ErrInUse) {
		t.Errorf("%v", err)
	}
	says(t, err, h.Store())
}

func TestDamagedStore(t *testing.T) {
	h := mustMake(t)
	if err := os.Truncate(h.Store(), 0); err != nil {
		t.Fatal(err)
	}
	_, err := open(h)
	says(t, err, h.Store())
}

// The witness notices that an old copy of the store was put back, and steps aside
// when that is meant.
func TestWitness(t *testing.T) {
	reopen := func(h Home, accept bool) error {
		t.Helper()
		c, err := h.ReadConfig()
		if err != nil {
			t.Fatal(err)
		}
		opened, err := h.Open(c, Options{AcceptRollback: accept, Log: discard})
		if err != nil {
			return err
		}
		return opened.Close()
	}
	h := mustMake(t)
	if err := reopen(h, false); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(h.Store())
	if err != nil {
		t.Fatal(err)
	}
	if err := reopen(h, false); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.Store(), old, 0o600); err != nil {
		t.Fatal(err)
	}
	says(t, reopen(h, false), h.Dir, "older than its witness", "--accept-rollback")
	if err := reopen(h, true); err != nil {
		t.Fatalf("an accepted rollback: %v", err)
	}
	if err := reopen(h, false); err != nil {
		t.Errorf("after an accepted rollback: %v", err)
	}

	t.Run("a damaged one", func(t *testing.T) {
		h := mustMake(t)
		if err := reopen(h, false); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(h.Witness(), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		says(t, reopen(h, false), "witness")
	})
	t.Run("none", func(t *testing.T) {
		h := mustMake(t)
		if err := os.WriteFile(h.Config(), []byte("[witness]\nfile = \"\"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := reopen(h, false); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(h.Witness()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a witness that was turned off: %v", err)
		}
	})
	t.Run("another home in its place", func(t *testing.T) {
		// As somebody puts a backup there who has forgotten the server.
		h := mustMake(t)
		if err := reopen(h, false); err != nil {
			t.Fatal(err)
		}
		aside := h.Dir + ".aside"
		if err := os.CopyFS(aside, os.DirFS(h.Dir)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(Home{Dir: aside}.RootKey(), 0o600); err != nil {
			t.Fatal(err)
		}
		forgotten, err := open(h)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Rename(h.Dir, h.Dir+".old"), os.Rename(aside, h.Dir)); err != nil {
			t.Fatal(err)
		}
		if err := forgotten.Close(); err != nil {
			t.Errorf("the server of the old home: %v", err)
		}
		if err := reopen(h, false); err != nil {
			t.Errorf("it took the witness of the old home: %v", err)
		}
		if err := reopen(Home{Dir: h.Dir + ".old"}, false); err != nil {
			t.Errorf("the old home: %v", err)
		}
	})
	t.Run("elsewhere", func(t *testing.T) {
		h := mustMake(t)
		path := filepath.Join(t.TempDir(), "seen")
		if err := os.WriteFile(h.Config(), []byte("[witness]\nfile = '"+path+"'\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := reopen(h, false); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	})
}
