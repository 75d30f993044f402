// C_GenerateKey, C_GenerateKeyPair.
#include "call.h"
#include "entropy.h"

static CK_RV generate_key(struct tl_entry *entry, const CK_MECHANISM *mechanism, struct tl_template template,
                          CK_OBJECT_HANDLE *key) {
    struct tl_call call;
    struct tl_generate_key_request request = {.mechanism = {.native = mechanism}, .template = template};
    struct tl_generate_key_reply reply;
    if (!tl_entropy(&request.token, sizeof request.token))
        return CKR_FUNCTION_FAILED;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_GENERATE_KEY, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_generate_key(call.out, &request);
    rv = tl_call_run(&call);
    if (rv == CKR_OK && !tl_get_generate_key(&call.in, &reply))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK)
        *key = reply.object;
    tl_call_end(&call);
    return rv;
}

CK_RV C_GenerateKey(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_ATTRIBUTE_PTR pTemplate,
                    CK_ULONG ulCount, CK_OBJECT_HANDLE_PTR phKey) {
    struct tl_entry entry;
    bool arguments = pMechanism != NULL && tl_readable_template(pTemplate, ulCount) && phKey != NULL;
    CK_RV rv = tl_enter_session(&entry, hSession, arguments);
    if (rv != CKR_OK)
        return rv;
    rv = generate_key(&entry, pMechanism, (struct tl_template){pTemplate, ulCount}, phKey);
    tl_leave(&entry);
    return rv;
}

static CK_RV generate_pair(struct tl_entry *entry, struct tl_generate_key_pair_request *request,
                           CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key) {
    struct tl_call call;
    struct tl_generate_key_pair_reply reply;
    if (!tl_entropy(&request->token, sizeof request->token))
        return CKR_FUNCTION_FAILED;
    CK_RV rv = tl_call_begin(&call, entry->state, entry->session, TL_CALL_GENERATE_KEY_PAIR, TL_REPEAT);
    if (rv != CKR_OK)
        return rv;
    tl_put_generate_key_pair(call.out, request);
    rv = tl_call_run(&call);
    if (rv == CKR_OK && !tl_get_generate_key_pair(&call.in, &reply))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK) {
        *public_key = reply.public_key;
        *private_key = reply.private_key;
    }
    tl_call_end(&call);
    return rv;
}

CK_RV C_GenerateKeyPair(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_ATTRIBUTE_PTR pPublicKeyTemplate,
                        CK_ULONG ulPublicKeyAttributeCount, CK_ATTRIBUTE_PTR pPrivateKeyTemplate,
                        CK_ULONG ulPrivateKeyAttributeCount, CK_OBJECT_HANDLE_PTR phPublicKey,
                        CK_OBJECT_HANDLE_PTR phPrivateKey) {
    struct tl_entry entry;
    bool arguments = pMechanism != NULL && tl_readable_template(pPublicKeyTemplate, ulPublicKeyAttributeCount) &&
                     tl_readable_template(pPrivateKeyTemplate, ulPrivateKeyAttributeCount) && phPublicKey != NULL &&
                     phPrivateKey != NULL;
    CK_RV rv = tl_enter_session(&entry, hSession, arguments);
    if (rv != CKR_OK)
        return rv;
    struct tl_generate_key_pair_request request = {
        .mechanism = {.native = pMechanism},
        .public_template = {pPublicKeyTemplate, ulPublicKeyAttributeCount},
        .private_template = {pPrivateKeyTemplate, ulPrivateKeyAttributeCount},
    };
    rv = generate_pair(&entry, &request, phPublicKey, phPrivateKey);
    tl_leave(&entry);
    return rv;
}
