// Package token makes a fresh token of a PKCS#11 module for tests and
// benchmarks: its files lie in a directory of the caller's, and its environment
// variables lead programs to it. It knows Tidelock and, to compare with, SoftHSM.
//
// It may import nothing but the standard library: a test that drives programs
// from outside must not depend on the code that it tests.
package token

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Credentials of the tokens that this package makes. They are long enough for
// every policy of Tidelock and need no escaping in a PKCS#11 URI.
const (
	Label = "interop"
	PIN   = "user-pin-2718"
	SOPIN = "officer-pin-3141"
)

// Token is an initialised token with a user PIN.
type Token struct {
	// Module is the absolute path of the PKCS#11 library.
	Module string
	// Env holds the variables (NAME=value) that lead Module to this token.
	Env []string

	user *syscall.Credential
	stop *exec.Cmd
}

// New makes a token of module in dir, an existing directory that the token's
// files fill and that the caller removes after Close. With a user, the token and
// its server belong to that user, who must be able to read dir.
func New(module, dir string, user *syscall.Credential) (*Token, error) {
	module, err := filepath.Abs(module)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(module); err != nil {
		return nil, fmt.Errorf("%w (\"make build\" makes Tidelock's; package softhsm2 holds SoftHSM's)", err)
	}
	t := &Token{Module: module, user: user}
	switch name := filepath.Base(module); {
	case strings.HasPrefix(name, "libtidelock"):
		return t, t.initTidelock(dir)
	case strings.HasPrefix(name, "libsofthsm2"):
		return t, t.initSoftHSM(dir)
	}
	return nil, fmt.Errorf("%s: neither libtidelock.so nor libsofthsm2.so, so how to make a token is not known", module)
}

// Tidelock tells whether the token is one of Tidelock's.
func (t *Token) Tidelock() bool { return t.stop != nil }

// Close stops the token's server, if it has one.
func (t *Token) Close() error {
	if t.stop == nil {
		return nil
	}
	return run(t.stop)
}

// Command is exec.Command with the token's environment and user.
func (t *Token) Command(name string, arg ...string) *exec.Cmd {
	c := exec.Command(name, arg...)
	c.Env = append(os.Environ(), t.Env...)
	if t.user != nil {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: t.user}
	}
	return c
}

func (t *Token) initTidelock(dir string) error {
	program := filepath.Join(filepath.Dir(t.Module), "tidelock")
	t.Env = []string{"TIDELOCK_HOME=" + dir}
	t.stop = t.Command(program, "stop", "--home", dir)
	return run(t.Command(program, "quickstart", "--home", dir, "--label", Label, "--so-pin", SOPIN, "--pin", PIN))
}

func (t *Token) initSoftHSM(dir string) error {
	objects, conf := filepath.Join(dir, "tokens"), filepath.Join(dir, "softhsm2.conf")
	if err := os.Mkdir(objects, 0o755); err != nil {
		return err
	}
	if t.user != nil {
		if err := os.Chown(objects, int(t.user.Uid), int(t.user.Gid)); err != nil {
			return err
		}
	}
	// Without reset_on_fork a child goes on with its parent's state, which the
	// standard forbids (PKCS#11 3.2, 5.1.4) and the fork test would show.
	text := "directories.tokendir = " + objects + "\nlog.level = ERROR\nlibrary.reset_on_fork = true\n"
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return err
	}
	t.Env = []string{"SOFTHSM2_CONF=" + conf}
	return run(t.Command("softhsm2-util", "--module", t.Module, "--init-token", "--free",
		"--label", Label, "--so-pin", SOPIN, "--pin", PIN))
}

// SoftHSM finds the library of Debian's package softhsm2.
func SoftHSM() (string, error) {
	for _, pattern := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/*/softhsm/libsofthsm2.so"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[0], nil
		}
	}
	return "", errors.New("libsofthsm2.so is not installed: Debian's package softhsm2 has it")
}

// Root finds the directory of the module that the working directory lies in.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = parent
	}
}

func run(c *exec.Cmd) error {
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(c.Path), err, out)
	}
	return nil
}
