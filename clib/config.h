// Where the server is.
#ifndef TIDELOCK_CONFIG_H
#define TIDELOCK_CONFIG_H

#include <limits.h>
#include <stdbool.h>

// The socket of an installed server, when the environment names no other.
#ifndef TL_DEFAULT_SOCKET
#define TL_DEFAULT_SOCKET "/run/tidelock/tidelock.sock"
#endif

struct tl_config {
    char socket[PATH_MAX]; // absolute
    char home[PATH_MAX];   // TIDELOCK_HOME, "" when it is not set
};

// tl_config_load reads the environment: TIDELOCK_HOME, then TIDELOCK_SOCKET, then
// TL_DEFAULT_SOCKET. A program with more rights than its caller (AT_SECURE) sees
// only the last. A relative path is taken from the current directory, now. False,
// with a line for TIDELOCK_DEBUG, when a path is too long.
bool tl_config_load(struct tl_config *config);

#endif
