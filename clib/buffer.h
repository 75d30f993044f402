// Frames and the plain field types of docs/wire.md, out of and into memory. The
// codec of the calls (gen/wire.h) is made of these.
#ifndef TIDELOCK_BUFFER_H
#define TIDELOCK_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tidelock/pkcs11.h"

enum {
    TL_HEADER_SIZE = 48,
    TL_MAX_FRAME = 1 << 20, // bytes, header included
    TL_MAX_ATTRIBUTES = 256,
    TL_VERSION = 1,
};

enum { TL_KIND_REQUEST = 1, TL_KIND_REPLY = 2, TL_KIND_WORKING = 3 };

// tl_bytes refers to somebody else's bytes.
struct tl_bytes {
    const uint8_t *data;
    size_t length;
};

struct tl_id {
    uint8_t bytes[16];
};

struct tl_header {
    uint32_t length; // of the whole frame; set by tl_end_frame
    uint8_t kind;
    uint16_t call;
    uint64_t request;
    uint64_t application;
    uint64_t session;
    uint32_t code;
    uint64_t epoch;
};

// tl_buffer is a frame in the making. All zeros is an empty one. The first error
// stays: later puts do nothing, so that it is enough to look at the end.
//   CKR_HOST_MEMORY     no memory
//   CKR_DATA_LEN_RANGE  longer than TL_MAX_FRAME
// and what native.h names.
struct tl_buffer {
    uint8_t *data;
    size_t length;
    size_t capacity;
    CK_RV error;
};

// tl_buffer_reset wipes the content and forgets the error. It keeps memory for the
// next frame, unless that is more than most frames need.
void tl_buffer_reset(struct tl_buffer *b);

// tl_buffer_free wipes and gives back everything; the buffer is empty then.
void tl_buffer_free(struct tl_buffer *b);

// tl_buffer_room makes room for n more bytes and returns their place, or NULL.
uint8_t *tl_buffer_room(struct tl_buffer *b, size_t n);

// tl_buffer_fail sets the error, if it is the first.
void tl_buffer_fail(struct tl_buffer *b, CK_RV error);

// tl_begin_frame resets the buffer and leaves room for the header.
void tl_begin_frame(struct tl_buffer *b);

// tl_end_frame writes the header, its length being that of the buffer, in front of
// the body, and returns the buffer's error. Only with CKR_OK is there a frame.
CK_RV tl_end_frame(struct tl_buffer *b, const struct tl_header *header);

// tl_get_header reads a header. False means that nothing on this connection can
// be trusted any more.
bool tl_get_header(const uint8_t bytes[TL_HEADER_SIZE], struct tl_header *header);

void tl_put_u8(struct tl_buffer *b, uint8_t v);
void tl_put_u16(struct tl_buffer *b, uint16_t v);
void tl_put_u32(struct tl_buffer *b, uint32_t v);
void tl_put_u64(struct tl_buffer *b, uint64_t v);
void tl_put_bool(struct tl_buffer *b, bool v);
void tl_put_id(struct tl_buffer *b, const struct tl_id *id);
void tl_put_bytes(struct tl_buffer *b, struct tl_bytes v); // bytes, secret, text
void tl_put_raw(struct tl_buffer *b, struct tl_bytes v);   // without a length

// tl_put_u64s writes an array of CK_ULONG.
struct tl_ulongs {
    const CK_ULONG *values;
    size_t count;
};
void tl_put_u64s(struct tl_buffer *b, struct tl_ulongs v);

// tl_view is what is left of a body. The first read beyond its end makes it fail;
// that and all later reads give zeros.
struct tl_view {
    const uint8_t *data;
    size_t left;
    bool failed;
};

// tl_view_end tells whether all reads succeeded and nothing is left over.
bool tl_view_end(const struct tl_view *v);

uint8_t tl_get_u8(struct tl_view *v);
uint16_t tl_get_u16(struct tl_view *v);
uint32_t tl_get_u32(struct tl_view *v);
uint64_t tl_get_u64(struct tl_view *v);
bool tl_get_bool(struct tl_view *v);
struct tl_id tl_get_id(struct tl_view *v);
struct tl_bytes tl_get_bytes(struct tl_view *v); // bytes, secret, text

// Lists refer to the body that they were read from and have been checked as a
// whole, so that going through one cannot fail. tl_next_... returns false after
// the last element.
struct tl_u64s {
    const uint8_t *data;
    size_t count;
};
struct tl_u64s tl_get_u64s(struct tl_view *v);
uint64_t tl_u64s_at(const struct tl_u64s *list, size_t i); // i < count

struct tl_texts {
    struct tl_view rest;
    size_t count; // of those not yet taken
};
struct tl_texts tl_get_texts(struct tl_view *v);
bool tl_next_text(struct tl_texts *list, struct tl_bytes *text);

enum { TL_VALUE_PRESENT = 0, TL_VALUE_SENSITIVE = 1, TL_VALUE_ABSENT = 2 };

struct tl_value {
    uint8_t status; // TL_VALUE_
    struct tl_bytes value;
};
struct tl_values {
    struct tl_view rest;
    size_t count; // of those not yet taken
};
struct tl_values tl_get_values(struct tl_view *v);
bool tl_next_value(struct tl_values *list, struct tl_value *value);

struct tl_attribute {
    CK_ATTRIBUTE_TYPE type;
    struct tl_bytes value;
};
struct tl_attributes {
    struct tl_view rest;
    size_t count; // of those not yet taken
};

// tl_get_attributes reads a template; tl_parse_template one that is, as a whole, an
// attribute's value (false when it does not parse). Templates inside it are only
// checked once they are parsed themselves.
struct tl_attributes tl_get_attributes(struct tl_view *v);
bool tl_parse_template(struct tl_bytes value, struct tl_attributes *list);
bool tl_next_attribute(struct tl_attributes *list, struct tl_attribute *attribute);

#endif
