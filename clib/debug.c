#include "debug.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void tl_debug(const char *format, ...) {
    if (secure_getenv("TIDELOCK_DEBUG") == NULL)
        return;
    int saved = errno;
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length > 0)
        dprintf(STDERR_FILENO, "tidelock: %s\n", line);
    errno = saved;
}
