// Messages of C_MessageEncryptInit and C_MessageDecryptInit, whole ones and in parts.
#ifndef TIDELOCK_MESSAGE_H
#define TIDELOCK_MESSAGE_H

#include "state.h"

// tl_message_parameter reads the parameter of a message, whose pointers are good for what
// it says then, or answers CKR_MECHANISM_PARAM_INVALID.
CK_RV tl_message_parameter(const void *parameter, CK_ULONG length, CK_GCM_MESSAGE_PARAMS *p);

// tl_message_number is what the wire calls a message in parts of TL_ENCRYPT or TL_DECRYPT.
enum tl_function tl_message_number(enum tl_function function);

// tl_message_end ends the messages of a function, and the one that has begun. The entry's
// session is locked. CKR_OPERATION_NOT_INITIALIZED when there are none.
CK_RV tl_message_end(struct tl_entry *entry, enum tl_function function);

#endif
