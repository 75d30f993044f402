// The client's settings: `key = value` lines of a file, client.conf.
//
//     # to a server, a client of this level
//     level = 10.2
//
// A line is a setting, a comment that # begins, or blank; blanks and tabs around keys and
// values do not count.
#ifndef TIDELOCK_SETTINGS_H
#define TIDELOCK_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The longest file that is read, in bytes.
enum { TL_SETTINGS_SIZE = 4096 };

struct tl_settings {
    uint32_t level; // of the client, as Hello announces it: major*10000 + minor*100 + patch
};

// tl_settings_level reads a level, major.minor or major.minor.patch, of numbers below 100
// without leading zeros. False for another text, and for a level above TL_CLIENT_LEVEL:
// nobody can say here what such a client does.
bool tl_settings_level(const char *text, size_t length, uint32_t *level);

// tl_settings_parse reads the text of a file over what settings holds. NULL when it is
// sound, else what is wrong with line *line, the first being 1.
const char *tl_settings_parse(struct tl_settings *settings, const char *text, size_t length, unsigned *line);

// tl_settings_read is tl_settings_parse of a file. A file that is not there has no
// settings. False, with a line for TIDELOCK_DEBUG, when it cannot be read, is longer than
// TL_SETTINGS_SIZE or has a line that is wrong.
bool tl_settings_read(struct tl_settings *settings, const char *path);

#endif
