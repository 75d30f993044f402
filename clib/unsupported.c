// The functions that this library does not offer. They are here so that the function lists
// are complete: the standard allows no empty place in them. docs/library.md says why not.
#include "state.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

#define ANSWER(code, name, ...)                                                                                        \
    CK_RV name(__VA_ARGS__) {                                                                                          \
        struct tl_entry entry;                                                                                         \
        CK_RV rv = tl_enter(&entry, true);                                                                             \
        if (rv != CKR_OK)                                                                                              \
            return rv;                                                                                                 \
        tl_leave(&entry);                                                                                              \
        return code;                                                                                                   \
    }

#define UNSUPPORTED(name, ...) ANSWER(CKR_FUNCTION_NOT_SUPPORTED, name, __VA_ARGS__)

// Functions in parallel are a memory of PKCS#11 1.0 (3.2, 5.20).
ANSWER(CKR_FUNCTION_NOT_PARALLEL, C_GetFunctionStatus, CK_SESSION_HANDLE session)
ANSWER(CKR_FUNCTION_NOT_PARALLEL, C_CancelFunction, CK_SESSION_HANDLE session)

UNSUPPORTED(C_MessageSignInit, CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hKey)
UNSUPPORTED(C_SignMessage, CK_SESSION_HANDLE hSession, CK_VOID_PTR pParameter, CK_ULONG ulParameterLen, CK_BYTE_PTR
            pData, CK_ULONG ulDataLen, CK_BYTE_PTR pSignature, CK_ULONG_PTR pulSignatureLen)
UNSUPPORTED(C_SignMessageBegin, CK_SESSION_HANDLE hSession, CK_VOID_PTR pParameter, CK_ULONG ulParameterLen)
UNSUPPORTED(C_SignMessageNext, CK_SESSION_HANDLE hSession, CK_VOID_PTR pParameter, CK_ULONG ulParameterLen,
            CK_BYTE_PTR pData, CK_ULONG ulDataLen, CK_BYTE_PTR pSignature, CK_ULONG_PTR pulSignatureLen)
UNSUPPORTED(C_MessageSignFinal, CK_SESSION_HANDLE hSession)
UNSUPPORTED(C_MessageVerifyInit, CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hKey)
UNSUPPORTED(C_VerifyMessage, CK_SESSION_HANDLE hSession, CK_VOID_PTR pParameter, CK_ULONG ulParameterLen, CK_BYTE_PTR
            pData, CK_ULONG ulDataLen, CK_BYTE_PTR pSignature, CK_ULONG ulSignatureLen)
UNSUPPORTED(C_VerifyMessageBegin, CK_SESSION_HANDLE hSession, CK_VOID_PTR pParameter, CK_ULONG ulParameterLen)
UNSUPPORTED(C_VerifyMessageNext, CK_SESSION_HANDLE hSession, CK_VOID_PTR pParameter, CK_ULONG ulParameterLen,
            CK_BYTE_PTR pData, CK_ULONG ulDataLen, CK_BYTE_PTR pSignature, CK_ULONG ulSignatureLen)
UNSUPPORTED(C_MessageVerifyFinal, CK_SESSION_HANDLE hSession)
UNSUPPORTED(C_EncapsulateKey, CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hPublicKey,
            CK_ATTRIBUTE_PTR pTemplate, CK_ULONG ulAttributeCount, CK_BYTE_PTR pCiphertext, CK_ULONG_PTR
            pulCiphertextLen, CK_OBJECT_HANDLE_PTR phKey)
UNSUPPORTED(C_DecapsulateKey, CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hPrivateKey,
            CK_ATTRIBUTE_PTR pTemplate, CK_ULONG ulAttributeCount, CK_BYTE_PTR pCiphertext, CK_ULONG ulCiphertextLen,
            CK_OBJECT_HANDLE_PTR phKey)
UNSUPPORTED(C_VerifySignatureInit, CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hKey,
            CK_BYTE_PTR pSignature, CK_ULONG ulSignatureLen)
UNSUPPORTED(C_VerifySignature, CK_SESSION_HANDLE hSession, CK_BYTE_PTR pData, CK_ULONG ulDataLen)
UNSUPPORTED(C_VerifySignatureUpdate, CK_SESSION_HANDLE hSession, CK_BYTE_PTR pPart, CK_ULONG ulPartLen)
UNSUPPORTED(C_VerifySignatureFinal, CK_SESSION_HANDLE hSession)
UNSUPPORTED(C_AsyncComplete, CK_SESSION_HANDLE hSession, CK_UTF8CHAR_PTR pFunctionName, CK_ASYNC_DATA_PTR pResult)
UNSUPPORTED(C_AsyncGetID, CK_SESSION_HANDLE hSession, CK_UTF8CHAR_PTR pFunctionName, CK_ULONG_PTR pulID)
UNSUPPORTED(C_AsyncJoin, CK_SESSION_HANDLE hSession, CK_UTF8CHAR_PTR pFunctionName, CK_ULONG ulID, CK_BYTE_PTR pData,
            CK_ULONG ulData)
UNSUPPORTED(C_WrapKeyAuthenticated, CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE
            hWrappingKey, CK_OBJECT_HANDLE hKey, CK_BYTE_PTR pAssociatedData, CK_ULONG ulAssociatedDataLen,
            CK_BYTE_PTR pWrappedKey, CK_ULONG_PTR pulWrappedKeyLen)
UNSUPPORTED(C_UnwrapKeyAuthenticated, CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE
            hUnwrappingKey, CK_BYTE_PTR pWrappedKey, CK_ULONG ulWrappedKeyLen, CK_ATTRIBUTE_PTR pTemplate, CK_ULONG
            ulAttributeCount, CK_BYTE_PTR pAssociatedData, CK_ULONG ulAssociatedDataLen, CK_OBJECT_HANDLE_PTR phKey)
