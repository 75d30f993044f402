// Package luna calls Luna's own functions of a PKCS#11 library, by their symbols, as
// programs that were written for Luna do.
package luna

/*
#cgo CFLAGS: -I${SRCDIR}/../../clib/include
#include <dlfcn.h>
#include <stdlib.h>
#include "tidelock/vendor.h"

typedef CK_RV (*init_role)(CK_SESSION_HANDLE, CK_USER_TYPE, CK_CHAR_PTR, CK_ULONG);
typedef CK_RV (*reset)(CK_SESSION_HANDLE, CK_CHAR_PTR, CK_ULONG);
typedef CK_RV (*state)(CK_SLOT_ID, CK_USER_TYPE, CA_ROLE_STATE_PTR);

static CK_RV call_init_role(void *f, CK_SESSION_HANDLE s, CK_USER_TYPE u, char *pin, CK_ULONG n) {
    return ((init_role)f)(s, u, (CK_CHAR_PTR)pin, n);
}
static CK_RV call_reset(void *f, CK_SESSION_HANDLE s, char *pin, CK_ULONG n) { return ((reset)f)(s, (CK_CHAR_PTR)pin, n); }
static CK_RV call_state(void *f, CK_SLOT_ID s, CK_USER_TYPE u, CA_ROLE_STATE_PTR r) { return ((state)f)(s, u, r); }
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// Library is a loaded library. The process has one state of it, however often it is
// loaded: a session handle from elsewhere works here.
type Library struct{ handle unsafe.Pointer }

// Open loads the library of a path.
func Open(path string) (Library, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	handle := C.dlopen(name, C.RTLD_LAZY)
	if handle == nil {
		return Library{}, fmt.Errorf("%s", C.GoString(C.dlerror()))
	}
	return Library{handle}, nil
}

func (l Library) symbol(name string) (unsafe.Pointer, error) {
	text := C.CString(name)
	defer C.free(unsafe.Pointer(text))
	if f := C.dlsym(l.handle, text); f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("the library has no %s", name)
}

// InitRolePIN is CA_InitRolePIN. The code is a CKR_; the error says that there is no
// such function.
func (l Library) InitRolePIN(session, user uint, pin string) (code uint, err error) {
	f, err := l.symbol("CA_InitRolePIN")
	if err != nil {
		return 0, err
	}
	text := C.CString(pin)
	defer C.free(unsafe.Pointer(text))
	return uint(C.call_init_role(f, C.CK_SESSION_HANDLE(session), C.CK_USER_TYPE(user), text, C.CK_ULONG(len(pin)))), nil
}

// ResetPIN is CA_ResetPIN.
func (l Library) ResetPIN(session uint, pin string) (code uint, err error) {
	f, err := l.symbol("CA_ResetPIN")
	if err != nil {
		return 0, err
	}
	text := C.CString(pin)
	defer C.free(unsafe.Pointer(text))
	return uint(C.call_reset(f, C.CK_SESSION_HANDLE(session), text, C.CK_ULONG(len(pin)))), nil
}

// State is a CA_ROLE_STATE.
type State struct{ Flags, AttemptsLeft uint8 }

// RoleState is CA_RoleStateGet.
func (l Library) RoleState(slot, user uint) (s State, code uint, err error) {
	f, err := l.symbol("CA_RoleStateGet")
	if err != nil {
		return s, 0, err
	}
	var r C.CA_ROLE_STATE
	code = uint(C.call_state(f, C.CK_SLOT_ID(slot), C.CK_USER_TYPE(user), &r))
	return State{uint8(r.flags), uint8(r.loginAttemptsLeft)}, code, nil
}
