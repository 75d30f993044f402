// What Luna's client libraries have beyond PKCS#11 and Tidelock offers too. The names,
// numbers and layouts are Luna's, so that programs written for it find what they look for:
// the functions by their symbols.
#ifndef TIDELOCK_VENDOR_H
#define TIDELOCK_VENDOR_H

#include "tidelock/pkcs11.h"

#ifdef __cplusplus
extern "C" {
#endif

// CA_ROLE_STATE is what anybody who sees a slot may know of a role there. Its flags:
//   CAF_ROLE_STATE_INITIALIZED  the role has a PIN
//   CAF_ROLE_STATE_LOCKED_OUT   too many wrong PINs in a row
//   CAF_ROLE_STATE_PIN_CHANGE   somebody else has set the PIN, which must be changed first
typedef struct CA_ROLE_STATE {
    CK_BYTE flags;
    CK_BYTE loginAttemptsLeft; // wrong PINs until the last one has its effect
    CK_BYTE primaryAuthMech;
    CK_BYTE secondaryAuthMech;
} CA_ROLE_STATE;

typedef CA_ROLE_STATE *CA_ROLE_STATE_PTR;

// CA_InitRolePIN makes a role, in a read-write session of who is in charge of it: the
// Crypto Officer (CKU_CRYPTO_OFFICER, as C_InitPIN does) in the Partition SO's, the Crypto
// User (CKU_CRYPTO_USER) in the Crypto Officer's. A role that is there gets the PIN where
// the one in charge may reset it; otherwise CKR_ACTION_PROHIBITED, and nothing changes.
// In another session: CKR_USER_NOT_LOGGED_IN, CKR_SESSION_READ_ONLY.
TIDELOCK_API CK_RV CA_InitRolePIN(CK_SESSION_HANDLE hSession, CK_USER_TYPE userType, CK_CHAR_PTR pPin,
                                  CK_ULONG ulPinLen);

// CA_ResetPIN gives the Crypto Officer a new PIN and takes a lock away, in the Partition
// SO's session, where HSM policy 15 allows it. CKR_USER_PIN_NOT_INITIALIZED when there is
// no Crypto Officer; otherwise the codes of CA_InitRolePIN.
TIDELOCK_API CK_RV CA_ResetPIN(CK_SESSION_HANDLE hSession, CK_CHAR_PTR pPin, CK_ULONG ulPinLen);

// CA_RoleStateGet tells the state of a role; it needs no session. CKR_SLOT_ID_INVALID,
// CKR_USER_TYPE_INVALID when the slot has no such role.
TIDELOCK_API CK_RV CA_RoleStateGet(CK_SLOT_ID slotID, CK_USER_TYPE userType, CA_ROLE_STATE_PTR pRoleState);

#ifdef __cplusplus
}
#endif

#endif
