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

// CA_InitSlotRolePIN is CA_InitRolePIN in the session's own slot. CKR_SLOT_ID_INVALID for
// another.
TIDELOCK_API CK_RV CA_InitSlotRolePIN(CK_SESSION_HANDLE hSession, CK_SLOT_ID slotID, CK_USER_TYPE userType,
                                      CK_CHAR_PTR pPin, CK_ULONG ulPinLen);

// CA_ResetPIN gives the Crypto Officer a new PIN and takes a lock away, in the Partition
// SO's session, where HSM policy 15 allows it. CKR_USER_PIN_NOT_INITIALIZED when there is
// no Crypto Officer; otherwise the codes of CA_InitRolePIN.
TIDELOCK_API CK_RV CA_ResetPIN(CK_SESSION_HANDLE hSession, CK_CHAR_PTR pPin, CK_ULONG ulPinLen);

// CA_RoleStateGet tells the state of a role; it needs no session. CKR_SLOT_ID_INVALID,
// CKR_USER_TYPE_INVALID when the slot has no such role.
TIDELOCK_API CK_RV CA_RoleStateGet(CK_SLOT_ID slotID, CK_USER_TYPE userType, CA_ROLE_STATE_PTR pRoleState);

// Per-key authorization. A private or secret key that was made with CKA_AUTH_DATA, 8 to
// 255 bytes, is used only in a session that has given that data; the operation
// otherwise answers CKR_KEY_NOT_AUTHORIZED, not its Init. Wrong data counts: at the
// limit, the second byte of CKA_KEY_STATUS, the key is locked (CKR_KEY_NOT_ACTIVE).
//
// CA_AuthorizeKey gives the data, in a session of the Crypto Officer or the Limited Crypto
// Officer (CKR_USER_NOT_AUTHORIZED). CKR_AUTH_DATA_INCORRECT,
// CKR_AUTH_DATA_INCORRECT_AND_LIMIT_REACHED, CKR_KEY_CANNOT_BE_AUTHORIZED for a key without
// data.
TIDELOCK_API CK_RV CA_AuthorizeKey(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_UTF8CHAR_PTR pAuthData,
                                   CK_ULONG ulAuthDataLen);

// CA_SetAuthorizationData changes the data of a key, for who knows the old; it counts as
// CA_AuthorizeKey does and ends every authorization. The Crypto Officer gives a key that has
// none its first, with pOldAuthData NULL and ulOldAuthDataLen 0. CKR_AUTH_DATA_TOO_SMALL,
// CKR_AUTH_DATA_TOO_LARGE, CKR_AUTH_DATA_NOT_ALLOWED where the partition has no such data.
TIDELOCK_API CK_RV CA_SetAuthorizationData(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject,
                                           CK_UTF8CHAR_PTR pOldAuthData, CK_ULONG ulOldAuthDataLen,
                                           CK_UTF8CHAR_PTR pNewAuthData, CK_ULONG ulNewAuthDataLen);

// CA_ResetAuthorizationData is the Crypto Officer's, without the old data; it unlocks the key.
// CKR_ASSIGNED_KEY_CANNOT_BE_RESET.
TIDELOCK_API CK_RV CA_ResetAuthorizationData(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject,
                                             CK_UTF8CHAR_PTR pAuthData, CK_ULONG ulAuthDataLen);

// CA_AssignKey is the Crypto Officer's (CKR_ROLE_CANNOT_MAKE_KEYS_ASSIGNED) and makes a key
// its owner's alone, for good. The key has data (CKR_ASSIGNED_KEY_REQUIRES_AUTH_DATA), is
// sensitive and private, and neither modifiable nor extractable
// (CKR_ASSIGNED_KEY_FAILED_ATTRIBUTE_DEPENDENCIES).
TIDELOCK_API CK_RV CA_AssignKey(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject);

// CA_IncrementFailedAuthCount is the Crypto Officer's and counts wrong data that was given
// elsewhere.
TIDELOCK_API CK_RV CA_IncrementFailedAuthCount(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject);

// CA_SessionCancel is C_SessionCancel.
TIDELOCK_API CK_RV CA_SessionCancel(CK_SESSION_HANDLE hSession, CK_FLAGS flags);

// CA_GetFirmwareVersion tells the firmware's level of the HSM that has a slot, in three
// numbers; it needs no session. CKR_SLOT_ID_INVALID.
TIDELOCK_API CK_RV CA_GetFirmwareVersion(CK_SLOT_ID slotID, CK_ULONG_PTR pulMajor, CK_ULONG_PTR pulMinor,
                                         CK_ULONG_PTR pulSubMinor);

// A container is a partition by a number, here that of its slot: CA_GetUserContainerNumber
// tells it. Another number beside the slot gives CKR_CONTAINER_HANDLE_INVALID.
TIDELOCK_API CK_RV CA_GetUserContainerNumber(CK_SLOT_ID slotID, CK_ULONG_PTR pulContainer);

// CA_GetContainerName gives a partition's label, without a zero byte; *pulNameLen is the
// room, then the length in bytes, and pName is NULL to ask for the length only.
TIDELOCK_API CK_RV CA_GetContainerName(CK_SLOT_ID slotID, CK_ULONG ulContainer, CK_BYTE_PTR pName,
                                       CK_ULONG_PTR pulNameLen);

// A partition's room, in bytes, and its token objects. Total is used and free; the
// overhead lies outside. No session is needed.
TIDELOCK_API CK_RV CA_GetContainerStorageInformation(CK_SLOT_ID slotID, CK_ULONG ulContainer, CK_ULONG_PTR pulOverhead,
                                                     CK_ULONG_PTR pulTotal, CK_ULONG_PTR pulUsed, CK_ULONG_PTR pulFree,
                                                     CK_ULONG_PTR pulObjectCount);
TIDELOCK_API CK_RV CA_GetTokenStorageInformation(CK_SLOT_ID slotID, CK_ULONG_PTR pulOverhead, CK_ULONG_PTR pulTotal,
                                                 CK_ULONG_PTR pulUsed, CK_ULONG_PTR pulFree,
                                                 CK_ULONG_PTR pulObjectCount);

// Capabilities, which a firmware level gives, and policies, which an officer has set below
// them (docs/policies.md). Reading needs no session.
//
// A set is two lists of equal length, numbers and values. Each count is in elements: the
// room, then the length. A list is NULL to ask for its length only. CKR_BUFFER_TOO_SMALL
// where one of them is too short: then none is written.
TIDELOCK_API CK_RV CA_GetHSMCapabilitySet(CK_SLOT_ID slotID, CK_ULONG_PTR pulIds, CK_ULONG_PTR pulIdCount,
                                          CK_ULONG_PTR pulValues, CK_ULONG_PTR pulValueCount);
TIDELOCK_API CK_RV CA_GetHSMPolicySet(CK_SLOT_ID slotID, CK_ULONG_PTR pulIds, CK_ULONG_PTR pulIdCount,
                                      CK_ULONG_PTR pulValues, CK_ULONG_PTR pulValueCount);
TIDELOCK_API CK_RV CA_GetTokenCapabilities(CK_SLOT_ID slotID, CK_ULONG_PTR pulIds, CK_ULONG_PTR pulIdCount,
                                           CK_ULONG_PTR pulValues, CK_ULONG_PTR pulValueCount);
TIDELOCK_API CK_RV CA_GetTokenPolicies(CK_SLOT_ID slotID, CK_ULONG_PTR pulIds, CK_ULONG_PTR pulIdCount,
                                       CK_ULONG_PTR pulValues, CK_ULONG_PTR pulValueCount);
TIDELOCK_API CK_RV CA_GetContainerCapabilitySet(CK_SLOT_ID slotID, CK_ULONG ulContainer, CK_ULONG_PTR pulIds,
                                                CK_ULONG_PTR pulIdCount, CK_ULONG_PTR pulValues,
                                                CK_ULONG_PTR pulValueCount);
TIDELOCK_API CK_RV CA_GetContainerPolicySet(CK_SLOT_ID slotID, CK_ULONG ulContainer, CK_ULONG_PTR pulIds,
                                            CK_ULONG_PTR pulIdCount, CK_ULONG_PTR pulValues,
                                            CK_ULONG_PTR pulValueCount);

// One number's value. CKR_POLICY_ID_INVALID when the level does not have it.
TIDELOCK_API CK_RV CA_GetHSMCapabilitySetting(CK_SLOT_ID slotID, CK_ULONG ulId, CK_ULONG_PTR pulValue);
TIDELOCK_API CK_RV CA_GetHSMPolicySetting(CK_SLOT_ID slotID, CK_ULONG ulId, CK_ULONG_PTR pulValue);
TIDELOCK_API CK_RV CA_GetContainerCapabilitySetting(CK_SLOT_ID slotID, CK_ULONG ulContainer, CK_ULONG ulId,
                                                    CK_ULONG_PTR pulValue);
TIDELOCK_API CK_RV CA_GetContainerPolicySetting(CK_SLOT_ID slotID, CK_ULONG ulContainer, CK_ULONG ulId,
                                                CK_ULONG_PTR pulValue);

// Changes, each whole or not at all: of the HSM's policies in the HSM SO's session on the
// administration's slot, of a partition's in its Partition SO's, which the slot or the
// container names (CKR_SLOT_ID_INVALID, CKR_CONTAINER_HANDLE_INVALID for another). A
// change that erases is refused with CKR_CONFIG_CHANGE_ILLEGAL, and changes nothing. The
// other codes are in docs/policies.md.
TIDELOCK_API CK_RV CA_SetHSMPolicy(CK_SESSION_HANDLE hSession, CK_ULONG ulId, CK_ULONG ulValue);
TIDELOCK_API CK_RV CA_SetHSMPolicies(CK_SESSION_HANDLE hSession, CK_ULONG ulCount, CK_ULONG_PTR pulIds,
                                     CK_ULONG_PTR pulValues);
TIDELOCK_API CK_RV CA_SetTokenPolicies(CK_SESSION_HANDLE hSession, CK_SLOT_ID slotID, CK_ULONG ulCount,
                                       CK_ULONG_PTR pulIds, CK_ULONG_PTR pulValues);
TIDELOCK_API CK_RV CA_SetContainerPolicy(CK_SESSION_HANDLE hSession, CK_ULONG ulContainer, CK_ULONG ulId,
                                         CK_ULONG ulValue);
TIDELOCK_API CK_RV CA_SetContainerPolicies(CK_SESSION_HANDLE hSession, CK_ULONG ulContainer, CK_ULONG ulCount,
                                           CK_ULONG_PTR pulIds, CK_ULONG_PTR pulValues);

// The same changes of a caller who knows that they erase. Those of containers are not
// Luna's: its own have no such form.
TIDELOCK_API CK_RV CA_SetDestructiveHSMPolicy(CK_SESSION_HANDLE hSession, CK_ULONG ulId, CK_ULONG ulValue);
TIDELOCK_API CK_RV CA_SetDestructiveHSMPolicies(CK_SESSION_HANDLE hSession, CK_ULONG ulCount, CK_ULONG_PTR pulIds,
                                                CK_ULONG_PTR pulValues);
TIDELOCK_API CK_RV CA_SetDestructiveContainerPolicy(CK_SESSION_HANDLE hSession, CK_ULONG ulContainer, CK_ULONG ulId,
                                                    CK_ULONG ulValue);
TIDELOCK_API CK_RV CA_SetDestructiveContainerPolicies(CK_SESSION_HANDLE hSession, CK_ULONG ulContainer,
                                                      CK_ULONG ulCount, CK_ULONG_PTR pulIds, CK_ULONG_PTR pulValues);

// CA_GetConfigurationElementDescription tells what a number of a partition's
// (ulIsContainer not 0) or of the HSM's means: how many bits its values take, whether a
// change may erase, whether there is no changing it (as there is none of a capability),
// and its name, with a zero byte that *pulTextLen counts: the room, then the length. pText
// is NULL to ask for the length only. CKR_POLICY_ID_INVALID, CKR_BUFFER_TOO_SMALL.
TIDELOCK_API CK_RV CA_GetConfigurationElementDescription(CK_SLOT_ID slotID, CK_ULONG ulIsContainer,
                                                         CK_ULONG ulIsCapability, CK_ULONG ulId, CK_ULONG_PTR pulBits,
                                                         CK_ULONG_PTR pulDestructive, CK_ULONG_PTR pulWriteRestricted,
                                                         CK_CHAR_PTR pText, CK_ULONG_PTR pulTextLen);

// CA_LogExternal writes a text of 1 to 255 bytes (CKR_DATA_LEN_RANGE) into the audit log,
// under the name of the session's role (CKR_USER_NOT_LOGGED_IN), if the Auditor wants such
// texts; if he does not, nothing is written. Otherwise the text is on the disk when it
// returns. CKR_SLOT_ID_INVALID for a slot that is not the session's.
TIDELOCK_API CK_RV CA_LogExternal(CK_SLOT_ID slotID, CK_SESSION_HANDLE hSession, CK_CHAR_PTR pMessage,
                                  CK_ULONG ulMessageLen);

#ifdef __cplusplus
}
#endif

#endif
