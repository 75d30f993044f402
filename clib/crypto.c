// The C_ functions of the cryptographic operations: argument checks over the one core in
// operation.c.
#include "operation.h"
#include "tidelock/vendor.h"

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

// once, update and final with an output.

static CK_RV once(CK_SESSION_HANDLE session, enum tl_function function, const CK_BYTE *input, CK_ULONG length,
                  CK_BYTE *output, CK_ULONG *output_length) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_operation(&entry, session, function, tl_readable(input, length) && output_length != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = tl_operation_once(&entry, function, (struct tl_bytes){input, length}, (struct tl_bytes){0},
                           (struct tl_room){output, output_length});
    tl_leave(&entry);
    return rv;
}

static CK_RV update(CK_SESSION_HANDLE session, enum tl_function function, const CK_BYTE *part, CK_ULONG length,
                    CK_BYTE *output, CK_ULONG *output_length) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_operation(&entry, session, function, tl_readable(part, length) && output_length != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = tl_operation_update(&entry, function, (struct tl_bytes){part, length},
                             (struct tl_room){output, output_length});
    tl_leave(&entry);
    return rv;
}

static CK_RV final(CK_SESSION_HANDLE session, enum tl_function function, CK_BYTE *output, CK_ULONG *output_length) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_operation(&entry, session, function, output_length != NULL);
    if (rv != CKR_OK)
        return rv;
    rv = tl_operation_final(&entry, function, (struct tl_bytes){0}, (struct tl_room){output, output_length});
    tl_leave(&entry);
    return rv;
}

// absorb is an update without output.
static CK_RV absorb(CK_SESSION_HANDLE session, enum tl_function function, const CK_BYTE *part, CK_ULONG length) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_operation(&entry, session, function, tl_readable(part, length));
    if (rv != CKR_OK)
        return rv;
    rv = tl_operation_update(&entry, function, (struct tl_bytes){part, length}, (struct tl_room){0});
    tl_leave(&entry);
    return rv;
}

CK_RV C_EncryptInit(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hKey) {
    return init(hSession, TL_ENCRYPT, pMechanism, hKey);
}

CK_RV C_Encrypt(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pData, CK_ULONG ulDataLen, CK_BYTE_PTR pEncryptedData,
                CK_ULONG_PTR pulEncryptedDataLen) {
    return once(hSession, TL_ENCRYPT, pData, ulDataLen, pEncryptedData, pulEncryptedDataLen);
}

CK_RV C_EncryptUpdate(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pPart, CK_ULONG ulPartLen, CK_BYTE_PTR pEncryptedPart,
                      CK_ULONG_PTR pulEncryptedPartLen) {
    return update(hSession, TL_ENCRYPT, pPart, ulPartLen, pEncryptedPart, pulEncryptedPartLen);
}

CK_RV C_EncryptFinal(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pLastEncryptedPart,
                     CK_ULONG_PTR pulLastEncryptedPartLen) {
    return final(hSession, TL_ENCRYPT, pLastEncryptedPart, pulLastEncryptedPartLen);
}

CK_RV C_DecryptInit(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hKey) {
    return init(hSession, TL_DECRYPT, pMechanism, hKey);
}

CK_RV C_Decrypt(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pEncryptedData, CK_ULONG ulEncryptedDataLen, CK_BYTE_PTR pData,
                CK_ULONG_PTR pulDataLen) {
    return once(hSession, TL_DECRYPT, pEncryptedData, ulEncryptedDataLen, pData, pulDataLen);
}

CK_RV C_DecryptUpdate(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pEncryptedPart, CK_ULONG ulEncryptedPartLen,
                      CK_BYTE_PTR pPart, CK_ULONG_PTR pulPartLen) {
    return update(hSession, TL_DECRYPT, pEncryptedPart, ulEncryptedPartLen, pPart, pulPartLen);
}

CK_RV C_DecryptFinal(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pLastPart, CK_ULONG_PTR pulLastPartLen) {
    return final(hSession, TL_DECRYPT, pLastPart, pulLastPartLen);
}

CK_RV C_DigestInit(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism) {
    return init(hSession, TL_DIGEST, pMechanism, CK_INVALID_HANDLE);
}

CK_RV C_Digest(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pData, CK_ULONG ulDataLen, CK_BYTE_PTR pDigest,
               CK_ULONG_PTR pulDigestLen) {
    return once(hSession, TL_DIGEST, pData, ulDataLen, pDigest, pulDigestLen);
}

CK_RV C_DigestUpdate(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pPart, CK_ULONG ulPartLen) {
    return absorb(hSession, TL_DIGEST, pPart, ulPartLen);
}

CK_RV C_DigestFinal(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pDigest, CK_ULONG_PTR pulDigestLen) {
    return final(hSession, TL_DIGEST, pDigest, pulDigestLen);
}

CK_RV C_SignInit(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hKey) {
    return init(hSession, TL_SIGN, pMechanism, hKey);
}

CK_RV C_Sign(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pData, CK_ULONG ulDataLen, CK_BYTE_PTR pSignature,
             CK_ULONG_PTR pulSignatureLen) {
    return once(hSession, TL_SIGN, pData, ulDataLen, pSignature, pulSignatureLen);
}

CK_RV C_SignUpdate(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pPart, CK_ULONG ulPartLen) {
    return absorb(hSession, TL_SIGN, pPart, ulPartLen);
}

CK_RV C_SignFinal(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pSignature, CK_ULONG_PTR pulSignatureLen) {
    return final(hSession, TL_SIGN, pSignature, pulSignatureLen);
}

CK_RV C_VerifyInit(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hKey) {
    return init(hSession, TL_VERIFY, pMechanism, hKey);
}

CK_RV C_Verify(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pData, CK_ULONG ulDataLen, CK_BYTE_PTR pSignature,
               CK_ULONG ulSignatureLen) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_operation(&entry, hSession, TL_VERIFY,
                                  tl_readable(pData, ulDataLen) && tl_readable(pSignature, ulSignatureLen));
    if (rv != CKR_OK)
        return rv;
    rv = tl_operation_once(&entry, TL_VERIFY, (struct tl_bytes){pData, ulDataLen},
                           (struct tl_bytes){pSignature, ulSignatureLen}, (struct tl_room){0});
    tl_leave(&entry);
    return rv;
}

CK_RV C_VerifyUpdate(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pPart, CK_ULONG ulPartLen) {
    return absorb(hSession, TL_VERIFY, pPart, ulPartLen);
}

CK_RV C_VerifyFinal(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pSignature, CK_ULONG ulSignatureLen) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_operation(&entry, hSession, TL_VERIFY, tl_readable(pSignature, ulSignatureLen));
    if (rv != CKR_OK)
        return rv;
    rv = tl_operation_final(&entry, TL_VERIFY, (struct tl_bytes){pSignature, ulSignatureLen}, (struct tl_room){0});
    tl_leave(&entry);
    return rv;
}

// Signatures from which the data is recovered: input and output are data and signature, or
// the other way round.

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

CK_RV C_SessionCancel(CK_SESSION_HANDLE hSession, CK_FLAGS flags) {
    struct tl_entry entry;
    CK_RV rv = tl_enter_session(&entry, hSession, true);
    if (rv != CKR_OK)
        return rv;
    rv = tl_operation_cancel(&entry, flags);
    tl_leave(&entry);
    return rv;
}

CK_RV CA_SessionCancel(CK_SESSION_HANDLE hSession, CK_FLAGS flags) { return C_SessionCancel(hSession, flags); }
