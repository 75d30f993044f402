#include "text.h"

#include <string.h>

void tl_pad(CK_UTF8CHAR *field, size_t size, struct tl_bytes text) {
    size_t length = text.length < size ? text.length : size;
    if (length < text.length)
        while (length > 0 && (text.data[length] & 0xc0) == 0x80)
            length--;
    memset(field, ' ', size);
    if (length > 0)
        memcpy(field, text.data, length);
}

struct tl_bytes tl_unpad(const CK_UTF8CHAR *field, size_t size) {
    while (size > 0 && field[size - 1] == ' ')
        size--;
    return (struct tl_bytes){field, size};
}
