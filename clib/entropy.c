#include "entropy.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/types.h>

bool tl_entropy(void *bytes, size_t length) {
    ssize_t got;
    do
        got = getrandom(bytes, length, 0);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)length;
}
