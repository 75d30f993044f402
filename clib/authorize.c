// Per-key authorization: the data that a key wants to hear before it is used.
#include "call.h"
#include "tidelock/vendor.h"

// run makes a call whose request has been written.
static CK_RV run(struct tl_call *call) {
    CK_RV rv = tl_call_run(call);
    tl_call_end(call);
    return rv;
}

static CK_RV too_large(CK_RV rv) { return rv == CKR_DATA_LEN_RANGE ? CKR_AUTH_DATA_TOO_LARGE : rv; }

CK_RV CA_AuthorizeKey(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_UTF8CHAR_PTR pAuthData,
                      CK_ULONG ulAuthDataLen) {
    struct tl_entry entry;
    struct tl_call call;
    CK_RV rv = tl_enter_session(&entry, hSession, pAuthData != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = tl_call_begin(&call, entry.state, entry.session, TL_CALL_AUTHORIZE_KEY, TL_ONCE);
    if (rv == CKR_OK) {
        tl_put_authorize_key(call.out, &(struct tl_authorize_key_request){
                                           .key = hObject,
                                           .data = {pAuthData, ulAuthDataLen},
                                       });
        rv = run(&call);
    }
    tl_leave(&entry);
    return too_large(rv);
}

// A key that has no data yet has no old data either, which is then empty.
CK_RV CA_SetAuthorizationData(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_UTF8CHAR_PTR pOldAuthData,
                              CK_ULONG ulOldAuthDataLen, CK_UTF8CHAR_PTR pNewAuthData, CK_ULONG ulNewAuthDataLen) {
    struct tl_entry entry;
    struct tl_call call;
    CK_RV rv =
        tl_enter_session(&entry, hSession, pNewAuthData != NULL && (pOldAuthData != NULL || ulOldAuthDataLen == 0));
    if (rv != CKR_OK)
        return rv;
    rv = tl_call_begin(&call, entry.state, entry.session, TL_CALL_SET_AUTHORIZATION_DATA, TL_ONCE);
    if (rv == CKR_OK) {
        tl_put_set_authorization_data(call.out, &(struct tl_set_authorization_data_request){
                                                    .key = hObject,
                                                    .old = {pOldAuthData, ulOldAuthDataLen},
                                                    .new = {pNewAuthData, ulNewAuthDataLen},
                                                });
        rv = run(&call);
    }
    tl_leave(&entry);
    return too_large(rv);
}

CK_RV CA_ResetAuthorizationData(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_UTF8CHAR_PTR pAuthData,
                                CK_ULONG ulAuthDataLen) {
    struct tl_entry entry;
    struct tl_call call;
    CK_RV rv = tl_enter_session(&entry, hSession, pAuthData != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = tl_call_begin(&call, entry.state, entry.session, TL_CALL_RESET_AUTHORIZATION_DATA, TL_ONCE);
    if (rv == CKR_OK) {
        tl_put_reset_authorization_data(call.out, &(struct tl_reset_authorization_data_request){
                                                      .key = hObject,
                                                      .new = {pAuthData, ulAuthDataLen},
                                                  });
        rv = run(&call);
    }
    tl_leave(&entry);
    return too_large(rv);
}

CK_RV CA_AssignKey(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject) {
    struct tl_entry entry;
    struct tl_call call;
    CK_RV rv = tl_enter_session(&entry, hSession, true);
    if (rv != CKR_OK)
        return rv;
    rv = tl_call_begin(&call, entry.state, entry.session, TL_CALL_ASSIGN_KEY, TL_ONCE);
    if (rv == CKR_OK) {
        tl_put_assign_key(call.out, &(struct tl_assign_key_request){.key = hObject});
        rv = run(&call);
    }
    tl_leave(&entry);
    return rv;
}

CK_RV CA_IncrementFailedAuthCount(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject) {
    struct tl_entry entry;
    struct tl_call call;
    CK_RV rv = tl_enter_session(&entry, hSession, true);
    if (rv != CKR_OK)
        return rv;
    rv = tl_call_begin(&call, entry.state, entry.session, TL_CALL_INCREMENT_FAILED_AUTH_COUNT, TL_ONCE);
    if (rv == CKR_OK) {
        tl_put_increment_failed_auth_count(call.out, &(struct tl_increment_failed_auth_count_request){.key = hObject});
        rv = run(&call);
    }
    tl_leave(&entry);
    return rv;
}
