#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "debug.h"

static bool set_path(char target[PATH_MAX], const char *name, const char *value, const char *below) {
    char directory[PATH_MAX] = "";
    // A relative path is meant from here, also after chdir.
    if (value[0] != '/' && getcwd(directory, sizeof directory - 1) == NULL) {
        tl_debug("%s is a relative path, and the current directory has none", name);
        return false;
    }
    const char *slash = value[0] == '/' ? "" : "/";
    int length = snprintf(target, PATH_MAX, "%s%s%s%s", directory, slash, value, below);
    if (length < 0 || length >= PATH_MAX) {
        tl_debug("%s is longer than %d bytes", name, PATH_MAX - 1);
        return false;
    }
    return true;
}

bool tl_config_load(struct tl_config *config) {
    const char *home = secure_getenv("TIDELOCK_HOME");
    const char *socket = secure_getenv("TIDELOCK_SOCKET");
    config->home[0] = '\0';
    if (home != NULL && home[0] != '\0')
        return set_path(config->home, "TIDELOCK_HOME", home, "") &&
               set_path(config->socket, "TIDELOCK_HOME", home, "/run/tidelock.sock");
    if (socket != NULL && socket[0] != '\0')
        return set_path(config->socket, "TIDELOCK_SOCKET", socket, "");
    return set_path(config->socket, "the compiled-in socket", TL_DEFAULT_SOCKET, "");
}
