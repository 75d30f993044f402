#ifndef TIDELOCK_TEXT_H
#define TIDELOCK_TEXT_H

#include "buffer.h"

// tl_pad writes text into a fixed field of a PKCS#11 structure, padded with blanks,
// cut where a UTF-8 character begins.
void tl_pad(CK_UTF8CHAR *field, size_t size, struct tl_bytes text);

// tl_unpad is a fixed field's text without the blanks that pad it; it refers to the field.
struct tl_bytes tl_unpad(const CK_UTF8CHAR *field, size_t size);

#endif
