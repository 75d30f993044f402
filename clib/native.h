// The structures of PKCS#11 as they stand in the application's memory, out to the
// wire (docs/wire.md, "Attribute values" and "Mechanisms").
#ifndef TIDELOCK_NATIVE_H
#define TIDELOCK_NATIVE_H

#include "buffer.h"

// How deep templates nest; one without templates in it counts 1.
enum { TL_MAX_DEPTH = 4 };

struct tl_template {
    const CK_ATTRIBUTE *attributes;
    CK_ULONG count;
};

// tl_put_template writes a template. The errors:
//   CKR_ARGUMENTS_BAD            no pointer, or more than TL_MAX_ATTRIBUTES
//   CKR_ATTRIBUTE_VALUE_INVALID  a value with a length but no pointer or longer than
//                                a frame; a template as value that has these faults,
//                                is nested too deep, or is no whole number of attributes
void tl_put_template(struct tl_buffer *b, struct tl_template t);

// tl_is_template tells whether values of the type are templates. Generated from
// the table of attributes.
bool tl_is_template(CK_ATTRIBUTE_TYPE type);

// tl_mechanism is a mechanism in the application's memory or, where native is NULL,
// one that tl_put_mechanism has written before.
struct tl_mechanism {
    const CK_MECHANISM *native;
    struct tl_bytes encoded;
};

// tl_put_mechanism writes a mechanism. A parameter that cannot be read (a wrong
// size, a length without a pointer) goes out as malformed: when to complain is the
// server's business. The errors: CKR_ARGUMENTS_BAD, no mechanism at all;
// CKR_MECHANISM_PARAM_INVALID, a parameter longer than a frame.
void tl_put_mechanism(struct tl_buffer *b, const struct tl_mechanism *m);

// tl_fixed_part returns the part of an encoded mechanism that decides whether it is
// acceptable and how long its output is: type, shape, and the fields, which are
// numbers and the lengths of byte strings. It is what permits are found by.
struct tl_bytes tl_fixed_part(struct tl_bytes encoded);

// A parameter as it goes on the wire.
enum { TL_SHAPE_NONE = 0, TL_SHAPE_BYTES = 1, TL_SHAPE_MALFORMED = 0xffff };
enum { TL_MAX_FIELDS = 32 };

// Of field and string only the first fields and strings entries are set.
struct tl_parameter {
    uint16_t shape;
    uint16_t fields;
    uint16_t strings;
    uint64_t field[TL_MAX_FIELDS];
    struct tl_bytes string[TL_MAX_FIELDS];
};

// tl_parameter_number and tl_parameter_bytes append a field.
void tl_parameter_number(struct tl_parameter *p, CK_ULONG number);
void tl_parameter_bytes(struct tl_parameter *p, const void *data, CK_ULONG length);

// tl_read_parameter reads the structure at data, which is not NULL, in the shape of
// the mechanism type. Generated from the tables of mechanisms and parameters.
void tl_read_parameter(struct tl_parameter *p, CK_MECHANISM_TYPE type, const void *data, CK_ULONG length);

#endif
