package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tidelock.dev/tidelock/test/token"
)

// limit is how long a test waits for a program to reach a state.
const limit = 20 * time.Second

// need fails the test when a program is not installed.
func need(t *testing.T, program, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		// Debian keeps daemons where an unprivileged user's PATH does not lead.
		path, err = exec.LookPath(filepath.Join("/usr/sbin", program))
	}
	if err != nil {
		t.Fatalf("%s is not installed: Debian's package %s has it (scripts/deps.sh installs all that the tests need)", program, debianPackage)
	}
	return path
}

// needEngine fails the test when OpenSSL's PKCS#11 engine is not installed.
func needEngine(t *testing.T) {
	t.Helper()
	if err := exec.Command("openssl", "engine", "pkcs11").Run(); err != nil {
		t.Fatal("OpenSSL has no engine pkcs11: Debian's package libengine-pkcs11-openssl has it (scripts/deps.sh installs all that the tests need)")
	}
}

// modulePath is the PKCS#11 library under test.
func modulePath(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("TIDELOCK_TEST_MODULE"); path != "" {
		return path
	}
	root, err := token.Root()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "bin", "libtidelock.so")
}

// newToken makes a token that ends with the test.
func newToken(t *testing.T) *token.Token {
	t.Helper()
	tok, err := token.New(modulePath(t), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tok.Close(); err != nil {
			t.Error(err)
		}
	})
	return tok
}

// compileC makes a program of C sources. CC and CPPFLAGS are honoured.
func compileC(t *testing.T, program string, sources ...string) {
	t.Helper()
	root, err := token.Root()
	if err != nil {
		t.Fatal(err)
	}
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	args := []string{"-std=c11", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-I" + filepath.Join(root, "clib", "include")}
	args = append(args, strings.Fields(os.Getenv("CPPFLAGS"))...)
	args = append(append(args, "-o", program), sources...)
	if out, err := exec.Command(need(t, cc, "gcc"), append(args, "-pthread", "-ldl")...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// writeOpenSSLConf writes an OpenSSL configuration into dir that leads the
// pkcs11 engine to module.
func writeOpenSSLConf(dir, module string) (string, error) {
	path := filepath.Join(dir, "openssl.cnf")
	text := fmt.Sprintf(`openssl_conf = openssl
[openssl]
engines = engines
[engines]
pkcs11 = pkcs11
[pkcs11]
engine_id = pkcs11
MODULE_PATH = %s
init = 1
[req]
distinguished_name = name
[name]
`, module)
	return path, os.WriteFile(path, []byte(text), 0o644)
}

// eventually waits until ready says true, and tells the last error when the
// limit passes first.
func eventually(ready func() (bool, error)) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		ok, err := ready()
		if ok {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("still not after %v: %w", limit, err)
		}
	}
}

// awaitLine waits for a match of pattern in a growing file, and returns its
// first group.
func awaitLine(file, pattern string) (group string, err error) {
	re, err := regexp.Compile("(?m)" + pattern)
	if err != nil {
		return "", err
	}
	err = eventually(func() (bool, error) {
		text, err := os.ReadFile(file)
		if err != nil {
			return false, err
		}
		match := re.FindSubmatch(text)
		if len(match) < 2 {
			return false, fmt.Errorf("no match of %s in:\n%s", pattern, text)
		}
		group = string(match[1])
		return true, nil
	})
	return group, err
}
