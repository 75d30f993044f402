// Package attributes compares objects with the attribute tables of PKCS#11, through the
// PKCS#11 library: for every kind of object and every attribute what it is where nobody
// says, whether each way of making an object takes it, whether it changes, whether it is
// read, and the code where not.
//
// The table (table_test.go) is the standard's, with its footnotes as data; the cells are
// made of it. Where the product answers otherwise on purpose there is an exception with its
// reason, and an exception that no cell needs is an error.
//
//	go test ./test/attributes
//
// and -v tells how many cells there were. TIDELOCK_TEST_MODULE names another libtidelock.so.
//
// It may import test/token and test libraries, and none of Tidelock's packages.
package attributes

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

// hsm is the module, with the user logged in to slot.
var (
	hsm  *pkcs11.Ctx
	slot uint
)

// parallel is how many subjects are looked at at once: each spends its time waiting.
const parallel = "8"

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err)
	}
	code, err := withToken(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// withToken runs the tests with a fresh token, which is gone when it returns.
func withToken(run func() int) (code int, err error) {
	dir, err := os.MkdirTemp("", "tidelock-attributes")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	module := os.Getenv("TIDELOCK_TEST_MODULE")
	if module == "" {
		root, err := token.Root()
		if err != nil {
			return 1, err
		}
		module = filepath.Join(root, "bin", "libtidelock.so")
	}
	tok, err := token.New(module, dir, nil)
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
	if hsm = pkcs11.New(module); hsm == nil {
		return 1, fmt.Errorf("%s cannot be loaded", module)
	}
	if err := hsm.Initialize(); err != nil {
		return 1, err
	}
	defer hsm.Destroy()
	defer hsm.Finalize()
	slots, err := hsm.GetSlotList(true)
	if err != nil {
		return 1, err
	}
	slot = slots[0]
	session, err := hsm.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		return 1, err
	}
	if err := hsm.Login(session, pkcs11.CKU_USER, token.PIN); err != nil {
		return 1, err
	}
	return run(), nil
}
