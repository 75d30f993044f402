#include "buffer.h"

#include <string.h>

#include "memory.h"

// The codec copies numbers as they are in memory.
_Static_assert(sizeof(CK_ULONG) == 8, "CK_ULONG has 64 bits on the wire");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire is little-endian");

enum {
    FIRST_CAPACITY = 4 << 10, // TL_MAX_FRAME is a multiple by a power of two
    KEPT_CAPACITY = 64 << 10,
};

void tl_buffer_fail(struct tl_buffer *b, CK_RV error) {
    if (b->error == CKR_OK)
        b->error = error;
}

void tl_buffer_free(struct tl_buffer *b) {
    tl_unmap(b->data, b->capacity);
    *b = (struct tl_buffer){0};
}

void tl_buffer_reset(struct tl_buffer *b) {
    if (b->capacity > KEPT_CAPACITY) {
        tl_buffer_free(b);
        return;
    }
    tl_wipe(b->data, b->length);
    b->length = 0;
    b->error = CKR_OK;
}

static bool grow(struct tl_buffer *b, size_t wanted) {
    size_t capacity = b->capacity == 0 ? FIRST_CAPACITY : b->capacity;
    while (capacity < wanted)
        capacity *= 2;
    uint8_t *data = tl_map(capacity);
    if (data == NULL) {
        tl_buffer_fail(b, CKR_HOST_MEMORY);
        return false;
    }
    if (b->length > 0)
        memcpy(data, b->data, b->length);
    tl_unmap(b->data, b->capacity);
    b->data = data;
    b->capacity = capacity;
    return true;
}

uint8_t *tl_buffer_room(struct tl_buffer *b, size_t n) {
    if (b->error != CKR_OK)
        return NULL;
    if (n > TL_MAX_FRAME - b->length) {
        tl_buffer_fail(b, CKR_DATA_LEN_RANGE);
        return NULL;
    }
    if (b->length + n > b->capacity && !grow(b, b->length + n))
        return NULL;
    uint8_t *place = b->data + b->length;
    b->length += n;
    return place;
}

static void put(struct tl_buffer *b, const void *data, size_t n) {
    if (n == 0)
        return;
    uint8_t *place = tl_buffer_room(b, n);
    if (place != NULL)
        memcpy(place, data, n);
}

void tl_put_u8(struct tl_buffer *b, uint8_t v) { put(b, &v, sizeof v); }
void tl_put_u16(struct tl_buffer *b, uint16_t v) { put(b, &v, sizeof v); }
void tl_put_u32(struct tl_buffer *b, uint32_t v) { put(b, &v, sizeof v); }
void tl_put_u64(struct tl_buffer *b, uint64_t v) { put(b, &v, sizeof v); }
void tl_put_bool(struct tl_buffer *b, bool v) { tl_put_u8(b, v ? 1 : 0); }
void tl_put_id(struct tl_buffer *b, const struct tl_id *id) { put(b, id->bytes, sizeof id->bytes); }
void tl_put_raw(struct tl_buffer *b, struct tl_bytes v) { put(b, v.data, v.length); }

void tl_put_bytes(struct tl_buffer *b, struct tl_bytes v) {
    if (v.length > TL_MAX_FRAME) {
        tl_buffer_fail(b, CKR_DATA_LEN_RANGE);
        return;
    }
    tl_put_u32(b, (uint32_t)v.length);
    tl_put_raw(b, v);
}

void tl_put_u64s(struct tl_buffer *b, struct tl_ulongs v) {
    if (v.count > TL_MAX_FRAME / sizeof v.values[0]) {
        tl_buffer_fail(b, CKR_DATA_LEN_RANGE);
        return;
    }
    tl_put_u32(b, (uint32_t)v.count);
    put(b, v.values, v.count * sizeof v.values[0]);
}

void tl_begin_frame(struct tl_buffer *b) {
    tl_buffer_reset(b);
    tl_buffer_room(b, TL_HEADER_SIZE);
}

CK_RV tl_end_frame(struct tl_buffer *b, const struct tl_header *header) {
    if (b->error != CKR_OK)
        return b->error;
    struct tl_buffer front = {.data = b->data, .capacity = TL_HEADER_SIZE};
    tl_put_u32(&front, (uint32_t)b->length);
    tl_put_u8(&front, TL_VERSION);
    tl_put_u8(&front, header->kind);
    tl_put_u16(&front, header->call);
    tl_put_u64(&front, header->request);
    tl_put_u64(&front, header->application);
    tl_put_u64(&front, header->session);
    tl_put_u32(&front, header->code);
    tl_put_u32(&front, 0);
    tl_put_u64(&front, header->epoch);
    return CKR_OK;
}

bool tl_get_header(const uint8_t bytes[TL_HEADER_SIZE], struct tl_header *header) {
    struct tl_view v = {.data = bytes, .left = TL_HEADER_SIZE};
    header->length = tl_get_u32(&v);
    uint8_t version = tl_get_u8(&v);
    header->kind = tl_get_u8(&v);
    header->call = tl_get_u16(&v);
    header->request = tl_get_u64(&v);
    header->application = tl_get_u64(&v);
    header->session = tl_get_u64(&v);
    header->code = tl_get_u32(&v);
    uint32_t reserved = tl_get_u32(&v);
    header->epoch = tl_get_u64(&v);

    if (version != TL_VERSION || reserved != 0 || header->length < TL_HEADER_SIZE || header->length > TL_MAX_FRAME)
        return false;
    switch (header->kind) {
    case TL_KIND_REPLY:
        return true;
    case TL_KIND_REQUEST:
        return header->code == CKR_OK && header->epoch == 0;
    case TL_KIND_WORKING:
        return header->code == CKR_OK && header->epoch == 0 && header->length == TL_HEADER_SIZE;
    default:
        return false;
    }
}

// take returns the next n bytes, or NULL.
static const uint8_t *take(struct tl_view *v, size_t n) {
    if (v->failed || n > v->left) {
        v->failed = true;
        return NULL;
    }
    const uint8_t *taken = v->data;
    v->data += n;
    v->left -= n;
    return taken;
}

static void get(struct tl_view *v, void *to, size_t n) {
    const uint8_t *bytes = take(v, n);
    if (bytes != NULL)
        memcpy(to, bytes, n);
}

bool tl_view_end(const struct tl_view *v) { return !v->failed && v->left == 0; }

uint8_t tl_get_u8(struct tl_view *v) {
    uint8_t n = 0;
    get(v, &n, sizeof n);
    return n;
}

uint16_t tl_get_u16(struct tl_view *v) {
    uint16_t n = 0;
    get(v, &n, sizeof n);
    return n;
}

uint32_t tl_get_u32(struct tl_view *v) {
    uint32_t n = 0;
    get(v, &n, sizeof n);
    return n;
}

uint64_t tl_get_u64(struct tl_view *v) {
    uint64_t n = 0;
    get(v, &n, sizeof n);
    return n;
}

bool tl_get_bool(struct tl_view *v) {
    uint8_t n = tl_get_u8(v);
    if (n > 1)
        v->failed = true;
    return n == 1;
}

struct tl_id tl_get_id(struct tl_view *v) {
    struct tl_id id = {{0}};
    get(v, id.bytes, sizeof id.bytes);
    return id;
}

struct tl_bytes tl_get_bytes(struct tl_view *v) {
    size_t length = tl_get_u32(v);
    const uint8_t *data = take(v, length);
    return data == NULL ? (struct tl_bytes){0} : (struct tl_bytes){.data = data, .length = length};
}

struct tl_u64s tl_get_u64s(struct tl_view *v) {
    size_t count = tl_get_u32(v);
    const uint8_t *data = take(v, count * sizeof(uint64_t));
    return data == NULL ? (struct tl_u64s){0} : (struct tl_u64s){.data = data, .count = count};
}

uint64_t tl_u64s_at(const struct tl_u64s *list, size_t i) {
    uint64_t n;
    memcpy(&n, list->data + i * sizeof n, sizeof n);
    return n;
}

struct tl_texts tl_get_texts(struct tl_view *v) {
    struct tl_texts list = {.count = tl_get_u32(v)};
    list.rest = *v;
    for (size_t i = 0; i < list.count && !v->failed; i++)
        tl_get_bytes(v);
    return v->failed ? (struct tl_texts){0} : list;
}

bool tl_next_text(struct tl_texts *list, struct tl_bytes *text) {
    if (list->count == 0)
        return false;
    list->count--;
    *text = tl_get_bytes(&list->rest);
    return true;
}

static struct tl_value get_value(struct tl_view *v) {
    struct tl_value value = {.status = tl_get_u8(v)};
    value.value = tl_get_bytes(v);
    if (value.status > TL_VALUE_ABSENT || (value.status != TL_VALUE_PRESENT && value.value.length > 0))
        v->failed = true;
    return value;
}

struct tl_values tl_get_values(struct tl_view *v) {
    struct tl_values list = {.count = tl_get_u32(v)};
    if (list.count > TL_MAX_ATTRIBUTES)
        v->failed = true;
    list.rest = *v;
    for (size_t i = 0; i < list.count && !v->failed; i++)
        get_value(v);
    return v->failed ? (struct tl_values){0} : list;
}

bool tl_next_value(struct tl_values *list, struct tl_value *value) {
    if (list->count == 0)
        return false;
    list->count--;
    *value = get_value(&list->rest);
    return true;
}

static struct tl_attribute get_attribute(struct tl_view *v) {
    struct tl_attribute attribute = {.type = tl_get_u64(v)};
    attribute.value = tl_get_bytes(v);
    return attribute;
}

struct tl_attributes tl_get_attributes(struct tl_view *v) {
    struct tl_attributes list = {.count = tl_get_u32(v)};
    if (list.count > TL_MAX_ATTRIBUTES)
        v->failed = true;
    list.rest = *v;
    for (size_t i = 0; i < list.count && !v->failed; i++)
        get_attribute(v);
    return v->failed ? (struct tl_attributes){0} : list;
}

bool tl_parse_template(struct tl_bytes value, struct tl_attributes *list) {
    struct tl_view v = {.data = value.data, .left = value.length};
    *list = tl_get_attributes(&v);
    return tl_view_end(&v);
}

bool tl_next_attribute(struct tl_attributes *list, struct tl_attribute *attribute) {
    if (list->count == 0)
        return false;
    list->count--;
    *attribute = get_attribute(&list->rest);
    return true;
}
