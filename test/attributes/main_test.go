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
	"fmt"
	"testing"

	"github.com/miekg/pkcs11"

	"tidelock.dev/tidelock/test/token"
)

// hsm is the module, with the user logged in to slot.
var (
	hsm  *pkcs11.Ctx
	slot uint
)

func TestMain(m *testing.M) {
	token.Main(func(module string) (int, error) {
		if hsm = pkcs11.New(module); hsm == nil {
			return 1, fmt.Errorf("%s cannot be loaded", module)
		}
		defer hsm.Destroy()
		if err := login(); err != nil {
			return 1, err
		}
		defer hsm.Finalize()
		return m.Run(), nil
	})
}

// login leaves the user logged in, by a session that stays open.
func login() error {
	if err := hsm.Initialize(); err != nil {
		return err
	}
	slots, err := hsm.GetSlotList(true)
	if err != nil {
		return err
	}
	slot = slots[0]
	session, err := hsm.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		return err
	}
	return hsm.Login(session, pkcs11.CKU_USER, token.PIN)
}
