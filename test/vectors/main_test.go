// Package vectors runs published test vectors through the PKCS#11 library: Wycheproof's,
// NIST's and those of RFCs. What a vector says has to come out of the C functions of
// libtidelock.so, with keys that are session objects of one token.
//
// A vector that is good is accepted, one that is bad refused, and by a code that says so.
// What a token does not do on purpose is listed with its reason (type exception) and is
// tried too: it must be refused by that code, and a reason that no vector needs any more
// is an error. Nothing is skipped.
//
// The vectors lie in testdata, whose README says where they are from. They are run with
//
//	go test ./test/vectors
//
// and -v tells what was counted. TIDELOCK_TEST_MODULE names another libtidelock.so.
//
// It may import test/token and test libraries, and none of Tidelock's packages.
package vectors

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"tidelock.dev/tidelock/test/token"
)

// hsm is the token of all tests.
var hsm *device

// parallel is how many files are run at once: each spends its time waiting for the server.
const parallel = "8"

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err)
	}
	code, err := withDevice(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// withDevice runs the tests with a fresh token, which is gone when it returns.
func withDevice(run func() int) (code int, err error) {
	dir, err := os.MkdirTemp("", "tidelock-vectors")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	path, err := modulePath()
	if err != nil {
		return 1, err
	}
	tok, err := token.New(path, dir, nil)
	if err != nil {
		return 1, err
	}
	defer func() {
		if stopped := tok.Close(); err == nil {
			err = stopped
		}
	}()
	for _, variable := range tok.Env {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			return 1, err
		}
	}
	if hsm, err = open(path); err != nil {
		return 1, err
	}
	defer hsm.close()
	return run(), nil
}

// modulePath is the PKCS#11 library under test.
func modulePath() (string, error) {
	if path := os.Getenv("TIDELOCK_TEST_MODULE"); path != "" {
		return path, nil
	}
	root, err := token.Root()
	return filepath.Join(root, "bin", "libtidelock.so"), err
}

// device is the module, loaded into the test's own process, with the user logged in.
type device struct {
	*pkcs11.Ctx
	slot uint
	// login is the session that holds the login until the end.
	login pkcs11.SessionHandle
}

func open(module string) (*device, error) {
	d := &device{Ctx: pkcs11.New(module)}
	if d.Ctx == nil {
		return nil, fmt.Errorf("%s cannot be loaded", module)
	}
	if err := d.Initialize(); err != nil {
		return nil, err
	}
	slots, err := d.GetSlotList(true)
	if err != nil {
		return nil, err
	}
	for _, slot := range slots {
		if info, err := d.GetTokenInfo(slot); err != nil {
			return nil, err
		} else if info.Label == token.Label {
			d.slot = slot
		}
	}
	if d.login, err = d.OpenSession(d.slot, pkcs11.CKF_SERIAL_SESSION); err != nil {
		return nil, err
	}
	return d, d.Login(d.login, pkcs11.CKU_USER, token.PIN)
}

func (d *device) close() {
	d.Finalize()
	d.Destroy()
}
