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
	"fmt"
	"testing"

	"github.com/miekg/pkcs11"

	"tidelock.dev/tidelock/test/token"
)

// hsm is the token of all tests.
var hsm *device

func TestMain(m *testing.M) {
	token.Main(func(module string) (code int, err error) {
		if hsm, err = open(module); err != nil {
			return 1, err
		}
		defer hsm.close()
		return m.Run(), nil
	})
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
