// Package interop proves that programs which know nothing of Tidelock work with
// it: OpenSC's pkcs11-tool, OpenSSL, NGINX, Apache, Java's TLS, signers of zones, files and
// programs, Go's miekg/pkcs11 and crypto11, and C programs that fork. Nothing here is skipped for want
// of a program: Debian's packages that hold them are named in scripts/deps.sh.
//
// TIDELOCK_TEST_MODULE names another PKCS#11 library to try, by which a failure
// of Tidelock's and a peculiarity of the program are told apart:
//
//	TIDELOCK_TEST_MODULE=/usr/lib/softhsm/libsofthsm2.so go test ./test/interop
//
// It may import test/token and test libraries, and none of Tidelock's packages.
package interop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tidelock.dev/tidelock/test/token"
)

func TestPKCS11Tool(t *testing.T) {
	need(t, "pkcs11-tool", "opensc")
	need(t, "openssl", "openssl")
	needEngine(t)
	runScripts(t, "testdata/pkcs11-tool")
}

func TestOpenSSL(t *testing.T) {
	need(t, "pkcs11-tool", "opensc")
	need(t, "openssl", "openssl")
	needEngine(t)
	runScripts(t, "testdata/openssl")
}

// runScripts runs the scripts of dir, each with a token of its own. Beyond
// testscript's commands they have
//
//	module ARG...   pkcs11-tool with the module
//	public ARG...   ... with the token, nobody logged in
//	user ARG...     ... with the token and the user logged in
//	await FILE REGEXP NAME
//	                waits until a line of FILE matches, and sets the variable NAME
//	                to the first group
//
// the condition [tidelock], which is false where TIDELOCK_TEST_MODULE leads to
// another module, and OPENSSL_CONF for a configuration with the engine.
func runScripts(t *testing.T, dir string) {
	module := modulePath(t)
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, ".token")
			if err := os.Mkdir(home, 0o700); err != nil {
				return err
			}
			tok, err := token.New(module, home, nil)
			if err != nil {
				return err
			}
			env.Defer(func() {
				if err := tok.Close(); err != nil {
					env.T().Fatal(err)
				}
			})
			conf, err := writeOpenSSLConf(home, tok.Module)
			if err != nil {
				return err
			}
			env.Vars = append(env.Vars, tok.Env...)
			env.Vars = append(env.Vars, "MODULE="+tok.Module, "TOKEN="+token.Label, "PIN="+token.PIN,
				"SOPIN="+token.SOPIN, "OPENSSL_CONF="+conf)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"module": pkcs11Tool("--module", module),
			"public": pkcs11Tool("--module", module, "--token-label", token.Label),
			"user":   pkcs11Tool("--module", module, "--token-label", token.Label, "--login", "--pin", token.PIN),
			"await":  await,
		},
		Condition: func(name string) (bool, error) {
			return name == "tidelock" && strings.HasPrefix(filepath.Base(module), "libtidelock"), nil
		},
	})
}

func pkcs11Tool(fixed ...string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		err := ts.Exec("pkcs11-tool", append(fixed[:len(fixed):len(fixed)], args...)...)
		if neg && err == nil {
			ts.Fatalf("pkcs11-tool succeeded unexpectedly")
		}
		if !neg {
			ts.Check(err)
		}
	}
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: await FILE REGEXP NAME")
	}
	group, err := awaitLine(ts.MkAbs(args[0]), args[1])
	ts.Check(err)
	ts.Setenv(args[2], group)
}
