// What a server may send: any bytes as the reply of any call. The input is the call's
// number, two bytes, then the body. Whatever parses is gone through to its last byte.
#include "../gen/wire.h"
#include "fuzz.h"

struct get_sample {
    const char *call;
    uint16_t number;
    bool (*get)(struct tl_view *v);
};

// touch reads every byte, so that a sanitizer sees those that are not there.
static void touch(struct tl_bytes b) {
    static volatile uint8_t sink;
    for (size_t i = 0; i < b.length; i++)
        sink = (uint8_t)(sink ^ b.data[i]);
}

static void touch_template(struct tl_bytes value, int depth) {
    struct tl_attributes list;
    if (depth > TL_MAX_DEPTH || !tl_parse_template(value, &list))
        return;
    size_t count = list.count, seen = 0;
    require(count <= TL_MAX_ATTRIBUTES);
    for (struct tl_attribute a; tl_next_attribute(&list, &a); seen++) {
        touch(a.value);
        touch_template(a.value, depth + 1);
    }
    require(seen == count && tl_view_end(&list.rest));
}

static bool is_u8(uint8_t v, int index) { return (void)v, (void)index, true; }
static bool is_u16(uint16_t v, int index) { return (void)v, (void)index, true; }
static bool is_u32(uint32_t v, int index) { return (void)v, (void)index, true; }
static bool is_u64(uint64_t v, int index) { return (void)v, (void)index, true; }
static bool is_bool(bool v, int index) { return (void)v, (void)index, true; }

static bool is_bytes(struct tl_bytes v, int index) {
    (void)index;
    touch(v);
    return true;
}

static bool is_secret(struct tl_bytes v, int index) { return is_bytes(v, index); }
static bool is_text(struct tl_bytes v, int index) { return is_bytes(v, index); }

static bool is_u64s(struct tl_u64s v, int index) {
    static volatile uint64_t sink;
    (void)index;
    for (size_t i = 0; i < v.count; i++)
        sink = sink ^ tl_u64s_at(&v, i);
    return true;
}

static bool is_texts(struct tl_texts v, int index) {
    (void)index;
    size_t count = v.count, seen = 0;
    for (struct tl_bytes text; tl_next_text(&v, &text); seen++)
        touch(text);
    require(seen == count && !v.rest.failed);
    return true;
}

static bool is_values(struct tl_values v, int index) {
    (void)index;
    size_t count = v.count, seen = 0;
    require(count <= TL_MAX_ATTRIBUTES);
    for (struct tl_value value; tl_next_value(&v, &value); seen++) {
        require(value.status <= TL_VALUE_ABSENT);
        touch(value.value);
        touch_template(value.value, 1);
    }
    require(seen == count && !v.rest.failed);
    return true;
}

#include "../gen/get_samples.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct tl_header header;
    if (size >= TL_HEADER_SIZE && tl_get_header(data, &header))
        require(header.length >= TL_HEADER_SIZE && header.length <= TL_MAX_FRAME);
    struct tl_view v = {.data = data, .left = size};
    uint16_t call = tl_get_u16(&v);
    if (v.failed)
        return 0;
    struct tl_bytes body = {v.data, v.left};
    for (size_t i = 0; i < sizeof get_samples / sizeof get_samples[0]; i++)
        if (get_samples[i].number == call && get_samples[i].get(&v))
            require(v.left == 0 && !v.failed);
    touch_template(body, 1);
    return 0;
}
