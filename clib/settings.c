#include "settings.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "debug.h"
#include "version.h"

struct word {
    const char *data;
    size_t length;
};

static bool is(struct word w, const char *text) {
    return w.length == strlen(text) && memcmp(w.data, text, w.length) == 0;
}

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

static struct word trim(struct word w) {
    while (w.length > 0 && blank(w.data[0]))
        w = (struct word){w.data + 1, w.length - 1};
    while (w.length > 0 && blank(w.data[w.length - 1]))
        w.length--;
    return w;
}

// until takes from *rest what stands before a character, and the character itself. False,
// with nothing taken, when it is not there.
static bool until(struct word *rest, char end, struct word *before) {
    const char *at = rest->length == 0 ? NULL : memchr(rest->data, end, rest->length);
    if (at == NULL)
        return false;
    size_t n = (size_t)(at - rest->data);
    *before = (struct word){rest->data, n};
    *rest = (struct word){at + 1, rest->length - n - 1};
    return true;
}

// number reads a number below 100.
static bool number(struct word w, uint32_t *n) {
    if (w.length < 1 || w.length > 2 || (w.length == 2 && w.data[0] == '0'))
        return false;
    *n = 0;
    for (size_t i = 0; i < w.length; i++) {
        if (w.data[i] < '0' || w.data[i] > '9')
            return false;
        *n = *n * 10 + (uint32_t)(w.data[i] - '0');
    }
    return true;
}

bool tl_settings_level(const char *text, size_t length, uint32_t *level) {
    struct word rest = {text, length}, part;
    uint32_t major, minor, patch = 0;
    if (!until(&rest, '.', &part) || !number(part, &major) || major == 0)
        return false;
    bool patched = until(&rest, '.', &part);
    if (!number(patched ? part : rest, &minor) || (patched && !number(rest, &patch)))
        return false;
    *level = major * 10000 + minor * 100 + patch;
    return *level <= TL_CLIENT_LEVEL;
}

// set takes one setting. NULL when it is sound.
static const char *set(struct tl_settings *settings, struct word key, struct word value) {
    if (!is(key, "level"))
        return "there is no such key; `level` is the only one";
    if (!tl_settings_level(value.data, value.length, &settings->level))
        return "a level is major.minor or major.minor.patch, up to the library's own";
    return NULL;
}

const char *tl_settings_parse(struct tl_settings *settings, const char *text, size_t length, unsigned *line) {
    struct word rest = {text, length}, now, key;
    bool given = false;
    *line = 0;
    while (rest.length > 0) {
        ++*line;
        if (!until(&rest, '\n', &now)) {
            now = rest;
            rest.length = 0;
        }
        now = trim(now);
        if (now.length == 0 || now.data[0] == '#')
            continue;
        if (!until(&now, '=', &key))
            return "neither `key = value` nor a comment";
        const char *fault = set(settings, trim(key), trim(now));
        if (fault != NULL)
            return fault;
        if (given)
            return "the level is set twice";
        given = true;
    }
    return NULL;
}

// slurp reads a file whole, up to room bytes. -1, with errno, when it cannot.
static ssize_t slurp(const char *path, char *to, size_t room) {
    // A pipe would make the program wait for whoever writes it.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return -1;
    struct stat status;
    ssize_t got = -1;
    size_t length = 0;
    if (fstat(fd, &status) == 0 && !S_ISREG(status.st_mode))
        errno = EINVAL;
    else
        while (length < room && (got = read(fd, to + length, room - length)) > 0)
            length += (size_t)got;
    int cause = errno;
    close(fd);
    errno = cause;
    return got < 0 ? -1 : (ssize_t)length;
}

bool tl_settings_read(struct tl_settings *settings, const char *path) {
    char text[TL_SETTINGS_SIZE + 1];
    unsigned line;
    ssize_t length = slurp(path, text, sizeof text);
    if (length < 0 && (errno == ENOENT || errno == ENOTDIR))
        return true;
    if (length < 0) {
        tl_debug("%s cannot be read: %s", path, strerrordesc_np(errno));
        return false;
    }
    if (length > TL_SETTINGS_SIZE) {
        tl_debug("%s is longer than %d bytes", path, TL_SETTINGS_SIZE);
        return false;
    }
    const char *fault = tl_settings_parse(settings, text, (size_t)length, &line);
    if (fault != NULL)
        tl_debug("%s, line %u: %s", path, line, fault);
    return fault == NULL;
}
