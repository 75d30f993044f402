// Encrypting, decrypting, digesting, signing and verifying, with recovery or without, are one
// thing here: an operation that Init begins and that ends with a one-part call or with Final.
//
// An Init for which there is a permit is only noted (TL_PENDING). The one-part call
// that follows then carries it, so that both take one round trip; anything else
// sends it first.
#ifndef TIDELOCK_OPERATION_H
#define TIDELOCK_OPERATION_H

#include "state.h"

// tl_room is where a caller wants output: as in PKCS#11 3.2, 5.2, *length is the
// room, then the length of the output, and data is NULL to ask for the length only.
// A function without output has length NULL.
struct tl_room {
    CK_BYTE *data;
    CK_ULONG *length;
};

// TL_ASK as a capacity asks for the length of an output only.
#define TL_ASK UINT64_MAX

// tl_capacity is the room's size on the wire: in bytes, or TL_ASK.
static inline uint64_t tl_capacity(struct tl_room room) {
    if (room.length == NULL)
        return 0;
    if (room.data == NULL)
        return TL_ASK;
    return *room.length == TL_ASK ? TL_ASK - 1 : *room.length;
}

// All of these but the last lock the session of the entry. The codes are the server's, and
//   CKR_OPERATION_ACTIVE, CKR_OPERATION_NOT_INITIALIZED
//   CKR_BUFFER_TOO_SMALL  room->length tells how much is needed; the operation stays
//   CKR_DATA_LEN_RANGE    one-part data beyond a frame, of a mechanism without parts
//   CKR_DEVICE_ERROR      the server was lost, or spoke nonsense
// Every code but CKR_BUFFER_TOO_SMALL ends the operation.

// tl_enter_operation is tl_enter_session for a call that goes on with an operation: bad
// arguments end it.
CK_RV tl_enter_operation(struct tl_entry *entry, CK_SESSION_HANDLE handle, enum tl_function function, bool arguments);

// tl_operation_init begins an operation, or ends one where mechanism is NULL.
CK_RV tl_operation_init(struct tl_entry *entry, enum tl_function function, const CK_MECHANISM *mechanism,
                        CK_OBJECT_HANDLE key);

// tl_operation_once is the one-part call; signature is empty but for TL_VERIFY.
CK_RV tl_operation_once(struct tl_entry *entry, enum tl_function function, struct tl_bytes data,
                        struct tl_bytes signature, struct tl_room room);

CK_RV tl_operation_update(struct tl_entry *entry, enum tl_function function, struct tl_bytes part,
                          struct tl_room room);

// tl_operation_update_both gives a part to two operations at once, in one round trip: function
// encrypts or decrypts it, and other digests, signs or verifies the plaintext. A missing
// operation leaves the other as it is; any other code but CKR_BUFFER_TOO_SMALL ends both.
CK_RV tl_operation_update_both(struct tl_entry *entry, enum tl_function function, enum tl_function other,
                               struct tl_bytes part, struct tl_room room);

// tl_operation_digest_key gives a key's value to the active digest as one of its parts.
CK_RV tl_operation_digest_key(struct tl_entry *entry, CK_OBJECT_HANDLE key);

CK_RV tl_operation_final(struct tl_entry *entry, enum tl_function function, struct tl_bytes signature,
                         struct tl_room room);

// tl_operation_cancel ends the operations of the functions whose CKF_ flags are set.
CK_RV tl_operation_cancel(struct tl_entry *entry, CK_FLAGS flags);

// tl_operation_flush sends every Init that is pending. The session of the entry is locked.
CK_RV tl_operation_flush(struct tl_entry *entry);

#endif
