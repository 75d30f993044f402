// The functions that take a part for two operations at once (PKCS#11 3.2, 5.14). Output may be
// put over the part: the server has seen all of that by then.
#include "operation.h"

static CK_RV both(CK_SESSION_HANDLE session, enum tl_function function, enum tl_function other, const CK_BYTE *part,
                  CK_ULONG length, CK_BYTE *output, CK_ULONG *output_length) {
    struct tl_entry entry;
    bool arguments = tl_readable(part, length) && output_length != NULL;
    CK_RV rv = tl_enter_operation(&entry, session, function, arguments);
    if (rv == CKR_ARGUMENTS_BAD)
        (void)tl_enter_operation(&entry, session, other, false);
    if (rv != CKR_OK)
        return rv;
    rv = tl_operation_update_both(&entry, function, other, (struct tl_bytes){part, length},
                                  (struct tl_room){output, output_length});
    tl_leave(&entry);
    return rv;
}

CK_RV C_DigestEncryptUpdate(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pPart, CK_ULONG ulPartLen,
                            CK_BYTE_PTR pEncryptedPart, CK_ULONG_PTR pulEncryptedPartLen) {
    return both(hSession, TL_ENCRYPT, TL_DIGEST, pPart, ulPartLen, pEncryptedPart, pulEncryptedPartLen);
}

CK_RV C_DecryptDigestUpdate(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pEncryptedPart, CK_ULONG ulEncryptedPartLen,
                            CK_BYTE_PTR pPart, CK_ULONG_PTR pulPartLen) {
    return both(hSession, TL_DECRYPT, TL_DIGEST, pEncryptedPart, ulEncryptedPartLen, pPart, pulPartLen);
}

CK_RV C_SignEncryptUpdate(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pPart, CK_ULONG ulPartLen,
                          CK_BYTE_PTR pEncryptedPart, CK_ULONG_PTR pulEncryptedPartLen) {
    return both(hSession, TL_ENCRYPT, TL_SIGN, pPart, ulPartLen, pEncryptedPart, pulEncryptedPartLen);
}

CK_RV C_DecryptVerifyUpdate(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pEncryptedPart, CK_ULONG ulEncryptedPartLen,
                            CK_BYTE_PTR pPart, CK_ULONG_PTR pulPartLen) {
    return both(hSession, TL_DECRYPT, TL_VERIFY, pEncryptedPart, ulEncryptedPartLen, pPart, pulPartLen);
}
