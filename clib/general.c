// C_Initialize, C_Finalize, C_GetInfo.
#include "state.h"
#include "text.h"
#include "version.h"

// accepts checks the arguments of C_Initialize (PKCS#11 3.2, 5.4.1).
static CK_RV accepts(const CK_C_INITIALIZE_ARGS *arguments) {
    if (arguments == NULL)
        return CKR_OK;
    int callbacks = (arguments->CreateMutex != NULL) + (arguments->DestroyMutex != NULL) +
                    (arguments->LockMutex != NULL) + (arguments->UnlockMutex != NULL);
    if (arguments->pReserved != NULL || (callbacks != 0 && callbacks != 4))
        return CKR_ARGUMENTS_BAD;
    // Only the operating system's locks work here: the application's own would have
    // to survive a fork in the middle of a call.
    if (callbacks == 4 && (arguments->flags & CKF_OS_LOCKING_OK) == 0)
        return CKR_CANT_LOCK;
    return CKR_OK;
}

CK_RV C_Initialize(CK_VOID_PTR pInitArgs) {
    CK_RV rv = accepts(pInitArgs);
    return rv == CKR_OK ? tl_state_open() : rv;
}

CK_RV C_Finalize(CK_VOID_PTR pReserved) {
    struct tl_entry entry;
    CK_RV rv = tl_enter(&entry, pReserved == NULL);
    if (rv != CKR_OK)
        return rv;
    rv = tl_state_close(entry.state);
    tl_leave(&entry);
    return rv;
}

#define TEXT(literal) ((struct tl_bytes){(const uint8_t *)(literal), sizeof(literal) - 1})

CK_RV C_GetInfo(CK_INFO_PTR pInfo) {
    struct tl_entry entry;
    CK_RV rv = tl_enter(&entry, pInfo != NULL);
    if (rv != CKR_OK)
        return rv;
    *pInfo = (CK_INFO){
        .cryptokiVersion = {CRYPTOKI_VERSION_MAJOR, CRYPTOKI_VERSION_MINOR},
        .libraryVersion = {TL_VERSION_MAJOR, TL_VERSION_MINOR},
    };
    tl_pad(pInfo->manufacturerID, sizeof pInfo->manufacturerID, TEXT("Tidelock"));
    tl_pad(pInfo->libraryDescription, sizeof pInfo->libraryDescription, TEXT("Tidelock PKCS#11 client"));
    tl_leave(&entry);
    return CKR_OK;
}
