package luna

/*
#cgo CFLAGS: -I${SRCDIR}/../../clib/include
#include "tidelock/vendor.h"

typedef CK_RV (*get_set)(CK_SLOT_ID, CK_ULONG_PTR, CK_ULONG_PTR, CK_ULONG_PTR, CK_ULONG_PTR);
typedef CK_RV (*set_own)(CK_SESSION_HANDLE, CK_ULONG, CK_ULONG_PTR, CK_ULONG_PTR);
typedef CK_RV (*set_of)(CK_SESSION_HANDLE, CK_ULONG, CK_ULONG, CK_ULONG_PTR, CK_ULONG_PTR);
typedef CK_RV (*describe)(CK_SLOT_ID, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG_PTR, CK_ULONG_PTR, CK_ULONG_PTR,
                          CK_CHAR_PTR, CK_ULONG_PTR);

static CK_RV call_get_set(void *f, CK_SLOT_ID s, CK_ULONG *ids, CK_ULONG *n, CK_ULONG *values, CK_ULONG *m) {
    return ((get_set)f)(s, ids, n, values, m);
}
static CK_RV call_set_own(void *f, CK_SESSION_HANDLE s, CK_ULONG n, CK_ULONG *ids, CK_ULONG *values) {
    return ((set_own)f)(s, n, ids, values);
}
static CK_RV call_set_of(void *f, CK_SESSION_HANDLE s, CK_ULONG of, CK_ULONG n, CK_ULONG *ids, CK_ULONG *values) {
    return ((set_of)f)(s, of, n, ids, values);
}
static CK_RV call_describe(void *f, CK_SLOT_ID s, CK_ULONG container, CK_ULONG id, CK_ULONG *flags, char *text,
                           CK_ULONG *n) {
    return ((describe)f)(s, container, 0, id, &flags[0], &flags[1], &flags[2], (CK_CHAR_PTR)text, n);
}
*/
import "C"

import "unsafe"

// Whose policies.
type Whose int

// The HSM's, or a partition's.
const (
	OfHSM Whose = iota
	OfPartition
)

// Policies are the values of CA_GetHSMPolicySet or CA_GetTokenPolicies.
func (l Library) Policies(whose Whose, slot uint) (values map[uint]uint, code uint, err error) {
	name := "CA_GetHSMPolicySet"
	if whose == OfPartition {
		name = "CA_GetTokenPolicies"
	}
	f, err := l.symbol(name)
	if err != nil {
		return nil, 0, err
	}
	var n, m C.CK_ULONG
	if rv := C.call_get_set(f, C.CK_SLOT_ID(slot), nil, &n, nil, &m); rv != 0 || n == 0 {
		return nil, uint(rv), nil
	}
	numbers, settings := make([]C.CK_ULONG, n), make([]C.CK_ULONG, m)
	if rv := C.call_get_set(f, C.CK_SLOT_ID(slot), &numbers[0], &n, &settings[0], &m); rv != 0 {
		return nil, uint(rv), nil
	}
	values = make(map[uint]uint)
	for i, id := range numbers {
		values[uint(id)] = uint(settings[i])
	}
	return values, 0, nil
}

// SetPolicies changes policies by the functions that take many; those of a partition by
// CA_SetTokenPolicies or CA_SetDestructiveContainerPolicies.
func (l Library) SetPolicies(whose Whose, destructive bool, session, slot uint, ids, values []uint) (code uint, err error) {
	name := map[Whose]string{OfHSM: "CA_SetHSMPolicies", OfPartition: "CA_SetTokenPolicies"}[whose]
	if destructive {
		name = map[Whose]string{OfHSM: "CA_SetDestructiveHSMPolicies", OfPartition: "CA_SetDestructiveContainerPolicies"}[whose]
	}
	f, err := l.symbol(name)
	if err != nil {
		return 0, err
	}
	numbers, settings := ulongs(ids), ulongs(values)
	s, n := C.CK_SESSION_HANDLE(session), C.CK_ULONG(len(ids))
	if whose == OfHSM {
		return uint(C.call_set_own(f, s, n, &numbers[0], &settings[0])), nil
	}
	return uint(C.call_set_of(f, s, C.CK_ULONG(slot), n, &numbers[0], &settings[0])), nil
}

func ulongs(list []uint) []C.CK_ULONG {
	out := make([]C.CK_ULONG, len(list), len(list)+1)
	for i, v := range list {
		out[i] = C.CK_ULONG(v)
	}
	return out
}

// Description is what CA_GetConfigurationElementDescription tells of a policy.
type Description struct {
	Name               string
	Bits               uint
	Destructive, Fixed bool
}

// Describe is CA_GetConfigurationElementDescription.
func (l Library) Describe(whose Whose, slot, id uint) (d Description, code uint, err error) {
	f, err := l.symbol("CA_GetConfigurationElementDescription")
	if err != nil {
		return d, 0, err
	}
	var flags [3]C.CK_ULONG
	var n C.CK_ULONG
	of := C.CK_ULONG(whose)
	if rv := C.call_describe(f, C.CK_SLOT_ID(slot), of, C.CK_ULONG(id), &flags[0], nil, &n); rv != 0 {
		return d, uint(rv), nil
	}
	text := make([]C.char, n)
	if rv := C.call_describe(f, C.CK_SLOT_ID(slot), of, C.CK_ULONG(id), &flags[0], (*C.char)(unsafe.Pointer(&text[0])), &n); rv != 0 {
		return d, uint(rv), nil
	}
	return Description{C.GoString(&text[0]), uint(flags[0]), flags[1] != 0, flags[2] != 0}, 0, nil
}
