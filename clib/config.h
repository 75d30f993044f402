// Where the server is, and what level of client it meets.
#ifndef TIDELOCK_CONFIG_H
#define TIDELOCK_CONFIG_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

// The socket of an installed server, when the environment names no other.
#ifndef TL_DEFAULT_SOCKET
#define TL_DEFAULT_SOCKET "/run/tidelock/tidelock.sock"
#endif

// The settings of all clients of this host (settings.h).
#ifndef TL_HOST_SETTINGS
#define TL_HOST_SETTINGS "/etc/tidelock/client.conf"
#endif

struct tl_config {
    char socket[PATH_MAX]; // absolute
    char home[PATH_MAX];   // TIDELOCK_HOME, "" when it is not set
    uint32_t level;        // as Hello announces it
};

// tl_config_load reads the environment and the settings. The server is at TIDELOCK_HOME,
// else TIDELOCK_SOCKET, else TL_DEFAULT_SOCKET; a relative path is taken from the current
// directory, now. The level is TIDELOCK_CLIENT_LEVEL, else what client.conf in
// TIDELOCK_HOME says, else TL_HOST_SETTINGS, else TL_CLIENT_LEVEL. A program with more
// rights than its caller (AT_SECURE) sees nothing of the environment. False, with a line
// for TIDELOCK_DEBUG, when a path is too long or a setting is wrong.
bool tl_config_load(struct tl_config *config);

#endif
