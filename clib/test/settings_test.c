// The client's level: what may stand in a client.conf, and which place has the last word.
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "check.h"
#include "fake.h"
#include "settings.h"
#include "version.h"

static struct fake *fake;

static void levels(void) {
    static const struct {
        const char *text;
        uint32_t level; // 0: refused
    } rows[] = {
        {"10.2", 100200}, {"10.2.1", 100201},
        {"7.2.0", 70200}, {"10.5.0", TL_CLIENT_LEVEL},
        {"1.0", 10000},   {"9.99.99", 99999},
        {"10.5.1", 0},    {"10.6", 0},
        {"99.0", 0},      {"100.1", 0},
        {"10", 0},        {"10.", 0},
        {".2", 0},        {"", 0},
        {".", 0},         {"10.2.", 0},
        {"10..2", 0},     {"10.2.1.0", 0},
        {"10.02", 0},     {"010.2", 0},
        {"0.9", 0},       {"10.2a", 0},
        {"-1.2", 0},      {"+1.2", 0},
        {"10 .2", 0},     {"ten", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t level = 0;
        bool sound = tl_settings_level(rows[i].text, strlen(rows[i].text), &level);
        if (sound != (rows[i].level != 0) || (sound && level != rows[i].level)) {
            fprintf(stderr, "level %s: %d, %u\n", rows[i].text, sound, level);
            _exit(1);
        }
    }
}

static void texts(void) {
    static const struct {
        const char *text;
        uint32_t level;
        unsigned fault; // the line, 0 for none
    } rows[] = {
        {"", 70000, 0},
        {"level=10.2", 100200, 0},
        {"\n# a comment = 1\n \t level \t=  10.2.1 \r\n\n", 100201, 0},
        {"level = 10.2\nlevel = 10.2\n", 0, 2},
        {"# level = 10.2\n", 70000, 0},
        {"level = 10.2 # a comment\n", 0, 1},
        {"\n\nLevel = 10.2\n", 0, 3},
        {"levels = 10.2\n", 0, 1},
        {"= 10.2\n", 0, 1},
        {"level\n", 0, 1},
        {"level =\n", 0, 1},
        {"level = 10.2 = 10.2", 0, 1},
        {"level = 11.0\n", 0, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tl_settings settings = {.level = 70000};
        unsigned line = 0;
        const char *fault = tl_settings_parse(&settings, rows[i].text, strlen(rows[i].text), &line);
        if ((fault != NULL) != (rows[i].fault != 0) || (fault != NULL && line != rows[i].fault) ||
            (fault == NULL && settings.level != rows[i].level)) {
            fprintf(stderr, "text %zu: %s, line %u, level %u\n", i, fault, line, settings.level);
            _exit(1);
        }
    }
    struct tl_settings settings;
    unsigned line;
    CHECK(tl_settings_parse(&settings, "level = 10.2\0", 13, &line) != NULL); // a byte 0 is no blank
}

static void put(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void announces(uint32_t level) {
    CHECK_RV(CKR_OK, C_Initialize(NULL));
    CHECK(atomic_load(&fake->level) == level);
    CHECK_RV(CKR_OK, C_Finalize(NULL));
}

// The server is at TIDELOCK_SOCKET, and at run/tidelock.sock of a home that is made here.
static void places(void) {
    char directory[] = "/tmp/settings-XXXXXX", longest[TL_SETTINGS_SIZE + 2], before[PATH_MAX];
    CHECK(getcwd(before, sizeof before) != NULL && mkdtemp(directory) != NULL && chdir(directory) == 0);
    CHECK(mkdir("run", 0700) == 0 && symlink(getenv("TIDELOCK_SOCKET"), "run/tidelock.sock") == 0);
    announces(TL_CLIENT_LEVEL);
    put("host-client.conf", "level = 10.1\n");
    announces(100100);
    // A home's settings are nothing to those who do not name it.
    put("client.conf", "level = 10.2\n");
    announces(100100);
    setenv("TIDELOCK_HOME", directory, 1);
    announces(100200);
    put("client.conf", "");
    announces(100100);
    setenv("TIDELOCK_CLIENT_LEVEL", "10.3.4", 1);
    announces(100304);
    setenv("TIDELOCK_CLIENT_LEVEL", "", 1);
    announces(100100);

    // What is wrong counts also where another place has the last word.
    setenv("TIDELOCK_CLIENT_LEVEL", "10.3", 1);
    put("host-client.conf", "colour = blue\n");
    CHECK_RV(CKR_GENERAL_ERROR, C_Initialize(NULL));
    memset(longest, '\n', sizeof longest);
    longest[TL_SETTINGS_SIZE + 1] = '\0';
    put("host-client.conf", longest);
    CHECK_RV(CKR_GENERAL_ERROR, C_Initialize(NULL));
    longest[TL_SETTINGS_SIZE] = '\0';
    put("host-client.conf", longest);
    announces(100300);
    CHECK(unlink("host-client.conf") == 0 && mkfifo("host-client.conf", 0600) == 0);
    CHECK_RV(CKR_GENERAL_ERROR, C_Initialize(NULL)); // and does not wait for a writer
    CHECK(unlink("host-client.conf") == 0);
    put("client.conf", "level = 10.9\n");
    CHECK_RV(CKR_GENERAL_ERROR, C_Initialize(NULL));
    CHECK(unlink("client.conf") == 0);
    announces(100300);
    setenv("TIDELOCK_CLIENT_LEVEL", "new", 1);
    CHECK_RV(CKR_GENERAL_ERROR, C_Initialize(NULL));
    unsetenv("TIDELOCK_CLIENT_LEVEL");
    announces(TL_CLIENT_LEVEL);
    unsetenv("TIDELOCK_HOME");
    CHECK(unlink("run/tidelock.sock") == 0 && rmdir("run") == 0 && chdir(before) == 0 && rmdir(directory) == 0);
}

int main(void) {
    levels();
    texts();
    fake = fake_start();
    places();
    fake_stop();
    return 0;
}
