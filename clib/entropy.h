#ifndef TIDELOCK_ENTROPY_H
#define TIDELOCK_ENTROPY_H

#include <stdbool.h>
#include <stddef.h>

// tl_entropy fills up to 256 bytes from the kernel's generator. False when it cannot.
bool tl_entropy(void *bytes, size_t length);

#endif
