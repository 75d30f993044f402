#ifndef TIDELOCK_DEBUG_H
#define TIDELOCK_DEBUG_H

// tl_debug writes one line to standard error when TIDELOCK_DEBUG is set (and the
// program is not set-uid); a library is silent otherwise. It never gets a secret.
void tl_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
