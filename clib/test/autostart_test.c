// Autostart: what is run, with what, and when nothing is run at all. The argument
// is the library's file, which is copied beside a program that only leaves traces.
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "check.h"
#include "tidelock/pkcs11.h"

static char root[] = "/tmp/tidelock-test-XXXXXX";

// at builds a path under the test's directory; four of them may be in use at once.
static const char *at(const char *name) {
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static void write_file(const char *path, const char *text, mode_t mode) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    CHECK(fchmod(fd, mode) == 0 && close(fd) == 0);
}

static void copy_file(const char *from, const char *to) {
    static char buffer[1 << 16];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    CHECK(in >= 0 && out >= 0);
    for (ssize_t n; (n = read(in, buffer, sizeof buffer)) > 0;)
        CHECK(write(out, buffer, (size_t)n) == n);
    CHECK(close(in) == 0 && close(out) == 0);
}

static bool contains(const char *path, const char *text) {
    static char content[1 << 16];
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, content, sizeof content - 1);
    close(fd);
    content[n > 0 ? n : 0] = '\0';
    return strstr(content, text) != NULL;
}

// ran initialises in a child, and tells whether the program was run.
static bool ran(void) {
    unlink(at("home/trace"));
    pid_t child = fork();
    if (child == 0) {
        sigset_t blocked;
        sigfillset(&blocked);
        sigprocmask(SIG_BLOCK, &blocked, NULL);
        signal(SIGPIPE, SIG_IGN);
        setenv("TIDELOCK_HOME", at("home"), 1);
        setenv("LD_PRELOAD_OF_THE_PROGRAM", "1", 1);
        CHECK(dup2(open("/dev/null", O_RDONLY), 50) == 50);
        close(0); // the pipe must not take the place of a standard stream
        void *library = dlopen(at("lib/libtidelock.so"), RTLD_NOW);
        CHECK(library != NULL);
        CK_C_Initialize initialize;
        *(void **)&initialize = dlsym(library, "C_Initialize");
        // No server comes of it: the program says that it is ready, and that is all.
        CHECK_RV(CKR_FUNCTION_FAILED, initialize(NULL));
        CHECK(waitpid(-1, NULL, WNOHANG) < 0); // no zombie is left
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return access(at("home/trace"), F_OK) == 0;
}

static const char program[] = "#!/bin/sh\n"
                              "{ echo \"arguments $*\"; env; grep -E 'SigBlk|SigIgn' /proc/self/status;\n"
                              "for f in /proc/$$/fd/*; do echo \"descriptor ${f##*/} $(readlink $f)\"; done; } "
                              ">$TIDELOCK_HOME/trace\n"
                              "printf x >&3\n";

static void traces(void) {
    const char *trace = at("home/trace");
    char arguments[256];
    snprintf(arguments, sizeof arguments, "arguments autostart --home %s\n", at("home"));
    CHECK(contains(trace, arguments));
    CHECK(contains(trace, "\nPATH=/usr/bin:/bin\n") && contains(trace, "\nTIDELOCK_HOME="));
    CHECK(!contains(trace, "LD_PRELOAD"));
    CHECK(contains(trace, "descriptor 0 /dev/null\n") && contains(trace, "descriptor 2 /dev/null\n"));
    CHECK(contains(trace, "descriptor 3 pipe:") && !contains(trace, "descriptor 50"));
    // The C library keeps its two internal signals, 32 and 33, ignored.
    CHECK(contains(trace, "SigBlk:\t0000000000000000\n") && contains(trace, "SigIgn:\t0000000180000000\n"));
}

// refuses checks that nothing is run while mode, or owner, of a file is wrong.
static void refuses(const char *name, mode_t wrong) {
    struct stat status;
    CHECK(stat(at(name), &status) == 0);
    CHECK(chmod(at(name), wrong) == 0);
    if (ran()) {
        fprintf(stderr, "run although %s has mode %o\n", name, wrong);
        _exit(1);
    }
    CHECK(chmod(at(name), status.st_mode & 07777) == 0);
    if (geteuid() == 0) {
        CHECK(chown(at(name), 12345, (gid_t)-1) == 0);
        if (ran()) {
            fprintf(stderr, "run by root although %s is another user's\n", name);
            _exit(1);
        }
        CHECK(chown(at(name), 0, (gid_t)-1) == 0 && chmod(at(name), status.st_mode & 07777) == 0);
    }
}

int main(int count, char **arguments) {
    CHECK(count == 2 && mkdtemp(root) != NULL);
    CHECK(mkdir(at("home"), 0700) == 0 && mkdir(at("lib"), 0755) == 0);
    copy_file(arguments[1], at("lib/libtidelock.so"));
    write_file(at("lib/tidelock"), program, 0755);
    unsetenv("TIDELOCK_DEBUG");

    CHECK(!ran()); // no marker
    write_file(at("home/development"), "", 0600);
    CHECK(ran());
    traces();
    refuses("home", 0770);
    refuses("lib", 0777);
    refuses("lib", 01777); // sticky: others could add the program
    refuses("lib/tidelock", 0757);
    CHECK(rename(at("home/development"), at("home/marker")) == 0);
    CHECK(symlink("marker", at("home/development")) == 0);
    CHECK(!ran());
    CHECK(unlink(at("home/development")) == 0 && rename(at("home/marker"), at("home/development")) == 0);
    CHECK(ran());

    // A program that ends without a word is no server, and is not waited for.
    write_file(at("lib/tidelock"), "#!/bin/sh\n: >$TIDELOCK_HOME/trace\nexit 1\n", 0755);
    time_t start = time(NULL);
    CHECK(ran() && time(NULL) - start < 5);
    static const char *const made[] = {"home/trace", "home/development", "lib/tidelock", "lib/libtidelock.so"};
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++)
        CHECK(unlink(at(made[i])) == 0);
    CHECK(rmdir(at("home")) == 0 && rmdir(at("lib")) == 0 && rmdir(root) == 0);
    return 0;
}
