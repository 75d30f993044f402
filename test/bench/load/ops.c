#include "ops.h"

#include <stddef.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define ATTRIBUTE(type, variable)                                                                                      \
    { (type), &(variable), sizeof(variable) }

static CK_BBOOL yes = CK_TRUE;

// The standard's template takes its strings without const, though it only reads them.
static CK_ATTRIBUTE label_of(const struct op *op) {
    return (CK_ATTRIBUTE){CKA_LABEL, (void *)(uintptr_t)op->name, strlen(op->name)};
}

static CK_RV generate_secret(const struct op *op, const CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session) {
    CK_MECHANISM_TYPE type = op->mechanism == CKM_AES_GCM ? CKM_AES_KEY_GEN : CKM_GENERIC_SECRET_KEY_GEN;
    CK_ATTRIBUTE_TYPE use = op->mechanism == CKM_AES_GCM ? CKA_ENCRYPT : CKA_SIGN;
    CK_MECHANISM mechanism = {type, NULL, 0};
    CK_ULONG length = 32;
    CK_ATTRIBUTE template[] = {
        ATTRIBUTE(CKA_TOKEN, yes), ATTRIBUTE(CKA_PRIVATE, yes),      ATTRIBUTE(CKA_SENSITIVE, yes),
        ATTRIBUTE(use, yes),       ATTRIBUTE(CKA_VALUE_LEN, length), label_of(op),
    };
    CK_OBJECT_HANDLE key;
    return p11->C_GenerateKey(session, &mechanism, template, LENGTH(template), &key);
}

static CK_RV generate_pair(const struct op *op, const CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session,
                           CK_MECHANISM_TYPE type, CK_ATTRIBUTE what) {
    CK_MECHANISM mechanism = {type, NULL, 0};
    CK_ATTRIBUTE public[] = {ATTRIBUTE(CKA_TOKEN, yes), ATTRIBUTE(CKA_VERIFY, yes), label_of(op), what};
    CK_ATTRIBUTE private[] = {
        ATTRIBUTE(CKA_TOKEN, yes),
        ATTRIBUTE(CKA_PRIVATE, yes),
        ATTRIBUTE(CKA_SENSITIVE, yes),
        ATTRIBUTE(CKA_SIGN, yes),
        label_of(op),
    };
    CK_OBJECT_HANDLE made[2];
    return p11->C_GenerateKeyPair(session, &mechanism, public, LENGTH(public), private, LENGTH(private), &made[0],
                                  &made[1]);
}

static CK_RV generate_rsa(const struct op *op, const CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session) {
    CK_ULONG bits = 2048;
    return generate_pair(op, p11, session, CKM_RSA_PKCS_KEY_PAIR_GEN, (CK_ATTRIBUTE)ATTRIBUTE(CKA_MODULUS_BITS, bits));
}

static CK_RV generate_curve(const struct op *op, const CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session) {
    CK_MECHANISM_TYPE type = op->mechanism == CKM_EDDSA ? CKM_EC_EDWARDS_KEY_PAIR_GEN : CKM_EC_KEY_PAIR_GEN;
    CK_ATTRIBUTE curve = {CKA_EC_PARAMS, (void *)(uintptr_t)op->curve, op->curve_length};
    return generate_pair(op, p11, session, type, curve);
}

static CK_RV sign(const struct op *op, struct lane *lane) {
    CK_MECHANISM mechanism = {op->mechanism, NULL, 0};
    CK_ULONG length = sizeof lane->out;
    CK_RV rv = lane->p11->C_SignInit(lane->session, &mechanism, lane->key);
    if (rv != CKR_OK)
        return rv;
    return lane->p11->C_Sign(lane->session, lane->in, op->length, lane->out, &length);
}

static CK_RV encrypt_gcm(const struct op *op, struct lane *lane) {
    uint8_t iv[12] = {0};
    memcpy(iv, &lane->session, 4);
    memcpy(iv + 4, &lane->count, sizeof lane->count);
    CK_GCM_PARAMS parameter = {.pIv = iv, .ulIvLen = sizeof iv, .ulIvBits = 8 * sizeof iv, .ulTagBits = 128};
    CK_MECHANISM mechanism = {op->mechanism, &parameter, sizeof parameter};
    CK_ULONG length = sizeof lane->out;
    CK_RV rv = lane->p11->C_EncryptInit(lane->session, &mechanism, lane->key);
    if (rv != CKR_OK)
        return rv;
    return lane->p11->C_Encrypt(lane->session, lane->in, op->length, lane->out, &length);
}

static CK_RV session_info(const struct op *op, struct lane *lane) {
    (void)op;
    CK_SESSION_INFO info;
    return lane->p11->C_GetSessionInfo(lane->session, &info);
}

static CK_RV generate_random(const struct op *op, struct lane *lane) {
    return lane->p11->C_GenerateRandom(lane->session, lane->out, op->length);
}

static const uint8_t p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t p384[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
static const uint8_t ed25519[] = {0x06, 0x03, 0x2b, 0x65, 0x70};

#define CURVE(der) .generate = generate_curve, .curve = (der), .curve_length = sizeof(der)

const struct op ops[] = {
    {.name = "session-info", .run = session_info},
    {.name = "random", .run = generate_random, .length = 32},
    {.name = "p256", .mechanism = CKM_ECDSA, .class = CKO_PRIVATE_KEY, .run = sign, .length = 32, CURVE(p256)},
    {.name = "p384", .mechanism = CKM_ECDSA, .class = CKO_PRIVATE_KEY, .run = sign, .length = 48, CURVE(p384)},
    {.name = "ed25519", .mechanism = CKM_EDDSA, .class = CKO_PRIVATE_KEY, .run = sign, .length = 64, CURVE(ed25519)},
    {.name = "rsa2048",
     .mechanism = CKM_SHA256_RSA_PKCS,
     .class = CKO_PRIVATE_KEY,
     .run = sign,
     .length = 64,
     .generate = generate_rsa},
    {.name = "hmac",
     .mechanism = CKM_SHA256_HMAC,
     .class = CKO_SECRET_KEY,
     .run = sign,
     .length = 1024,
     .generate = generate_secret},
    {.name = "gcm",
     .mechanism = CKM_AES_GCM,
     .class = CKO_SECRET_KEY,
     .run = encrypt_gcm,
     .length = 1024,
     .generate = generate_secret},
    {.name = NULL},
};

const struct op *op_named(const char *name) {
    for (const struct op *op = ops; op->name != NULL; op++)
        if (strcmp(op->name, name) == 0)
            return op;
    return NULL;
}

CK_RV op_find_key(const struct op *op, const CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *key) {
    CK_OBJECT_CLASS class = op->class;
    CK_ATTRIBUTE template[] = {ATTRIBUTE(CKA_CLASS, class), label_of(op)};
    CK_ULONG found = 0;
    CK_RV rv = p11->C_FindObjectsInit(session, template, LENGTH(template));
    if (rv != CKR_OK)
        return rv;
    rv = p11->C_FindObjects(session, key, 1, &found);
    CK_RV end = p11->C_FindObjectsFinal(session);
    if (found == 0)
        *key = 0;
    return rv != CKR_OK ? rv : end;
}
