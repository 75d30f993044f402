// C_GetOperationState and C_SetOperationState (PKCS#11 3.2, 5.6): the state of a digest. It is
// sealed by the server, which alone can read it.
#include <string.h>

#include "call.h"
#include "operation.h"

// savable finds whether a digest is all that the session has under way.
static CK_RV savable(const struct tl_session *session) {
    for (int f = TL_ENCRYPT; f < TL_FUNCTIONS; f++)
        if (f != TL_DIGEST && session->operations[f].state != TL_IDLE)
            return CKR_STATE_UNSAVEABLE;
    if (session->messages[TL_ENCRYPT].active || session->messages[TL_DECRYPT].active)
        return CKR_STATE_UNSAVEABLE;
    return session->operations[TL_DIGEST].state == TL_IDLE ? CKR_OPERATION_NOT_INITIALIZED : CKR_OK;
}

static CK_RV take(const struct tl_get_operation_state_reply *reply, struct tl_room room, CK_RV rv) {
    if (room.data != NULL && rv == CKR_OK) {
        if (reply->state.length == 0 || reply->state.length > *room.length || reply->length != reply->state.length)
            return CKR_DEVICE_ERROR;
        memcpy(room.data, reply->state.data, reply->state.length);
    }
    *room.length = reply->length;
    return rv;
}

static CK_RV get(struct tl_entry *entry, struct tl_room room) {
    struct tl_call call;
    struct tl_get_operation_state_reply reply;
    CK_RV rv = savable(entry->session);
    if (rv == CKR_OK)
        rv = tl_operation_flush(entry);
    if (rv != CKR_OK)
        return rv;
    rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_GET_OPERATION_STATE, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_get_operation_state(call.out, &(struct tl_get_operation_state_request){.capacity = tl_capacity(room)});
    rv = tl_call_run(&call);
    if (call.answered && (rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL))
        rv = tl_get_get_operation_state(&call.in, &reply) ? take(&reply, room, rv) : CKR_DEVICE_ERROR;
    if (rv == CKR_OPERATION_NOT_INITIALIZED) // of an earlier run of the server
        tl_operation_forget(&entry->session->operations[TL_DIGEST]);
    tl_call_end(&call);
    return rv;
}

// replace makes the digest all that the session has under way on this side, as it is on the
// other.
static void replace(struct tl_session *session, const struct tl_set_operation_state_reply *reply) {
    struct tl_operation *digest = &session->operations[TL_DIGEST];
    for (int f = TL_ENCRYPT; f < TL_FUNCTIONS; f++) {
        tl_operation_forget(&session->operations[f]);
        session->operations[f].doubtful = false;
    }
    memset(session->messages, 0, sizeof session->messages);
    digest->state = TL_ACTIVE;
    digest->in_parts = reply->parts;
    digest->permit = (struct tl_permit){.length = reply->rule_length, .rule = reply->rule, .flags = reply->flags};
}

// doubt says that the server may have replaced the session's operations, or not.
static void doubt(struct tl_session *session) {
    for (int f = TL_ENCRYPT; f < TL_FUNCTIONS; f++) {
        tl_operation_forget(&session->operations[f]);
        session->operations[f].doubtful = true;
    }
}

static CK_RV set(struct tl_entry *entry, struct tl_bytes state, CK_OBJECT_HANDLE encryption,
                 CK_OBJECT_HANDLE authentication) {
    struct tl_call call;
    struct tl_set_operation_state_reply reply;
    if (state.length > tl_call_room(entry->state, sizeof(uint32_t) + 2 * sizeof(uint64_t)))
        return CKR_SAVED_STATE_INVALID;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_SET_OPERATION_STATE, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_set_operation_state(call.out, &(struct tl_set_operation_state_request){
                                             .state = state,
                                             .encryption = encryption,
                                             .authentication = authentication,
                                         });
    rv = tl_call_run(&call);
    if (rv == CKR_OK && !tl_get_set_operation_state(&call.in, &reply))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK)
        replace(entry->session, &reply);
    else if (!call.answered || rv == CKR_DEVICE_ERROR)
        doubt(entry->session);
    tl_call_end(&call);
    return rv;
}

CK_RV C_GetOperationState(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pOperationState, CK_ULONG_PTR pulOperationStateLen) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, pulOperationStateLen != NULL);
    if (rv != CKR_OK)
        return rv;
    pthread_mutex_lock(&entry.session->lock);
    rv = get(&entry, (struct tl_room){pOperationState, pulOperationStateLen});
    pthread_mutex_unlock(&entry.session->lock);
    tl_leave(&entry);
    return rv;
}

CK_RV C_SetOperationState(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pOperationState, CK_ULONG ulOperationStateLen,
                          CK_OBJECT_HANDLE hEncryptionKey, CK_OBJECT_HANDLE hAuthenticationKey) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, tl_readable(pOperationState, ulOperationStateLen));
    if (rv != CKR_OK)
        return rv;
    pthread_mutex_lock(&entry.session->lock);
    rv = set(&entry, (struct tl_bytes){pOperationState, ulOperationStateLen}, hEncryptionKey, hAuthenticationKey);
    pthread_mutex_unlock(&entry.session->lock);
    tl_leave(&entry);
    return rv;
}
