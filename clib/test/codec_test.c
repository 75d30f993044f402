// Holds the C codec against the golden vectors of package wire:
//
//     codec_test wire/testdata/golden.txt
//
// Every request is encoded from its sample and compared; every reply is decoded,
// compared field by field, and must not parse when cut or prolonged.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../gen/wire.h"

struct put_sample {
    const char *call;
    uint16_t number;
    void (*put)(struct tl_buffer *b);
};

struct get_sample {
    const char *call;
    uint16_t number;
    bool (*get)(struct tl_view *v);
};

// Which of the samples the functions below make.
static enum { ZERO, SAMPLE, MOST } variant;

static int failures;

static void fail(const char *name, const char *what) {
    fprintf(stderr, "%s: %s\n", name, what);
    failures++;
}

// The samples, as samples_test.go of package wire has them.

static uint64_t number(unsigned index, uint64_t base) {
    return variant == ZERO ? 0 : variant == MOST ? UINT64_MAX : base + index;
}

static uint8_t sample_u8(unsigned index) { return (uint8_t)number(index, 0x11); }
static uint16_t sample_u16(unsigned index) { return (uint16_t)number(index, 0x1122); }
static uint32_t sample_u32(unsigned index) { return (uint32_t)number(index, 0x11223344); }
static uint64_t sample_u64(unsigned index) { return number(index, 0x1122334455667788); }

static bool sample_bool(unsigned index) {
    return variant == MOST || (variant == SAMPLE && index % 2 == 0);
}

static struct tl_id sample_id(unsigned index) {
    struct tl_id id;
    for (unsigned i = 0; i < sizeof id.bytes; i++)
        id.bytes[i] = variant == ZERO ? 0 : variant == MOST ? 0xff : (uint8_t)(16 * index + i);
    return id;
}

static const uint8_t *ones(void) {
    static uint8_t bytes[300];
    memset(bytes, 0xff, sizeof bytes);
    return bytes;
}

static struct tl_bytes sample_bytes(unsigned index) {
    static uint8_t rising[64];
    for (unsigned i = 0; i < sizeof rising; i++)
        rising[i] = (uint8_t)(0xa0 + i);
    switch (variant) {
    case SAMPLE:
        return (struct tl_bytes){rising, index + 1};
    case MOST:
        return (struct tl_bytes){ones(), 300};
    default:
        return (struct tl_bytes){0};
    }
}

static struct tl_bytes sample_secret(unsigned index) { return sample_bytes(index); }

static struct tl_bytes string(const char *s) { return (struct tl_bytes){(const uint8_t *)s, strlen(s)}; }

static const char most_text[] = "\xc3\xbc\xe2\x82\xac\xf0\x9d\x84\x9e";

static struct tl_bytes sample_text(unsigned index) {
    static char texts[32][16];
    snprintf(texts[index], sizeof texts[0], "field %u", index);
    return variant == ZERO ? (struct tl_bytes){0} : string(variant == MOST ? most_text : texts[index]);
}

static size_t sample_numbers(unsigned index, CK_ULONG numbers[3]) {
    switch (variant) {
    case SAMPLE:
        numbers[0] = 1;
        numbers[1] = 1UL << 32;
        numbers[2] = index;
        return 3;
    case MOST:
        numbers[0] = numbers[1] = ~0UL;
        return 2;
    default:
        return 0;
    }
}

static struct tl_ulongs sample_u64s(unsigned index) {
    static CK_ULONG numbers[32][3];
    size_t count = sample_numbers(index, numbers[index]);
    return (struct tl_ulongs){numbers[index], count};
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define VALUE(value) &(value), sizeof(value)

static struct tl_template sample_template(unsigned index) {
    static CK_ULONG classes[8];
    static CK_ULONG mechanisms[] = {CKM_RSA_PKCS, CKM_SHA256};
    static CK_BBOOL yes = 1, no = 0;
    static char label[] = "label";
    static CK_BYTE one[] = {0xff}, two[] = {0xff, 0xff};
    static CK_ATTRIBUTE wrap[] = {{CKA_EXTRACTABLE, VALUE(no)}, {CKA_ID, NULL, 0}};
    static CK_ATTRIBUTE sample[8][6];
    static CK_ATTRIBUTE fourth[] = {{CKA_ID, VALUE(one)}};
    static CK_ATTRIBUTE third[] = {{CKA_WRAP_TEMPLATE, VALUE(fourth)}};
    static CK_ATTRIBUTE second[] = {{CKA_DERIVE_TEMPLATE, VALUE(third)}};
    static CK_ATTRIBUTE most[] = {{CKA_UNWRAP_TEMPLATE, VALUE(second)}, {~0UL, VALUE(two)}};

    classes[index] = index;
    const CK_ATTRIBUTE filled[] = {
        {CKA_CLASS, VALUE(classes[index])}, {CKA_TOKEN, VALUE(yes)},         {CKA_LABEL, label, 5},
        {CKA_ALLOWED_MECHANISMS, VALUE(mechanisms)}, {CKA_WRAP_TEMPLATE, VALUE(wrap)}, {CKA_UNWRAP_TEMPLATE, NULL, 0},
    };
    memcpy(sample[index], filled, sizeof filled);
    switch (variant) {
    case SAMPLE:
        return (struct tl_template){sample[index], COUNT(filled)};
    case MOST:
        return (struct tl_template){most, COUNT(most)};
    default:
        return (struct tl_template){0};
    }
}

static CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, 32};
static CK_MECHANISM mechanism_pss = {CKM_SHA256_RSA_PKCS_PSS, VALUE(pss)};

static struct tl_mechanism sample_mechanism(unsigned index) {
    static CK_MECHANISM none, unknown;
    (void)index;
    unknown = (CK_MECHANISM){~0UL, (void *)(uintptr_t)ones(), 300};
    return (struct tl_mechanism){.native = variant == ZERO ? &none : variant == MOST ? &unknown : &mechanism_pss};
}

static bool is_u8(uint8_t v, unsigned index) { return v == sample_u8(index); }
static bool is_u16(uint16_t v, unsigned index) { return v == sample_u16(index); }
static bool is_u32(uint32_t v, unsigned index) { return v == sample_u32(index); }
static bool is_u64(uint64_t v, unsigned index) { return v == sample_u64(index); }
static bool is_bool(bool v, unsigned index) { return v == sample_bool(index); }

static bool same(struct tl_bytes a, struct tl_bytes b) {
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static bool is_bytes(struct tl_bytes v, unsigned index) {
    return same(v, sample_bytes(index));
}

static bool is_secret(struct tl_bytes v, unsigned index) { return is_bytes(v, index); }

static bool is_text(struct tl_bytes v, unsigned index) {
    return same(v, sample_text(index));
}

static bool is_u64s(struct tl_u64s v, unsigned index) {
    CK_ULONG numbers[3];
    if (v.count != sample_numbers(index, numbers))
        return false;
    for (size_t i = 0; i < v.count; i++)
        if (tl_u64s_at(&v, i) != numbers[i])
            return false;
    return true;
}

static bool is_texts(struct tl_texts v, unsigned index) {
    struct tl_bytes want[3], text;
    size_t count = variant == SAMPLE ? 3 : variant == MOST ? 2 : 0;
    want[0] = string(variant == MOST ? most_text : "");
    want[1] = string(variant == MOST ? most_text : "a");
    want[2] = sample_text(index);
    for (size_t i = 0; i < count; i++)
        if (!tl_next_text(&v, &text) || !same(text, want[i]))
            return false;
    return !tl_next_text(&v, &text);
}

static bool is_values(struct tl_values v, unsigned index) {
    (void)index;
    static const uint8_t statuses[] = {TL_VALUE_PRESENT, TL_VALUE_SENSITIVE, TL_VALUE_ABSENT, TL_VALUE_PRESENT};
    struct tl_value value;
    size_t count = variant == SAMPLE ? 4 : variant == MOST ? 1 : 0;
    for (size_t i = 0; i < count; i++) {
        struct tl_bytes want = {0};
        if (i == 0)
            want = variant == SAMPLE ? string("abc") : (struct tl_bytes){ones(), 300};
        if (!tl_next_value(&v, &value) || value.status != statuses[i] || !same(value.value, want))
            return false;
    }
    return !tl_next_value(&v, &value);
}

#include "../gen/get_samples.h"
#include "../gen/put_samples.h"

// The mechanisms of edges() in samples_test.go.

static void put_edge(struct tl_buffer *b, const char *name) {
    struct before_2_40 {
        void *iv;
        CK_ULONG iv_length;
        void *aad;
        CK_ULONG aad_length, tag_bits;
    };
    char iv[] = "0123456789ab", block[] = "0123456789abcdef", aad[] = "header", label[] = "label", context[] = "context";
    CK_ULONG length = 16;
    CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA_1, CKG_MGF1_SHA1, 1, label, 5};
    CK_RSA_PKCS_OAEP_PARAMS oaep_empty = {CKM_SHA256, CKG_MGF1_SHA256, 0, NULL, 0};
    CK_GCM_PARAMS gcm = {(CK_BYTE_PTR)iv, 12, 96, (CK_BYTE_PTR)aad, 6, 128};
    CK_GCM_PARAMS gcm_null = {(CK_BYTE_PTR)iv, 12, 96, NULL, 6, 128};
    struct before_2_40 gcm_before = {iv, 12, aad, 6, 128};
    CK_EDDSA_PARAMS eddsa = {.phFlag = 1, .ulContextDataLen = 7, .pContextData = (CK_BYTE_PTR)context};
    char shared[] = "shared", public_key[] = "public key", salt[] = "salt", info[] = "info";
    CK_AES_CTR_PARAMS ctr = {.ulCounterBits = 32};
    memcpy(ctr.cb, block, sizeof ctr.cb);
    CK_ECDH1_DERIVE_PARAMS ecdh1 = {CKD_SHA256_KDF, 6, (CK_BYTE_PTR)shared, 10, (CK_BYTE_PTR)public_key};
    CK_HKDF_PARAMS hkdf = {1, 1, CKM_SHA256, CKF_HKDF_SALT_DATA, (CK_BYTE_PTR)salt, 4, 7, (CK_BYTE_PTR)info, 4};
    CK_RSA_PKCS_OAEP_PARAMS oaep_null = {CKM_SHA_1, CKG_MGF1_SHA1, 1, NULL, 5};
    CK_RSA_AES_KEY_WRAP_PARAMS rsa_aes = {256, &oaep}, rsa_aes_none = {256, NULL}, rsa_aes_null = {256, &oaep_null};
    CK_PRF_DATA_PARAM data[16] = {
        {CK_SP800_108_COUNTER, block, 16}, {CK_SP800_108_BYTE_ARRAY, label, 5}, {CK_SP800_108_BYTE_ARRAY, NULL, 0}};
    CK_PRF_DATA_PARAM data_null[] = {{CK_SP800_108_BYTE_ARRAY, NULL, 1}};
    CK_SP800_108_KDF_PARAMS kdf = {CKM_SHA256_HMAC, 3, data, 0, NULL}, kdf_empty = {CKM_AES_CMAC, 0, NULL, 0, NULL};
    CK_SP800_108_KDF_PARAMS kdf_null = {CKM_SHA256_HMAC, ~0UL, NULL, 0, NULL};
    CK_SP800_108_KDF_PARAMS kdf_element = {CKM_SHA256_HMAC, 1, data_null, 0, NULL};
    CK_SP800_108_KDF_PARAMS kdf_long = {CKM_SHA256_HMAC, ~0UL, data, 0, NULL};
    CK_SP800_108_KDF_PARAMS kdf_additional = {CKM_SHA256_HMAC, 3, data, 1, NULL};
    const struct {
        const char *name;
        CK_MECHANISM mechanism;
    } edges[] = {
        {"none", {CKM_SHA256, NULL, 0}},
        {"bytes", {CKM_AES_CBC_PAD, block, 16}},
        {"ulong", {CKM_SHA256_HMAC_GENERAL, VALUE(length)}},
        {"pss", mechanism_pss},
        {"oaep", {CKM_RSA_PKCS_OAEP, VALUE(oaep)}},
        {"oaep-empty", {CKM_RSA_PKCS_OAEP, VALUE(oaep_empty)}},
        {"gcm", {CKM_AES_GCM, VALUE(gcm)}},
        {"gcm-before-240", {CKM_AES_GCM, VALUE(gcm_before)}},
        {"eddsa", {CKM_EDDSA, VALUE(eddsa)}},
        {"ctr", {CKM_AES_CTR, VALUE(ctr)}},
        {"ecdh1", {CKM_ECDH1_DERIVE, VALUE(ecdh1)}},
        {"hkdf", {CKM_HKDF_DERIVE, VALUE(hkdf)}},
        {"rsa-aes", {CKM_RSA_AES_KEY_WRAP, VALUE(rsa_aes)}},
        {"kdf", {CKM_SP800_108_COUNTER_KDF, VALUE(kdf)}},
        {"kdf-empty", {CKM_SP800_108_COUNTER_KDF, VALUE(kdf_empty)}},
        {"malformed-size", {CKM_SHA256_RSA_PKCS_PSS, &pss, sizeof pss - 1}},
        {"malformed-pointer", {CKM_AES_CBC, NULL, 16}},
        {"malformed-inside", {CKM_AES_GCM, VALUE(gcm_null)}},
        {"malformed-array", {CKM_AES_CTR, block, 16}},
        {"malformed-no-pointer", {CKM_RSA_AES_KEY_WRAP, VALUE(rsa_aes_none)}},
        {"malformed-pointed-to", {CKM_RSA_AES_KEY_WRAP, VALUE(rsa_aes_null)}},
        {"malformed-no-list", {CKM_SP800_108_COUNTER_KDF, VALUE(kdf_null)}},
        {"malformed-element", {CKM_SP800_108_COUNTER_KDF, VALUE(kdf_element)}},
        {"malformed-long-list", {CKM_SP800_108_COUNTER_KDF, VALUE(kdf_long)}},
        {"malformed-additional", {CKM_SP800_108_COUNTER_KDF, VALUE(kdf_additional)}},
    };
    for (size_t i = 0; i < COUNT(edges); i++)
        if (strcmp(edges[i].name, name) == 0) {
            tl_put_mechanism(b, &(struct tl_mechanism){.native = &edges[i].mechanism});
            return;
        }
    fail(name, "no such mechanism here");
}

static void check_bytes(const char *name, const struct tl_buffer *b, struct tl_bytes want) {
    if (b->error != CKR_OK)
        fail(name, "the encoder reports an error");
    else if (!same((struct tl_bytes){b->data, b->length}, want))
        fail(name, "encoded otherwise");
}

static void check_mechanism(const char *name, struct tl_bytes want) {
    struct tl_buffer b = {0}, again = {0};
    put_edge(&b, name);
    check_bytes(name, &b, want);
    // An encoded mechanism goes into a later request as it is, and is found by its front.
    struct tl_bytes encoded = {b.data, b.length};
    tl_put_mechanism(&again, &(struct tl_mechanism){.encoded = encoded});
    check_bytes(name, &again, want);
    uint32_t data_length;
    memcpy(&data_length, want.data + 12, sizeof data_length);
    if (tl_fixed_part(encoded).length != want.length - data_length)
        fail(name, "the fixed part has another length");
    tl_buffer_free(&b);
    tl_buffer_free(&again);
}

static bool get_prefix(const struct get_sample *s, struct tl_bytes body, size_t length) {
    // A copy of exactly this size, so that a sanitizer sees any read beyond it.
    uint8_t *copy = malloc(length + 1);
    if (copy == NULL)
        abort();
    memcpy(copy + 1, body.data, length < body.length ? length : body.length);
    if (length > body.length)
        copy[length] = 0;
    struct tl_view v = {.data = copy + 1, .left = length};
    bool parsed = s->get(&v);
    free(copy);
    return parsed;
}

static void check_request(const char *name, const char *call, struct tl_bytes body) {
    struct tl_buffer b = {0};
    for (size_t i = 0; i < COUNT(put_samples); i++)
        if (strcmp(put_samples[i].call, call) == 0)
            put_samples[i].put(&b);
    check_bytes(name, &b, body);
    tl_buffer_free(&b);
}

static void check_reply(const char *name, const char *call, struct tl_bytes body) {
    const struct get_sample *s = NULL;
    for (size_t i = 0; i < COUNT(get_samples); i++)
        if (strcmp(get_samples[i].call, call) == 0)
            s = &get_samples[i];
    if (s == NULL) {
        if (body.length > 0)
            fail(name, "has no fields here");
        return;
    }
    if (!get_prefix(s, body, body.length))
        fail(name, "does not parse or has other values");
    for (size_t n = 0; n < body.length; n++)
        if (get_prefix(s, body, n))
            fail(name, "parses although cut");
    if (get_prefix(s, body, body.length + 1))
        fail(name, "parses with a byte left over");
}

static void check_header(const char *name, struct tl_bytes want) {
    struct tl_header h = {
        .kind = TL_KIND_REPLY,
        .call = TL_CALL_OPERATE_FUSED,
        .request = 0x1122334455667788,
        .application = 0x2122334455667788,
        .session = 0x3122334455667788,
        .code = CKR_BUFFER_TOO_SMALL,
        .epoch = 0x4122334455667788,
    };
    struct tl_header read;
    struct tl_buffer b = {0};
    tl_begin_frame(&b);
    tl_buffer_room(&b, 0x1020 - TL_HEADER_SIZE);
    if (tl_end_frame(&b, &h) != CKR_OK)
        fail(name, "no frame");
    b.length = TL_HEADER_SIZE;
    check_bytes(name, &b, want);
    if (!tl_get_header(want.data, &read) || read.length != 0x1020 || read.kind != h.kind || read.call != h.call ||
        read.request != h.request || read.application != h.application || read.session != h.session ||
        read.code != h.code || read.epoch != h.epoch)
        fail(name, "the header reads otherwise");
    // version, kind, reserved, length
    static const struct {
        size_t offset;
        uint8_t value;
    } faults[] = {{4, 2}, {5, 0}, {5, 4}, {5, TL_KIND_REQUEST}, {5, TL_KIND_WORKING}, {36, 1}, {39, 1}, {2, 0x11}, {3, 1}};
    for (size_t i = 0; i < COUNT(faults); i++) {
        uint8_t bad[TL_HEADER_SIZE];
        memcpy(bad, want.data, sizeof bad);
        bad[faults[i].offset] = faults[i].value;
        if (tl_get_header(bad, &read))
            fail(name, "a wrong header is accepted");
    }
    tl_buffer_free(&b);
}

// What the encoders must refuse, and with which code.

static void expect(const char *name, struct tl_buffer *b, CK_RV want) {
    if (b->error != want)
        fail(name, "another error than wanted");
    tl_buffer_free(b);
    tl_put_u8(b, 1);
    if (b->error != CKR_OK || b->length != 1)
        fail(name, "a freed buffer is of no use");
    tl_buffer_free(b);
}

static void check_refusals(void) {
    static CK_BYTE byte = 1;
    static uint8_t huge[TL_MAX_FRAME + 1];
    static CK_ATTRIBUTE many[TL_MAX_ATTRIBUTES + 1];
    struct tl_buffer b = {0};

    tl_put_template(&b, (struct tl_template){many, TL_MAX_ATTRIBUTES});
    expect("256 attributes", &b, CKR_OK);
    tl_put_template(&b, (struct tl_template){many, COUNT(many)});
    expect("257 attributes", &b, CKR_ARGUMENTS_BAD);
    tl_put_template(&b, (struct tl_template){NULL, 1});
    expect("no attributes", &b, CKR_ARGUMENTS_BAD);

    CK_ATTRIBUTE null = {CKA_ID, NULL, 1}, endless = {CKA_ID, &byte, ~0UL};
    tl_put_template(&b, (struct tl_template){&null, 1});
    expect("a value without a pointer", &b, CKR_ATTRIBUTE_VALUE_INVALID);
    tl_put_template(&b, (struct tl_template){&endless, 1});
    expect("a value of unavailable length", &b, CKR_ATTRIBUTE_VALUE_INVALID);

    CK_ATTRIBUTE odd = {CKA_WRAP_TEMPLATE, many, sizeof many[0] + 1};
    tl_put_template(&b, (struct tl_template){&odd, 1});
    expect("half an attribute", &b, CKR_ATTRIBUTE_VALUE_INVALID);
    CK_ATTRIBUTE wide = {CKA_WRAP_TEMPLATE, many, sizeof many};
    tl_put_template(&b, (struct tl_template){&wide, 1});
    expect("257 attributes inside", &b, CKR_ATTRIBUTE_VALUE_INVALID);
    CK_ATTRIBUTE inside = {CKA_WRAP_TEMPLATE, VALUE(null)};
    tl_put_template(&b, (struct tl_template){&inside, 1});
    expect("a value without a pointer inside", &b, CKR_ATTRIBUTE_VALUE_INVALID);
    CK_ATTRIBUTE endlessly = {CKA_WRAP_TEMPLATE, &endlessly, sizeof endlessly};
    tl_put_template(&b, (struct tl_template){&endlessly, 1});
    expect("a template in itself", &b, CKR_ATTRIBUTE_VALUE_INVALID);

    tl_put_mechanism(&b, &(struct tl_mechanism){0});
    expect("no mechanism", &b, CKR_ARGUMENTS_BAD);
    CK_MECHANISM long_iv = {CKM_AES_CBC, huge, ~0UL};
    tl_put_mechanism(&b, &(struct tl_mechanism){.native = &long_iv});
    expect("an endless parameter", &b, CKR_MECHANISM_PARAM_INVALID);
    CK_GCM_PARAMS long_sum = {&byte, TL_MAX_FRAME, 0, huge, ~0UL - TL_MAX_FRAME + 2, 128};
    CK_MECHANISM gcm = {CKM_AES_GCM, VALUE(long_sum)};
    tl_put_mechanism(&b, &(struct tl_mechanism){.native = &gcm});
    expect("lengths that overflow", &b, CKR_MECHANISM_PARAM_INVALID);

    tl_put_bytes(&b, (struct tl_bytes){huge, TL_MAX_FRAME - 4});
    expect("a full frame", &b, CKR_OK);
    tl_put_bytes(&b, (struct tl_bytes){huge, TL_MAX_FRAME - 3});
    expect("a frame and a byte", &b, CKR_DATA_LEN_RANGE);
    tl_put_bytes(&b, (struct tl_bytes){huge, SIZE_MAX});
    expect("endless bytes", &b, CKR_DATA_LEN_RANGE);
    tl_put_u64s(&b, (struct tl_ulongs){NULL, SIZE_MAX / 4});
    expect("a count that overflows", &b, CKR_DATA_LEN_RANGE);

    tl_begin_frame(&b);
    tl_put_raw(&b, (struct tl_bytes){huge, TL_MAX_FRAME});
    if (tl_end_frame(&b, &(struct tl_header){.kind = TL_KIND_REQUEST}) != CKR_DATA_LEN_RANGE)
        fail("a frame", "is accepted beyond the limit");
    tl_begin_frame(&b);
    if (tl_end_frame(&b, &(struct tl_header){.kind = TL_KIND_REQUEST}) != CKR_OK || b.length != TL_HEADER_SIZE)
        fail("a frame", "does not follow one that failed");
    tl_put_bytes(&b, string("1234"));
    uint8_t *memory = b.data;
    tl_buffer_reset(&b);
    if (b.length != 0 || b.data != memory || memcmp(memory + TL_HEADER_SIZE, huge, 8) != 0)
        fail("a buffer", "still has its content after a reset");
    tl_buffer_free(&b);
}

// Bodies that are as long as they claim, but wrong.
static void check_wrong_replies(void) {
    static const uint8_t bool_2[] = {0, 0, 0, 0, 2};
    static const uint8_t status_3[] = {1, 0, 0, 0, 3, 0, 0, 0, 0};
    static const uint8_t secret_value[] = {1, 0, 0, 0, 1, 1, 0, 0, 0, 42};
    static uint8_t many_values[4 + 5 * (TL_MAX_ATTRIBUTES + 1)] = {1, 1};
    struct tl_find_reply find;
    struct tl_get_attributes_reply get;
    if (tl_get_find(&(struct tl_view){bool_2, sizeof bool_2, false}, &find))
        fail("a reply", "has a bool of 2");
    if (tl_get_get_attributes(&(struct tl_view){status_3, sizeof status_3, false}, &get))
        fail("a reply", "has a status of 3");
    if (tl_get_get_attributes(&(struct tl_view){secret_value, sizeof secret_value, false}, &get))
        fail("a reply", "has the value of a sensitive attribute");
    if (tl_get_get_attributes(&(struct tl_view){many_values, sizeof many_values, false}, &get) || get.values.count != 0)
        fail("a reply", "has 257 values");
}

static void check_nested(void) {
    struct tl_buffer b = {0};
    variant = SAMPLE;
    tl_put_template(&b, sample_template(0));
    struct tl_attributes list, inner;
    struct tl_attribute a = {0};
    bool ok = tl_parse_template((struct tl_bytes){b.data, b.length}, &list);
    for (size_t i = 0; i < 5; i++)
        ok = ok && tl_next_attribute(&list, &a);
    ok = ok && a.type == CKA_WRAP_TEMPLATE && tl_parse_template(a.value, &inner) && tl_next_attribute(&inner, &a) &&
         a.type == CKA_EXTRACTABLE && a.value.length == 1 && a.value.data[0] == 0 && tl_next_attribute(&inner, &a) &&
         a.type == CKA_ID && a.value.length == 0 && !tl_next_attribute(&inner, &a);
    ok = ok && tl_next_attribute(&list, &a) && a.type == CKA_UNWRAP_TEMPLATE && a.value.length == 4 &&
         tl_parse_template(a.value, &inner) && !tl_next_attribute(&inner, &a) && !tl_next_attribute(&list, &a);
    if (!ok)
        fail("a template", "reads otherwise than written");
    for (size_t n = 0; n < b.length; n++)
        if (tl_parse_template((struct tl_bytes){b.data, n}, &list) || list.count != 0)
            fail("a template", "parses although cut");
    tl_buffer_free(&b);
}

static size_t from_hex(const char *hex, uint8_t *bytes, size_t capacity) {
    size_t n = 0;
    unsigned byte;
    for (; n < capacity && sscanf(hex, "%2x", &byte) == 1; hex += 2)
        bytes[n++] = (uint8_t)byte;
    return n;
}

static void check_line(const char *name, const char *what, const char *direction, const char *sample,
                       struct tl_bytes body) {
    variant = strcmp(sample, "zero") == 0 ? ZERO : strcmp(sample, "sample") == 0 ? SAMPLE : MOST;
    if (strcmp(what, "header") == 0)
        check_header(name, body);
    else if (strcmp(what, "mechanism") == 0)
        check_mechanism(sample, body);
    else if (strcmp(direction, "request") == 0)
        check_request(name, what, body);
    else
        check_reply(name, what, body);
}

int main(int argc, char **argv) {
    static char line[1 << 14], what[64], direction[16], sample[64], hex[1 << 14], name[160];
    static uint8_t body[1 << 13];
    FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (file == NULL) {
        fprintf(stderr, "usage: codec_test GOLDEN\n");
        return 2;
    }
    size_t lines = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (line[0] == '#')
            continue;
        if (sscanf(line, "%63s %15s %63s %16383s", what, direction, sample, hex) != 4) {
            fail("not a golden line", line);
            continue;
        }
        snprintf(name, sizeof name, "%s %s %s", what, direction, sample);
        check_line(name, what, direction, sample, (struct tl_bytes){body, from_hex(hex, body, sizeof body)});
        lines++;
    }
    fclose(file);
    if (lines < 3 * (COUNT(put_samples) + COUNT(get_samples)))
        fail("the golden file", "lacks calls");
    check_refusals();
    check_wrong_replies();
    check_nested();
    printf("%zu vectors, %d failures\n", lines, failures);
    return failures == 0 ? 0 : 1;
}
