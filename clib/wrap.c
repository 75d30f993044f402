// C_WrapKey, C_UnwrapKey, C_DeriveKey, C_DigestKey.
#include <string.h>

#include "call.h"
#include "entropy.h"
#include "operation.h"

// take copies a wrapped key into the room, or tells how long it is.
static CK_RV take(const struct tl_wrap_key_reply *reply, CK_RV rv, struct tl_room room) {
    if (rv == CKR_OK && room.data != NULL) {
        if (reply->length > *room.length || reply->wrapped.length != reply->length)
            return CKR_DEVICE_ERROR;
        if (reply->length > 0)
            memcpy(room.data, reply->wrapped.data, reply->length);
    }
    *room.length = reply->length;
    return rv;
}

static CK_RV wrap_key(struct tl_entry *entry, const struct tl_wrap_key_request *request, struct tl_room room) {
    struct tl_call call;
    struct tl_wrap_key_reply reply;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_WRAP_KEY, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_wrap_key(call.out, request);
    rv = tl_call_run(&call);
    if (rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL)
        rv = tl_get_wrap_key(&call.in, &reply) ? take(&reply, rv, room) : CKR_DEVICE_ERROR;
    tl_call_end(&call);
    return rv;
}

CK_RV C_WrapKey(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hWrappingKey,
                CK_OBJECT_HANDLE hKey, CK_BYTE_PTR pWrappedKey, CK_ULONG_PTR pulWrappedKeyLen) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, pMechanism != NULL && pulWrappedKeyLen != NULL);
    if (rv != CKR_OK)
        return rv;
    struct tl_room room = {pWrappedKey, pulWrappedKeyLen};
    struct tl_wrap_key_request request = {
        .mechanism = {.native = pMechanism},
        .wrapping_key = hWrappingKey,
        .key = hKey,
        .capacity = tl_capacity(room),
    };
    rv = wrap_key(&entry, &request, room);
    tl_leave(&entry);
    return rv;
}

static CK_RV unwrap_key(struct tl_entry *entry, struct tl_unwrap_key_request *request, CK_OBJECT_HANDLE *key) {
    struct tl_call call;
    struct tl_unwrap_key_reply reply;
    if (!tl_entropy(&request->token, sizeof request->token))
        return CKR_FUNCTION_FAILED;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_UNWRAP_KEY, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_unwrap_key(call.out, request);
    rv = tl_call_run(&call);
    if (rv == CKR_OK && !tl_get_unwrap_key(&call.in, &reply))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK)
        *key = reply.object;
    tl_call_end(&call);
    return rv;
}

CK_RV C_UnwrapKey(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hUnwrappingKey,
                  CK_BYTE_PTR pWrappedKey, CK_ULONG ulWrappedKeyLen, CK_ATTRIBUTE_PTR pTemplate,
                  CK_ULONG ulAttributeCount, CK_OBJECT_HANDLE_PTR phKey) {
    struct tl_entry entry;
    bool arguments = pMechanism != NULL && tl_readable(pWrappedKey, ulWrappedKeyLen) &&
                     tl_readable_template(pTemplate, ulAttributeCount) && phKey != NULL;
    CK_RV rv = tl_enter_session(&entry, hSession, arguments);
    if (rv != CKR_OK)
        return rv;
    struct tl_unwrap_key_request request = {
        .mechanism = {.native = pMechanism},
        .unwrapping_key = hUnwrappingKey,
        .wrapped = {pWrappedKey, ulWrappedKeyLen},
        .template = {pTemplate, ulAttributeCount},
    };
    rv = unwrap_key(&entry, &request, phKey);
    tl_leave(&entry);
    return rv;
}

static CK_RV derive_key(struct tl_entry *entry, struct tl_derive_key_request *request, CK_OBJECT_HANDLE *key) {
    struct tl_call call;
    struct tl_derive_key_reply reply;
    if (!tl_entropy(&request->token, sizeof request->token))
        return CKR_FUNCTION_FAILED;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_DERIVE_KEY, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_derive_key(call.out, request);
    rv = tl_call_run(&call);
    if (rv == CKR_OK && !tl_get_derive_key(&call.in, &reply))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK)
        *key = reply.object;
    tl_call_end(&call);
    return rv;
}

CK_RV C_DeriveKey(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hBaseKey,
                  CK_ATTRIBUTE_PTR pTemplate, CK_ULONG ulAttributeCount, CK_OBJECT_HANDLE_PTR phKey) {
    struct tl_entry entry;
    bool arguments = pMechanism != NULL && tl_readable_template(pTemplate, ulAttributeCount) && phKey != NULL;
    CK_RV rv = tl_enter_session(&entry, hSession, arguments);
    if (rv != CKR_OK)
        return rv;
    struct tl_derive_key_request request = {
        .mechanism = {.native = pMechanism}, .base_key = hBaseKey, .template = {pTemplate, ulAttributeCount}};
    rv = derive_key(&entry, &request, phKey);
    tl_leave(&entry);
    return rv;
}

CK_RV C_DigestKey(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hKey) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, true);
    if (rv != CKR_OK)
        return rv;
    rv = tl_operation_digest_key(&entry, hKey);
    tl_leave(&entry);
    return rv;
}
