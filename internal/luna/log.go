package luna

/*
#cgo CFLAGS: -I${SRCDIR}/../../clib/include
#include <stdlib.h>
#include "tidelock/vendor.h"

typedef CK_RV (*external)(CK_SLOT_ID, CK_SESSION_HANDLE, CK_CHAR_PTR, CK_ULONG);

static CK_RV call_external(void *f, CK_SLOT_ID slot, CK_SESSION_HANDLE s, char *text, CK_ULONG n) {
    return ((external)f)(slot, s, (CK_CHAR_PTR)text, n);
}
*/
import "C"

import "unsafe"

// LogExternal is CA_LogExternal.
func (l Library) LogExternal(slot, session uint, text string) (code uint, err error) {
	f, err := l.symbol("CA_LogExternal")
	if err != nil {
		return 0, err
	}
	b := C.CString(text)
	defer C.free(unsafe.Pointer(b))
	return uint(C.call_external(f, C.CK_SLOT_ID(slot), C.CK_SESSION_HANDLE(session), b, C.CK_ULONG(len(text)))), nil
}
