// Package packaging_test checks the units and the Debian package.
package packaging_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// output runs a command that must succeed.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, &out, &stderr)
	}
	return out.String()
}

func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
}

// units copies the units to where systemd-analyze finds them, with a program that is there.
func units(t *testing.T) []string {
	t.Helper()
	var paths []string
	dir := t.TempDir()
	for _, name := range []string{"tidelock.service", "tidelock.socket", "tidelock-admin.socket"} {
		text, err := os.ReadFile(filepath.Join("systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.ReplaceAll(text, []byte("/usr/bin/tidelock "), []byte("/bin/true "))
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

func TestUnits(t *testing.T) {
	need(t, "systemd-analyze")
	cmd := exec.CommandContext(t.Context(), "systemd-analyze", append([]string{"verify", "--man=no"}, units(t)...)...)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) != 0 {
		t.Errorf("%v: %s", err, out)
	}
}

// docs/running.md states the level.
func TestConfinement(t *testing.T) {
	need(t, "systemd-analyze")
	cmd := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--threshold=10", units(t)[0])
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the service is less confined than it was: %s", out)
	}
}

// copyBuilt copies what `make build` made, so that a build meanwhile does no harm.
func copyBuilt(t *testing.T) (bin string) {
	t.Helper()
	need(t, "dpkg-deb", "gcc", "strip", "xz")
	bin = t.TempDir()
	for _, name := range []string{"tidelock", "tidelock-p11", "libtidelock.so"} {
		b, err := os.ReadFile(filepath.Join("..", "bin", name))
		if errors.Is(err, fs.ErrNotExist) {
			t.Skip("bin/ is not built: make build")
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(bin, name), b, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// build makes the package of what was built.
func build(t *testing.T, bin string) string {
	t.Helper()
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	return strings.TrimSpace(output(t, "debian/build.sh", bin, t.TempDir()))
}

func TestDebianPackage(t *testing.T) {
	bin := copyBuilt(t)
	deb := build(t, bin)

	t.Run("control", func(t *testing.T) {
		control := output(t, "dpkg-deb", "--field", deb)
		if regexp.MustCompile(`@[A-Z]+@`).MatchString(control) {
			t.Errorf("a placeholder is left: %s", control)
		}
		for _, field := range []string{"Package", "Version", "Architecture", "Maintainer", "Depends", "Section", "Priority", "Description", "Installed-Size"} {
			if !regexp.MustCompile(`(?m)^` + field + `: \S`).MatchString(control) {
				t.Errorf("no %s: %s", field, control)
			}
		}
	})
	t.Run("contents", func(t *testing.T) {
		contents := output(t, "dpkg-deb", "--contents", deb)
		for _, file := range []string{
			"./usr/bin/tidelock", "./usr/libexec/tidelock/tidelock-p11", "/libtidelock.so", "/libCryptoki2_64.so -> libtidelock.so", "./usr/share/p11-kit/modules/tidelock.module",
			"./lib/systemd/system/tidelock.service", "./lib/systemd/system/tidelock.socket", "./lib/systemd/system/tidelock-admin.socket",
			"./usr/lib/sysusers.d/tidelock.conf", "./usr/lib/tmpfiles.d/tidelock.conf", "./usr/share/bash-completion/completions/tidelock",
			"./usr/share/man/man1/tidelock.1.gz", "./usr/share/man/man1/tidelock-serve.1.gz",
			"./usr/share/doc/tidelock/copyright", "./usr/share/doc/tidelock/changelog.gz", "./usr/share/doc/tidelock/running.md",
		} {
			if !strings.Contains(contents, file+"\n") {
				t.Errorf("no %s", file)
			}
		}
		for line := range strings.Lines(contents) {
			mode, rest, _ := strings.Cut(line, " ")
			if !strings.HasPrefix(rest, "root/root ") {
				t.Errorf("not root's: %s", line)
			}
			if mode[0] != 'l' && (mode[8] == 'w' || mode[5] == 'w') {
				t.Errorf("others can write: %s", line)
			}
		}
	})
	t.Run("scripts", func(t *testing.T) {
		for _, script := range []string{"postinst", "prerm", "postrm"} {
			output(t, "sh", "-n", filepath.Join("debian", script))
			text, err := os.ReadFile(filepath.Join("debian", script))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(text, []byte("#!/bin/sh\nset -e\n")) {
				t.Errorf("%s does not stop at a fault", script)
			}
			if regexp.MustCompile(`systemctl (enable|start)|rm -r`).Match(text) {
				t.Errorf("%s starts an HSM, or removes keys", script)
			}
		}
	})
	t.Run("the same bytes again", func(t *testing.T) {
		first, err := os.ReadFile(deb)
		if err != nil {
			t.Fatal(err)
		}
		again, err := os.ReadFile(build(t, bin))
		if err != nil || !bytes.Equal(first, again) {
			t.Errorf("two packages of the same files differ: %v", err)
		}
	})
	t.Run("the installed program", func(t *testing.T) {
		dir := t.TempDir()
		output(t, "dpkg-deb", "--extract", deb, dir)
		var version struct{ Version string }
		if err := json.Unmarshal([]byte(output(t, filepath.Join(dir, "usr/bin/tidelock"), "version", "-o", "json")), &version); err != nil {
			t.Fatal(err)
		}
		if want := strings.TrimSpace(output(t, "dpkg-deb", "--field", deb, "Version")); version.Version != want {
			t.Errorf("the program is %s, the package %s", version.Version, want)
		}
		hsm := filepath.Join(dir, "hsm")
		program := filepath.Join(dir, "usr/bin/tidelock")
		output(t, program, "quickstart", "--home", hsm, "--label", "demo", "--so-pin", "12345678", "--pin", "87654321", "--kdf", "test")
		if out := output(t, program, "hsm", "show", "--home", hsm); !strings.Contains(out, "operational") {
			t.Errorf("%s", out)
		}
		output(t, program, "stop", "--home", hsm)
	})
}
