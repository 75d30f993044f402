// What an application may pass: requests of all calls whose fields, templates and
// mechanisms are made from the input, which begins with the call's number, two bytes.
// Pointers are good for the lengths beside them, or NULL, or stand beside a length
// beyond any frame, which must be refused before anything is read.
#include <string.h>

#include "../gen/wire.h"
#include "fuzz.h"

struct put_sample {
    const char *call;
    uint16_t number;
    void (*put)(struct tl_buffer *b);
};

static struct tl_view input;

static CK_ATTRIBUTE pool[4 * TL_MAX_ATTRIBUTES];
static size_t pooled;

// some takes the next bytes of the input, at most 64 Ki of them.
static struct tl_bytes some(void) {
    size_t length = tl_get_u16(&input);
    if (input.failed || length > input.left)
        return (struct tl_bytes){0};
    struct tl_bytes taken = {input.data, length};
    input.data += length;
    input.left -= length;
    return taken;
}

// pointer takes a pointer and a length as an application may pass them.
static CK_ULONG pointer(void **to) {
    struct tl_bytes b = some();
    *to = (void *)(uintptr_t)b.data;
    switch (tl_get_u8(&input)) {
    case 0:
        *to = NULL;
        return b.length;
    case 1:
        return ~0UL;
    case 2:
        return TL_MAX_FRAME + 1;
    default:
        return b.length;
    }
}

static struct tl_template attributes(int depth) {
    static const CK_ATTRIBUTE_TYPE nesting[] = {
        CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_DERIVE_TEMPLATE, CKA_ALLOWED_MECHANISMS};
    size_t count = tl_get_u8(&input) % 8;
    if (tl_get_u8(&input) == 0xff)
        count = TL_MAX_ATTRIBUTES + 1;
    if (count > sizeof pool / sizeof pool[0] - pooled)
        count = 0;
    CK_ATTRIBUTE *first = pool + pooled;
    pooled += count;
    for (size_t i = 0; i < count; i++) {
        uint8_t choice = tl_get_u8(&input);
        first[i].type = choice < 4 ? nesting[choice] : choice;
        if (choice < 3 && depth <= TL_MAX_DEPTH) {
            struct tl_template inner = attributes(depth + 1);
            first[i].pValue = (void *)(uintptr_t)inner.attributes;
            first[i].ulValueLen = inner.count * sizeof(CK_ATTRIBUTE) + (tl_get_u8(&input) == 0 && inner.count > 0 ? 1 : 0);
        } else if (choice < 3) {
            first[i].pValue = NULL;
            first[i].ulValueLen = choice;
        } else {
            first[i].ulValueLen = pointer(&first[i].pValue);
        }
    }
    return (struct tl_template){first, count};
}

static CK_MECHANISM native;

static void structured(void *structure, size_t size) {
    native.pParameter = structure;
    native.ulParameterLen = size - (tl_get_u8(&input) == 0 ? 1 : 0);
}

static struct tl_mechanism mechanism(void) {
    // Types whose parameter has no pointer inside, so that any bytes may stand for it.
    static const CK_MECHANISM_TYPE flat[] = {CKM_AES_CBC, CKM_SHA256_HMAC_GENERAL, CKM_RSA_PKCS_PSS, CKM_AES_CTR, ~0UL};
    static CK_RSA_PKCS_OAEP_PARAMS oaep;
    static CK_GCM_PARAMS gcm;
    static CK_EDDSA_PARAMS eddsa;
    static CK_RSA_AES_KEY_WRAP_PARAMS rsa_aes;
    static CK_PRF_DATA_PARAM data[16];
    static CK_SP800_108_KDF_PARAMS kdf;
    static CK_ECDH1_DERIVE_PARAMS ecdh;
    static CK_HKDF_PARAMS hkdf;
    // CK_GCM_PARAMS before PKCS#11 2.40.
    static struct {
        void *iv;
        CK_ULONG iv_length;
        void *aad;
        CK_ULONG aad_length, tag_bits;
    } old_gcm;
    void *value;
    uint8_t choice = tl_get_u8(&input);
    switch (choice) {
    case 0:
        native.mechanism = CKM_RSA_PKCS_OAEP;
        oaep.ulSourceDataLen = pointer(&value);
        oaep.pSourceData = value;
        structured(&oaep, sizeof oaep);
        break;
    case 1:
        native.mechanism = CKM_AES_GCM;
        gcm.ulIvLen = pointer(&value);
        gcm.pIv = value;
        gcm.ulAADLen = pointer(&value);
        gcm.pAAD = value;
        structured(&gcm, sizeof gcm);
        break;
    case 2:
        native.mechanism = CKM_EDDSA;
        eddsa.phFlag = tl_get_u8(&input);
        eddsa.ulContextDataLen = pointer(&value);
        eddsa.pContextData = value;
        structured(&eddsa, sizeof eddsa);
        break;
    case 3:
        native.mechanism = CKM_RSA_AES_KEY_WRAP;
        oaep.ulSourceDataLen = pointer(&value);
        oaep.pSourceData = value;
        rsa_aes.pOAEPParams = tl_get_u8(&input) == 0 ? NULL : &oaep;
        structured(&rsa_aes, sizeof rsa_aes);
        break;
    case 4:
        native.mechanism = CKM_SP800_108_COUNTER_KDF;
        kdf.ulNumberOfDataParams = tl_get_u8(&input);
        kdf.pDataParams = tl_get_u8(&input) == 0 ? NULL : data;
        kdf.ulAdditionalDerivedKeys = tl_get_u8(&input) == 0;
        for (size_t i = 0; i < sizeof data / sizeof data[0]; i++) {
            data[i].type = tl_get_u8(&input);
            data[i].ulValueLen = pointer(&data[i].pValue);
        }
        structured(&kdf, sizeof kdf);
        break;
    case 5:
        native.mechanism = CKM_ECDH1_DERIVE;
        ecdh.ulSharedDataLen = pointer(&value);
        ecdh.pSharedData = value;
        ecdh.ulPublicDataLen = pointer(&value);
        ecdh.pPublicData = value;
        structured(&ecdh, sizeof ecdh);
        break;
    case 6:
        native.mechanism = CKM_HKDF_DERIVE;
        hkdf.bExtract = tl_get_u8(&input);
        hkdf.bExpand = tl_get_u8(&input);
        hkdf.ulSaltLen = pointer(&value);
        hkdf.pSalt = value;
        hkdf.ulInfoLen = pointer(&value);
        hkdf.pInfo = value;
        structured(&hkdf, sizeof hkdf);
        break;
    case 7:
        native.mechanism = CKM_AES_GCM;
        old_gcm.iv_length = pointer(&old_gcm.iv);
        old_gcm.aad_length = pointer(&old_gcm.aad);
        structured(&old_gcm, sizeof old_gcm);
        break;
    default:
        native.mechanism = flat[choice % (sizeof flat / sizeof flat[0])];
        native.ulParameterLen = pointer(&native.pParameter);
        break;
    }
    return (struct tl_mechanism){.native = &native};
}

static uint8_t sample_u8(int index) { return (void)index, tl_get_u8(&input); }
static uint16_t sample_u16(int index) { return (void)index, tl_get_u16(&input); }
static uint32_t sample_u32(int index) { return (void)index, tl_get_u32(&input); }
static uint64_t sample_u64(int index) { return (void)index, tl_get_u64(&input); }
static bool sample_bool(int index) { return (void)index, tl_get_u8(&input) > 127; }
static struct tl_id sample_id(int index) { return (void)index, tl_get_id(&input); }
static struct tl_bytes sample_bytes(int index) { return (void)index, some(); }
static struct tl_bytes sample_secret(int index) { return (void)index, some(); }
static struct tl_bytes sample_text(int index) { return (void)index, some(); }
static struct tl_template sample_template(int index) { return (void)index, attributes(1); }
static struct tl_mechanism sample_mechanism(int index) { return (void)index, mechanism(); }

static struct tl_ulongs sample_u64s(int index) {
    static CK_ULONG numbers[8][256];
    size_t count = tl_get_u8(&input);
    for (size_t i = 0; i < count; i++)
        numbers[index][i] = tl_get_u64(&input);
    return (struct tl_ulongs){numbers[index], count};
}

#include "../gen/put_samples.h"

// check_template: what the encoder accepts, the decoder reads, attribute by attribute.
static void check_template(struct tl_template t) {
    struct tl_buffer b = {0};
    struct tl_attributes list;
    tl_put_template(&b, t);
    if (b.error == CKR_OK) {
        require(tl_parse_template((struct tl_bytes){b.data, b.length}, &list) && list.count == t.count);
        struct tl_attribute a;
        for (size_t i = 0; tl_next_attribute(&list, &a); i++) {
            require(a.type == t.attributes[i].type);
            if (!tl_is_template(a.type))
                require(a.value.length == t.attributes[i].ulValueLen &&
                        (a.value.length == 0 || memcmp(a.value.data, t.attributes[i].pValue, a.value.length) == 0));
        }
    } else {
        require(b.error == CKR_ARGUMENTS_BAD || b.error == CKR_ATTRIBUTE_VALUE_INVALID || b.error == CKR_DATA_LEN_RANGE);
    }
    tl_buffer_free(&b);
}

// check_mechanism: the encoding is its fixed part and as many bytes as that says.
static void check_mechanism(struct tl_mechanism m) {
    struct tl_buffer b = {0};
    tl_put_mechanism(&b, &m);
    if (b.error == CKR_OK) {
        uint32_t data_length;
        require(b.length >= 16);
        memcpy(&data_length, b.data + 12, sizeof data_length);
        require(tl_fixed_part((struct tl_bytes){b.data, b.length}).length + data_length == b.length);
    } else {
        require(b.error == CKR_MECHANISM_PARAM_INVALID || b.error == CKR_DATA_LEN_RANGE);
    }
    tl_buffer_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct tl_buffer frame;
    struct tl_view whole = {.data = data, .left = size};
    uint16_t call = tl_get_u16(&whole);
    if (whole.failed)
        return 0;
    input = whole;
    pooled = 0;
    tl_begin_frame(&frame);
    for (size_t i = 0; i < sizeof put_samples / sizeof put_samples[0]; i++)
        if (put_samples[i].number == call)
            put_samples[i].put(&frame);
    CK_RV result = tl_end_frame(&frame, &(struct tl_header){.kind = TL_KIND_REQUEST});
    struct tl_header header;
    if (result == CKR_OK)
        require(tl_get_header(frame.data, &header) && header.length == frame.length);
    require(frame.length <= TL_MAX_FRAME && frame.length <= frame.capacity);

    input = whole;
    pooled = 0;
    check_template(attributes(1));
    check_mechanism(mechanism());
    return 0;
}
