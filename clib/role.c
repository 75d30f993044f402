// Roles: the PINs that one role gives another, and what state a role is in.
#include "call.h"
#include "tidelock/vendor.h"

static CK_RV init_role(struct tl_entry *entry, CK_USER_TYPE user, struct tl_bytes pin) {
    struct tl_call call;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_INIT_ROLE, TL_ONCE);
    if (rv != CKR_OK)
        return rv;
    tl_put_init_role(call.out, &(struct tl_init_role_request){.user = user, .pin = pin});
    rv = tl_call_run(&call);
    tl_call_end(&call);
    return rv;
}

CK_RV CA_InitRolePIN(CK_SESSION_HANDLE hSession, CK_USER_TYPE userType, CK_CHAR_PTR pPin, CK_ULONG ulPinLen) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, pPin != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = init_role(&entry, userType, (struct tl_bytes){pPin, ulPinLen});
    tl_leave(&entry);
    return rv == CKR_DATA_LEN_RANGE ? CKR_PIN_LEN_RANGE : rv;
}

// The slot is the session's own: who is in charge of a role has a session where it is.
CK_RV CA_InitSlotRolePIN(CK_SESSION_HANDLE hSession, CK_SLOT_ID slotID, CK_USER_TYPE userType, CK_CHAR_PTR pPin,
                         CK_ULONG ulPinLen) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, pPin != NULL);
    if (rv != CKR_OK)
        return rv;
    bool here = slotID == entry.session->slot->id;
    tl_leave(&entry);
    return here ? CA_InitRolePIN(hSession, userType, pPin, ulPinLen) : CKR_SLOT_ID_INVALID;
}

// There is no protected authentication path, so the PIN is never NULL.
CK_RV C_InitPIN(CK_SESSION_HANDLE hSession, CK_UTF8CHAR_PTR pPin, CK_ULONG ulPinLen) {
    return CA_InitRolePIN(hSession, CKU_USER, pPin, ulPinLen);
}

static CK_RV reset_role(struct tl_entry *entry, CK_USER_TYPE user, struct tl_bytes pin) {
    struct tl_call call;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_RESET_ROLE, TL_ONCE);
    if (rv != CKR_OK)
        return rv;
    tl_put_reset_role(call.out, &(struct tl_reset_role_request){.user = user, .pin = pin});
    rv = tl_call_run(&call);
    tl_call_end(&call);
    return rv;
}

CK_RV CA_ResetPIN(CK_SESSION_HANDLE hSession, CK_CHAR_PTR pPin, CK_ULONG ulPinLen) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, pPin != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = reset_role(&entry, CKU_USER, (struct tl_bytes){pPin, ulPinLen});
    tl_leave(&entry);
    return rv == CKR_DATA_LEN_RANGE ? CKR_PIN_LEN_RANGE : rv;
}

static CK_RV role_state(struct tl_state *state, CK_SLOT_ID slot, CK_USER_TYPE user, CA_ROLE_STATE *role) {
    struct tl_call call;
    struct tl_role_state_reply reply;
    CK_RV rv = tl_call_begin(&call, state, NULL, TL_CALL_ROLE_STATE, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_role_state(call.out, &(struct tl_role_state_request){.slot = slot, .user = user});
    rv = tl_call_run(&call);
    if (rv == CKR_OK && !tl_get_role_state(&call.in, &reply))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK)
        *role = (CA_ROLE_STATE){reply.flags, reply.attempts_left, reply.primary, reply.secondary};
    tl_call_end(&call);
    return rv;
}

CK_RV CA_RoleStateGet(CK_SLOT_ID slotID, CK_USER_TYPE userType, CA_ROLE_STATE_PTR pRoleState) {
    struct tl_entry entry;
    CK_RV rv = tl_enter(&entry, pRoleState != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = role_state(entry.state, slotID, userType, pRoleState);
    tl_leave(&entry);
    return rv;
}
