package luna

/*
#cgo CFLAGS: -I${SRCDIR}/../../clib/include
#include "tidelock/vendor.h"

typedef CK_RV (*wait)(CK_FLAGS, CK_SLOT_ID_PTR, CK_VOID_PTR);
typedef CK_RV (*validation)(CK_SESSION_HANDLE, CK_SESSION_VALIDATION_FLAGS_TYPE, CK_FLAGS_PTR);
typedef CK_RV (*version)(CK_SLOT_ID, CK_ULONG_PTR, CK_ULONG_PTR, CK_ULONG_PTR);
typedef CK_RV (*storage)(CK_SLOT_ID, CK_ULONG_PTR, CK_ULONG_PTR, CK_ULONG_PTR, CK_ULONG_PTR, CK_ULONG_PTR);

static CK_RV call_wait(void *f, CK_FLAGS flags) {
    CK_SLOT_ID slot;
    return ((wait)f)(flags, &slot, NULL);
}
static CK_RV call_validation(void *f, CK_SESSION_HANDLE s, CK_FLAGS *flags) {
    return ((validation)f)(s, CKS_LAST_VALIDATION_OK, flags);
}
static CK_RV call_version(void *f, CK_SLOT_ID s, CK_ULONG *v) { return ((version)f)(s, &v[0], &v[1], &v[2]); }
static CK_RV call_storage(void *f, CK_SLOT_ID s, CK_ULONG *v) {
    return ((storage)f)(s, &v[0], &v[1], &v[2], &v[3], &v[4]);
}
*/
import "C"

// WaitForSlotEvent is C_WaitForSlotEvent, whose code no Go package tells.
func (l Library) WaitForSlotEvent(block bool) (code uint, err error) {
	f, err := l.symbol("C_WaitForSlotEvent")
	if err != nil {
		return 0, err
	}
	flags := C.CK_FLAGS(C.CKF_DONT_BLOCK)
	if block {
		flags = 0
	}
	return uint(C.call_wait(f, flags)), nil
}

// ValidationFlags is C_GetSessionValidationFlags with CKS_LAST_VALIDATION_OK.
func (l Library) ValidationFlags(session uint) (flags, code uint, err error) {
	f, err := l.symbol("C_GetSessionValidationFlags")
	if err != nil {
		return 0, 0, err
	}
	var v C.CK_FLAGS
	code = uint(C.call_validation(f, C.CK_SESSION_HANDLE(session), &v))
	return uint(v), code, nil
}

// FirmwareVersion is CA_GetFirmwareVersion: major, minor and patch.
func (l Library) FirmwareVersion(slot uint) (version [3]uint, code uint, err error) {
	f, err := l.symbol("CA_GetFirmwareVersion")
	if err != nil {
		return version, 0, err
	}
	var v [3]C.CK_ULONG
	code = uint(C.call_version(f, C.CK_SLOT_ID(slot), &v[0]))
	return [3]uint{uint(v[0]), uint(v[1]), uint(v[2])}, code, nil
}

// Storage is a partition's room in bytes, and its token objects.
type Storage struct{ Overhead, Total, Used, Free, Objects uint }

// Storage is CA_GetTokenStorageInformation.
func (l Library) Storage(slot uint) (s Storage, code uint, err error) {
	f, err := l.symbol("CA_GetTokenStorageInformation")
	if err != nil {
		return s, 0, err
	}
	var v [5]C.CK_ULONG
	code = uint(C.call_storage(f, C.CK_SLOT_ID(slot), &v[0]))
	return Storage{uint(v[0]), uint(v[1]), uint(v[2]), uint(v[3]), uint(v[4])}, code, nil
}
