#include "native.h"

#include <string.h>

enum { FIXED_HEAD = 16 }; // bytes of a mechanism before its fields

static void put_attributes(struct tl_buffer *b, struct tl_template t, int depth);

// put_nested writes a template as the value of an attribute.
static void put_nested(struct tl_buffer *b, const CK_ATTRIBUTE *a, int depth) {
    if (depth > TL_MAX_DEPTH || a->ulValueLen % sizeof(CK_ATTRIBUTE) != 0 ||
        a->ulValueLen / sizeof(CK_ATTRIBUTE) > TL_MAX_ATTRIBUTES) {
        tl_buffer_fail(b, CKR_ATTRIBUTE_VALUE_INVALID);
        return;
    }
    size_t start = b->length;
    tl_put_u32(b, 0);
    put_attributes(b, (struct tl_template){a->pValue, a->ulValueLen / sizeof(CK_ATTRIBUTE)}, depth);
    if (b->error != CKR_OK)
        return;
    uint32_t length = (uint32_t)(b->length - start - sizeof length);
    memcpy(b->data + start, &length, sizeof length);
}

static void put_attributes(struct tl_buffer *b, struct tl_template t, int depth) {
    tl_put_u32(b, (uint32_t)t.count);
    for (CK_ULONG i = 0; i < t.count && b->error == CKR_OK; i++) {
        const CK_ATTRIBUTE *a = &t.attributes[i];
        if ((a->pValue == NULL && a->ulValueLen > 0) || a->ulValueLen > TL_MAX_FRAME) {
            tl_buffer_fail(b, CKR_ATTRIBUTE_VALUE_INVALID);
            return;
        }
        tl_put_u64(b, a->type);
        if (tl_is_template(a->type))
            put_nested(b, a, depth + 1);
        else
            tl_put_bytes(b, (struct tl_bytes){a->pValue, a->ulValueLen});
    }
}

void tl_put_template(struct tl_buffer *b, struct tl_template t) {
    if (t.count > TL_MAX_ATTRIBUTES || (t.attributes == NULL && t.count > 0)) {
        tl_buffer_fail(b, CKR_ARGUMENTS_BAD);
        return;
    }
    put_attributes(b, t, 1);
}

void tl_parameter_number(struct tl_parameter *p, CK_ULONG number) {
    if (p->fields == TL_MAX_FIELDS) {
        p->shape = TL_SHAPE_MALFORMED;
        return;
    }
    p->field[p->fields++] = number;
}

void tl_parameter_bytes(struct tl_parameter *p, const void *data, CK_ULONG length) {
    tl_parameter_number(p, length);
    if (data == NULL && length > 0)
        p->shape = TL_SHAPE_MALFORMED;
    if (length > 0 && p->shape != TL_SHAPE_MALFORMED)
        p->string[p->strings++] = (struct tl_bytes){data, length};
}

static void read_parameter(struct tl_parameter *p, const CK_MECHANISM *m) {
    p->shape = TL_SHAPE_NONE;
    p->fields = p->strings = 0;
    if (m->pParameter == NULL && m->ulParameterLen > 0)
        p->shape = TL_SHAPE_MALFORMED;
    else if (m->ulParameterLen > 0)
        tl_read_parameter(p, m->mechanism, m->pParameter, m->ulParameterLen);
    if (p->shape == TL_SHAPE_MALFORMED)
        p->fields = p->strings = 0;
}

void tl_put_mechanism(struct tl_buffer *b, const struct tl_mechanism *m) {
    if (m->native == NULL) {
        if (m->encoded.length < FIXED_HEAD)
            tl_buffer_fail(b, CKR_ARGUMENTS_BAD);
        else
            tl_put_raw(b, m->encoded);
        return;
    }
    struct tl_parameter p;
    read_parameter(&p, m->native);
    size_t length = 0;
    for (size_t i = 0; i < p.strings; i++) {
        if (p.string[i].length > TL_MAX_FRAME - length) {
            tl_buffer_fail(b, CKR_MECHANISM_PARAM_INVALID);
            return;
        }
        length += p.string[i].length;
    }
    tl_put_u64(b, m->native->mechanism);
    tl_put_u16(b, p.shape);
    tl_put_u16(b, p.fields);
    tl_put_u32(b, (uint32_t)length);
    for (size_t i = 0; i < p.fields; i++)
        tl_put_u64(b, p.field[i]);
    for (size_t i = 0; i < p.strings; i++)
        tl_put_raw(b, p.string[i]);
}

struct tl_bytes tl_fixed_part(struct tl_bytes encoded) {
    struct tl_view v = {.data = encoded.data, .left = encoded.length};
    tl_get_u64(&v);
    tl_get_u16(&v);
    size_t length = FIXED_HEAD + 8 * (size_t)tl_get_u16(&v);
    if (v.failed || length > encoded.length)
        return (struct tl_bytes){0};
    return (struct tl_bytes){encoded.data, length};
}
