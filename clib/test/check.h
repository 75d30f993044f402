// The few macros that the tests are written with.
#ifndef TIDELOCK_TEST_CHECK_H
#define TIDELOCK_TEST_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// CHECK ends the process when the condition does not hold; in a child by _exit, so
// that it does not run its parent's exit handlers.
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

// CHECK_RV compares a return code.
#define CHECK_RV(wanted, call)                                                                                         \
    do {                                                                                                               \
        unsigned long got_rv = (call), wanted_rv = (wanted);                                                           \
        if (got_rv != wanted_rv) {                                                                                     \
            fprintf(stderr, "%s:%d: %s is 0x%lx, want %s\n", __FILE__, __LINE__, #call, got_rv, #wanted);              \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

#endif
