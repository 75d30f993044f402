// Signatures from which the data is recovered (PKCS#11 3.2, 5.13 and 5.15): operations of one
// part, whose input and output are data and signature, or the other way round.
#include "operation.h"

static CK_RV init(CK_SESSION_HANDLE session, enum tl_function function, const CK_MECHANISM *mechanism,
                  CK_OBJECT_HANDLE key) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, session, true);
    if (rv != CKR_OK)
        return rv;
    rv = tl_operation_init(&entry, function, mechanism, key);
    tl_leave(&entry);
    return rv;
}

static CK_RV once(CK_SESSION_HANDLE session, enum tl_function function, const CK_BYTE *input, CK_ULONG length,
                  CK_BYTE *output, CK_ULONG *output_length) {
    struct tl_entry entry;
    bool arguments = (input != NULL || length == 0) && output_length != NULL;
    CK_RV rv = tl_enter_operation(&entry, session, function, arguments);
    if (rv != CKR_OK)
        return rv;
    rv = tl_operation_once(&entry, function, (struct tl_bytes){input, length}, (struct tl_bytes){0},
                           (struct tl_room){output, output_length});
    tl_leave(&entry);
    return rv;
}

CK_RV C_SignRecoverInit(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hKey) {
    return init(hSession, TL_SIGN_RECOVER, pMechanism, hKey);
}

CK_RV C_SignRecover(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pData, CK_ULONG ulDataLen, CK_BYTE_PTR pSignature,
                    CK_ULONG_PTR pulSignatureLen) {
    return once(hSession, TL_SIGN_RECOVER, pData, ulDataLen, pSignature, pulSignatureLen);
}

CK_RV C_VerifyRecoverInit(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hKey) {
    return init(hSession, TL_VERIFY_RECOVER, pMechanism, hKey);
}

CK_RV C_VerifyRecover(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pSignature, CK_ULONG ulSignatureLen, CK_BYTE_PTR pData,
                      CK_ULONG_PTR pulDataLen) {
    return once(hSession, TL_VERIFY_RECOVER, pSignature, ulSignatureLen, pData, pulDataLen);
}
