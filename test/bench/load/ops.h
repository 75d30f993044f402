// The operations that the load tool can repeat, and the keys that they use.
#ifndef OPS_H
#define OPS_H

#include <stdint.h>
#include <tidelock/pkcs11.h>

// One thread's session and what its operation needs from call to call.
struct lane {
    const CK_FUNCTION_LIST *p11;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    uint64_t count;
    uint8_t in[1024];
    uint8_t out[1024 + 16];
};

struct op {
    const char *name;
    // The mechanism that the module must have; not looked at without generate.
    CK_MECHANISM_TYPE mechanism;
    // The class of the key, which carries name as its label.
    CK_OBJECT_CLASS class;
    // Makes the key; NULL for an operation without a key.
    CK_RV (*generate)(const struct op *op, const CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session);
    CK_RV (*run)(const struct op *op, struct lane *lane);
    // Bytes that the operation works on.
    CK_ULONG length;
    // CKA_EC_PARAMS in DER, for keys on curves.
    const uint8_t *curve;
    CK_ULONG curve_length;
};

// All operations; the last has no name.
extern const struct op ops[];

const struct op *op_named(const char *name);

// Finds the key of op: CKR_OK with *key 0 when there is none.
CK_RV op_find_key(const struct op *op, const CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *key);

#endif
