// Sessions of the application, login, PINs.
#include "call.h"
#include "operation.h"

static CK_RV open_session(struct tl_state *state, CK_SLOT_ID slot, CK_FLAGS flags, CK_SESSION_HANDLE *handle) {
    struct tl_call call;
    struct tl_open_session_reply reply;
    // A repeat may leave a session that nobody knows at the server until the program
    // ends. Some programs wait for ever when this call fails, which is worse.
    CK_RV rv = tl_call_begin(&call, state, NULL, TL_CALL_OPEN_SESSION, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_open_session(call.out, &(struct tl_open_session_request){.slot = slot, .flags = flags});
    rv = tl_call_run(&call);
    if (rv == CKR_OK && !tl_get_open_session(&call.in, &reply))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK) {
        struct tl_slot *known = tl_session_slot(&state->sessions, slot);
        if (known == NULL || !tl_session_add(&state->sessions, reply.session, call.connection->boot, flags, known))
            rv = CKR_HOST_MEMORY;
        else
            *handle = reply.session;
    }
    tl_call_end(&call);
    return rv;
}

// No callback is made: neither pApplication nor Notify is ever used.
CK_RV C_OpenSession(CK_SLOT_ID slotID, CK_FLAGS flags, CK_VOID_PTR pApplication, CK_NOTIFY Notify,
                    CK_SESSION_HANDLE_PTR phSession) {
    (void)pApplication;
    (void)Notify;
    struct tl_entry entry;
    CK_RV rv = tl_enter(&entry, phSession != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = (flags & CKF_SERIAL_SESSION) == 0 ? CKR_SESSION_PARALLEL_NOT_SUPPORTED
                                           : open_session(entry.state, slotID, flags, phSession);
    tl_leave(&entry);
    return rv;
}

CK_RV C_CloseSession(CK_SESSION_HANDLE hSession) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, true);
    if (rv != CKR_OK)
        return rv;
    rv = tl_call_plain(entry.state, entry.session, TL_CALL_CLOSE_SESSION);
    if (rv == CKR_OK)
        tl_session_remove(&entry.state->sessions, entry.session);
    tl_leave(&entry);
    return rv;
}

static CK_RV close_all(struct tl_state *state, CK_SLOT_ID slot) {
    struct tl_call call;
    CK_RV rv = tl_call_begin(&call, state, NULL, TL_CALL_CLOSE_ALL_SESSIONS, TL_ONCE);
    if (rv != CKR_OK)
        return rv;
    tl_put_close_all_sessions(call.out, &(struct tl_close_all_sessions_request){.slot = slot});
    rv = tl_call_run(&call);
    tl_call_end(&call);
    if (rv == CKR_OK) {
        tl_session_remove_slot(&state->sessions, slot);
        tl_ticket_drop(&state->tickets, slot);
    }
    return rv;
}

CK_RV C_CloseAllSessions(CK_SLOT_ID slotID) {
    struct tl_entry entry;
    CK_RV rv = tl_enter(&entry, true);
    if (rv != CKR_OK)
        return rv;
    rv = close_all(entry.state, slotID);
    tl_leave(&entry);
    return rv;
}

static CK_RV session_info(struct tl_entry *entry, CK_SESSION_INFO *info) {
    struct tl_call call;
    struct tl_session_info_reply reply;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_SESSION_INFO, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    rv = tl_call_run(&call);
    if (rv == CKR_OK && !tl_get_session_info(&call.in, &reply))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK)
        *info = (CK_SESSION_INFO){reply.slot, reply.state, reply.flags, reply.device_error};
    tl_call_end(&call);
    return rv;
}

CK_RV C_GetSessionInfo(CK_SESSION_HANDLE hSession, CK_SESSION_INFO_PTR pInfo) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, pInfo != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = session_info(&entry, pInfo);
    tl_leave(&entry);
    return rv;
}

static CK_RV validation_flags(struct tl_entry *entry, CK_SESSION_VALIDATION_FLAGS_TYPE type, CK_FLAGS *flags) {
    struct tl_call call;
    struct tl_session_validation_reply reply;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_SESSION_VALIDATION, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_session_validation(call.out, &(struct tl_session_validation_request){.type = type});
    rv = tl_call_run(&call);
    if (rv == CKR_OK && !tl_get_session_validation(&call.in, &reply))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK)
        *flags = reply.flags;
    tl_call_end(&call);
    return rv;
}

// Bit 0 says that the last service was an approved one. An Init that waits for its
// operation is no service yet.
CK_RV C_GetSessionValidationFlags(CK_SESSION_HANDLE hSession, CK_SESSION_VALIDATION_FLAGS_TYPE type,
                                  CK_FLAGS_PTR pFlags) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, pFlags != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = validation_flags(&entry, type, pFlags);
    tl_leave(&entry);
    return rv;
}

// try_login sends the PIN. *boot is the run of the server that got it, or with again
// the run that must not get it twice. False when the reply was lost.
static bool try_login(struct tl_entry *entry, const struct tl_login_request *request, bool again, uint64_t *boot,
                      CK_RV *rv) {
    struct tl_call call;
    struct tl_login_reply reply;
    *rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_LOGIN, TL_ONCE);
    if (*rv != CKR_OK)
        return true;
    if (again && call.connection->boot == *boot) {
        *rv = CKR_DEVICE_ERROR;
        tl_call_end(&call);
        return true;
    }
    *boot = call.connection->boot;
    tl_put_login(call.out, request);
    *rv = tl_call_run(&call);
    if (*rv == CKR_OK && !tl_get_login(&call.in, &reply))
        *rv = CKR_DEVICE_ERROR;
    if (*rv == CKR_OK)
        tl_ticket_keep(&entry->state->tickets, entry->session->slot->id, reply.ticket);
    bool answered = call.answered || *rv != CKR_DEVICE_ERROR;
    tl_call_end(&call);
    return answered;
}

static CK_RV flush(struct tl_entry *entry) {
    pthread_mutex_lock(&entry->session->lock);
    CK_RV rv = tl_operation_flush(entry);
    pthread_mutex_unlock(&entry->session->lock);
    return rv;
}

// A login whose reply was lost is repeated when the server has started anew: there is
// nobody logged in at that one. A wrong PIN then costs two tries at most.
static CK_RV login(struct tl_entry *entry, CK_USER_TYPE user, struct tl_bytes pin) {
    struct tl_login_request request = {.user = user, .pin = pin};
    uint64_t boot = 0;
    // A context-specific login is for the operation that has begun, so the server
    // has to know of that; and it dies with the server.
    CK_RV rv = user == CKU_CONTEXT_SPECIFIC ? flush(entry) : CKR_OK;
    if (rv == CKR_OK && !try_login(entry, &request, false, &boot, &rv) && user != CKU_CONTEXT_SPECIFIC)
        (void)try_login(entry, &request, true, &boot, &rv);
    return rv;
}

CK_RV C_Login(CK_SESSION_HANDLE hSession, CK_USER_TYPE userType, CK_UTF8CHAR_PTR pPin, CK_ULONG ulPinLen) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, tl_readable(pPin, ulPinLen));
    if (rv != CKR_OK)
        return rv;
    rv = login(&entry, userType, (struct tl_bytes){pPin, ulPinLen});
    tl_leave(&entry);
    return rv == CKR_DATA_LEN_RANGE ? CKR_PIN_LEN_RANGE : rv;
}

// No role here has users with names, so that C_LoginUser without one is C_Login (PKCS#11
// 3.2, 5.6.9).
CK_RV C_LoginUser(CK_SESSION_HANDLE hSession, CK_USER_TYPE userType, CK_UTF8CHAR_PTR pPin, CK_ULONG ulPinLen,
                  CK_UTF8CHAR_PTR pUsername, CK_ULONG ulUsernameLen) {
    (void)pUsername;
    struct tl_entry entry;
    CK_RV rv = tl_enter(&entry, ulUsernameLen == 0);
    if (rv != CKR_OK)
        return rv;
    tl_leave(&entry);
    return C_Login(hSession, userType, pPin, ulPinLen);
}

CK_RV C_Logout(CK_SESSION_HANDLE hSession) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, true);
    if (rv != CKR_OK)
        return rv;
    rv = tl_call_plain(entry.state, entry.session, TL_CALL_LOGOUT);
    if (rv == CKR_OK)
        tl_ticket_drop(&entry.state->tickets, entry.session->slot->id);
    tl_leave(&entry);
    return rv;
}

static CK_RV set_pin(struct tl_entry *entry, struct tl_bytes old, struct tl_bytes new) {
    struct tl_call call;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_SET_PIN, TL_ONCE);
    if (rv != CKR_OK)
        return rv;
    tl_put_set_pin(call.out, &(struct tl_set_pin_request){.old = old, .new = new});
    rv = tl_call_run(&call);
    tl_call_end(&call);
    return rv;
}

CK_RV C_SetPIN(CK_SESSION_HANDLE hSession, CK_UTF8CHAR_PTR pOldPin, CK_ULONG ulOldLen, CK_UTF8CHAR_PTR pNewPin,
               CK_ULONG ulNewLen) {
    struct tl_entry entry;
    bool arguments = tl_readable(pOldPin, ulOldLen) && tl_readable(pNewPin, ulNewLen);
    CK_RV rv = tl_enter_session(&entry, hSession, arguments);
    if (rv != CKR_OK)
        return rv;
    rv = set_pin(&entry, (struct tl_bytes){pOldPin, ulOldLen}, (struct tl_bytes){pNewPin, ulNewLen});
    tl_leave(&entry);
    return rv == CKR_DATA_LEN_RANGE ? CKR_PIN_LEN_RANGE : rv;
}
