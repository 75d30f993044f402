#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "debug.h"
#include "settings.h"
#include "version.h"

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

static bool load_place(struct tl_config *config) {
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

static bool load_level(struct tl_config *config) {
    const char *level = secure_getenv("TIDELOCK_CLIENT_LEVEL");
    struct tl_settings settings = {.level = TL_CLIENT_LEVEL};
    char path[PATH_MAX];
    if (!tl_settings_read(&settings, TL_HOST_SETTINGS))
        return false;
    if (config->home[0] != '\0' &&
        (!set_path(path, "TIDELOCK_HOME", config->home, "/client.conf") || !tl_settings_read(&settings, path)))
        return false;
    if (level != NULL && level[0] != '\0' && !tl_settings_level(level, strlen(level), &settings.level)) {
        tl_debug("TIDELOCK_CLIENT_LEVEL is no level up to the library's own, %d.%d", TL_CLIENT_LEVEL / 10000,
                 TL_CLIENT_LEVEL / 100 % 100);
        return false;
    }
    config->level = settings.level;
    return true;
}

bool tl_config_load(struct tl_config *config) { return load_place(config) && load_level(config); }
