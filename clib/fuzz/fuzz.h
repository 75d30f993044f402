// What the fuzz targets share. A target is a program of one LLVMFuzzerTestOneInput, which
// libFuzzer calls (make fuzz), or seeds.c, once for each file (make test).
#ifndef TIDELOCK_FUZZ_H
#define TIDELOCK_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

// LLVMFuzzerTestOneInput aborts where something does not hold for the input.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void require(bool holds) {
    if (!holds)
        abort();
}

#endif
