package luna

/*
#cgo CFLAGS: -I${SRCDIR}/../../clib/include
#include <stdlib.h>
#include "tidelock/vendor.h"

typedef CK_RV (*with_data)(CK_SESSION_HANDLE, CK_OBJECT_HANDLE, CK_UTF8CHAR_PTR, CK_ULONG);
typedef CK_RV (*with_two)(CK_SESSION_HANDLE, CK_OBJECT_HANDLE, CK_UTF8CHAR_PTR, CK_ULONG, CK_UTF8CHAR_PTR, CK_ULONG);
typedef CK_RV (*plain)(CK_SESSION_HANDLE, CK_OBJECT_HANDLE);

static CK_RV call_with_data(void *f, CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, char *d, CK_ULONG n) {
    return ((with_data)f)(s, o, (CK_UTF8CHAR_PTR)d, n);
}
static CK_RV call_with_two(void *f, CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, char *d, CK_ULONG n, char *e, CK_ULONG m) {
    return ((with_two)f)(s, o, (CK_UTF8CHAR_PTR)d, n, (CK_UTF8CHAR_PTR)e, m);
}
static CK_RV call_plain(void *f, CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o) { return ((plain)f)(s, o); }
*/
import "C"

import "unsafe"

// AuthorizeKey is CA_AuthorizeKey. The code is a CKR_; the error says that there is no such
// function.
func (l Library) AuthorizeKey(session, key uint, data string) (code uint, err error) {
	return l.withData("CA_AuthorizeKey", session, key, data)
}

// ResetAuthorizationData is CA_ResetAuthorizationData.
func (l Library) ResetAuthorizationData(session, key uint, data string) (code uint, err error) {
	return l.withData("CA_ResetAuthorizationData", session, key, data)
}

func (l Library) withData(name string, session, key uint, data string) (code uint, err error) {
	f, err := l.symbol(name)
	if err != nil {
		return 0, err
	}
	text := C.CString(data)
	defer C.free(unsafe.Pointer(text))
	return uint(C.call_with_data(f, C.CK_SESSION_HANDLE(session), C.CK_OBJECT_HANDLE(key), text, C.CK_ULONG(len(data)))), nil
}

// SetAuthorizationData is CA_SetAuthorizationData.
func (l Library) SetAuthorizationData(session, key uint, old, data string) (code uint, err error) {
	f, err := l.symbol("CA_SetAuthorizationData")
	if err != nil {
		return 0, err
	}
	from, to := C.CString(old), C.CString(data)
	defer C.free(unsafe.Pointer(from))
	defer C.free(unsafe.Pointer(to))
	return uint(C.call_with_two(f, C.CK_SESSION_HANDLE(session), C.CK_OBJECT_HANDLE(key), from, C.CK_ULONG(len(old)), to, C.CK_ULONG(len(data)))), nil
}

// AssignKey is CA_AssignKey.
func (l Library) AssignKey(session, key uint) (code uint, err error) {
	return l.plain("CA_AssignKey", session, key)
}

// IncrementFailedAuthCount is CA_IncrementFailedAuthCount.
func (l Library) IncrementFailedAuthCount(session, key uint) (code uint, err error) {
	return l.plain("CA_IncrementFailedAuthCount", session, key)
}

func (l Library) plain(name string, session, key uint) (code uint, err error) {
	f, err := l.symbol(name)
	if err != nil {
		return 0, err
	}
	return uint(C.call_plain(f, C.CK_SESSION_HANDLE(session), C.CK_OBJECT_HANDLE(key))), nil
}
