// Per-key authorization: the data that a key wants to hear before it is used.
#include "call.h"
#include "tidelock/vendor.h"

// begin enters a session and makes a call ready for its request. An error leaves
// nothing behind.
static CK_RV begin(struct tl_entry *entry, struct tl_call *call, CK_SESSION_HANDLE session, bool arguments,
                   uint16_t number) {
    CK_RV rv = tl_enter_session(entry, session, arguments);
    if (rv != CKR_OK)
        return rv;
    rv = tl_call_begin(call, entry->state, entry->session, number, TL_ONCE);
    if (rv != CKR_OK)
        tl_leave(entry);
    return rv;
}

// finish sends the request, and ends what begin began. What no frame could hold is data
// that no key could have.
static CK_RV finish(struct tl_entry *entry, struct tl_call *call) {
    CK_RV rv = tl_call_run(call);
    tl_call_end(call);
    tl_leave(entry);
    return rv == CKR_DATA_LEN_RANGE ? CKR_AUTH_DATA_TOO_LARGE : rv;
}

CK_RV CA_AuthorizeKey(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_UTF8CHAR_PTR pAuthData,
                      CK_ULONG ulAuthDataLen) {
    struct tl_entry entry;
    struct tl_call call;
    CK_RV rv = begin(&entry, &call, hSession, pAuthData != NULL, TL_CALL_AUTHORIZE_KEY);
    if (rv != CKR_OK)
        return rv;
    tl_put_authorize_key(call.out, &(struct tl_authorize_key_request){
                                       .key = hObject,
                                       .data = {pAuthData, ulAuthDataLen},
                                   });
    return finish(&entry, &call);
}

// A key that has no data yet has no old data either, which is then empty.
CK_RV CA_SetAuthorizationData(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_UTF8CHAR_PTR pOldAuthData,
                              CK_ULONG ulOldAuthDataLen, CK_UTF8CHAR_PTR pNewAuthData, CK_ULONG ulNewAuthDataLen) {
    struct tl_entry entry;
    struct tl_call call;
    bool arguments = pNewAuthData != NULL && tl_readable(pOldAuthData, ulOldAuthDataLen);
    CK_RV rv = begin(&entry, &call, hSession, arguments, TL_CALL_SET_AUTHORIZATION_DATA);
    if (rv != CKR_OK)
        return rv;
    tl_put_set_authorization_data(call.out, &(struct tl_set_authorization_data_request){
                                                .key = hObject,
                                                .old = {pOldAuthData, ulOldAuthDataLen},
                                                .new = {pNewAuthData, ulNewAuthDataLen},
                                            });
    return finish(&entry, &call);
}

CK_RV CA_ResetAuthorizationData(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_UTF8CHAR_PTR pAuthData,
                                CK_ULONG ulAuthDataLen) {
    struct tl_entry entry;
    struct tl_call call;
    CK_RV rv = begin(&entry, &call, hSession, pAuthData != NULL, TL_CALL_RESET_AUTHORIZATION_DATA);
    if (rv != CKR_OK)
        return rv;
    tl_put_reset_authorization_data(call.out, &(struct tl_reset_authorization_data_request){
                                                  .key = hObject,
                                                  .new = {pAuthData, ulAuthDataLen},
                                              });
    return finish(&entry, &call);
}

CK_RV CA_AssignKey(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject) {
    struct tl_entry entry;
    struct tl_call call;
    CK_RV rv = begin(&entry, &call, hSession, true, TL_CALL_ASSIGN_KEY);
    if (rv != CKR_OK)
        return rv;
    tl_put_assign_key(call.out, &(struct tl_assign_key_request){.key = hObject});
    return finish(&entry, &call);
}

CK_RV CA_IncrementFailedAuthCount(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject) {
    struct tl_entry entry;
    struct tl_call call;
    CK_RV rv = begin(&entry, &call, hSession, true, TL_CALL_INCREMENT_FAILED_AUTH_COUNT);
    if (rv != CKR_OK)
        return rv;
    tl_put_increment_failed_auth_count(call.out, &(struct tl_increment_failed_auth_count_request){.key = hObject});
    return finish(&entry, &call);
}
