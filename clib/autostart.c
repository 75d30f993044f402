#include "autostart.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "debug.h"

// The server's program where the library's own directory has none.
#ifndef TL_PROGRAM
#define TL_PROGRAM "/usr/bin/tidelock"
#endif

enum { READY_DESCRIPTOR = 3 };

// only_ours tells whether nobody but root and the effective user can change what
// path, a canonical path, leads to. A sticky directory such as /tmp lets others add
// names but not change ours, so it is good enough above, never as the last.
static bool only_ours(const char *path) {
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof part)
        return false;
    memcpy(part, path, length + 1);
    for (bool last = true;; last = false) {
        struct stat status;
        if (lstat(part, &status) != 0)
            return false;
        bool owned = status.st_uid == 0 || status.st_uid == geteuid();
        bool shared = (status.st_mode & (S_IWGRP | S_IWOTH)) != 0;
        bool sticky = S_ISDIR(status.st_mode) && (status.st_mode & S_ISVTX) != 0;
        if (!owned || (shared && (last || !sticky))) {
            tl_debug("no autostart: others can change %s", part);
            return false;
        }
        char *slash = strrchr(part, '/');
        if (slash == part && part[1] == '\0')
            return true;
        slash[slash == part ? 1 : 0] = '\0';
    }
}

// own_directory writes the canonical directory of the library's own file.
static bool own_directory(char directory[PATH_MAX]) {
    Dl_info self;
    static const char anchor; // an address inside the library
    if (dladdr(&anchor, &self) == 0 || self.dli_fname == NULL || realpath(self.dli_fname, directory) == NULL)
        return false;
    char *slash = strrchr(directory, '/');
    if (slash == NULL || slash == directory)
        return false;
    *slash = '\0';
    return true;
}

// find_program writes the canonical path of the program to run.
static bool find_program(char program[PATH_MAX]) {
    char directory[PATH_MAX], beside[PATH_MAX];
    if (!own_directory(directory) || !only_ours(directory))
        return false;
    int length = snprintf(beside, sizeof beside, "%s/tidelock", directory);
    if (length < 0 || length >= (int)sizeof beside)
        return false;
    if (realpath(beside, program) == NULL && realpath(TL_PROGRAM, program) == NULL) {
        tl_debug("no autostart: no tidelock program beside the library or at %s", TL_PROGRAM);
        return false;
    }
    return only_ours(program);
}

static bool allowed(const struct tl_config *config, char home[PATH_MAX], char program[PATH_MAX]) {
    if (config->home[0] == '\0' || getauxval(AT_SECURE) != 0)
        return false;
    if (realpath(config->home, home) == NULL)
        return false;
    char marker[PATH_MAX + sizeof "/development"];
    snprintf(marker, sizeof marker, "%s/development", home);
    struct stat status;
    if (lstat(marker, &status) != 0 || !S_ISREG(status.st_mode)) {
        tl_debug("no autostart: %s is not marked for development", home);
        return false;
    }
    return only_ours(home) && find_program(program);
}

// ready_pipe makes a pipe whose ends lie above the descriptors that the child's
// standard streams will take, which the program may have closed.
static bool ready_pipe(int ends[2]) {
    int raw[2];
    if (pipe2(raw, O_CLOEXEC) != 0)
        return false;
    ends[0] = fcntl(raw[0], F_DUPFD_CLOEXEC, READY_DESCRIPTOR + 1);
    ends[1] = fcntl(raw[1], F_DUPFD_CLOEXEC, READY_DESCRIPTOR + 1);
    close(raw[0]);
    close(raw[1]);
    if (ends[0] >= 0 && ends[1] >= 0)
        return true;
    if (ends[0] >= 0)
        close(ends[0]);
    if (ends[1] >= 0)
        close(ends[1]);
    return false;
}

static pid_t spawn(const char *program, const char *home, int ready) {
    char home_variable[PATH_MAX + sizeof "TIDELOCK_HOME="];
    char user_variable[PATH_MAX + sizeof "HOME="];
    snprintf(home_variable, sizeof home_variable, "TIDELOCK_HOME=%s", home);
    char *environment[4] = {home_variable, "PATH=/usr/bin:/bin", NULL, NULL};
    const char *user_home = secure_getenv("HOME");
    if (user_home != NULL && strlen(user_home) < PATH_MAX) {
        snprintf(user_variable, sizeof user_variable, "HOME=%s", user_home);
        environment[2] = user_variable;
    }
    char *arguments[] = {"tidelock", "autostart", "--home", (char *)(uintptr_t)home, NULL};

    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    if (posix_spawn_file_actions_init(&files) != 0)
        return -1;
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return -1;
    }
    sigset_t every, none;
    sigfillset(&every);
    sigemptyset(&none);
    pid_t pid = -1;
    int failed = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    failed |= posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    failed |= posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    failed |= posix_spawn_file_actions_adddup2(&files, ready, READY_DESCRIPTOR);
    failed |= posix_spawn_file_actions_addclosefrom_np(&files, READY_DESCRIPTOR + 1);
    failed |= posix_spawnattr_setsigdefault(&attributes, &every);
    failed |= posix_spawnattr_setsigmask(&attributes, &none);
    failed |= posix_spawnattr_setflags(&attributes,
                                       POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
    if (failed == 0 && posix_spawn(&pid, program, &files, &attributes, arguments, environment) != 0)
        pid = -1;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return pid;
}

enum outcome { READY, ENDED, LATE };

// await waits for the byte that says ready, for the end of the program, or for
// the time to run out.
static enum outcome await(int ready) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    time_t deadline = now.tv_sec + TL_AUTOSTART_SECONDS;
    while (now.tv_sec < deadline) {
        struct pollfd wait = {.fd = ready, .events = POLLIN};
        int n = poll(&wait, 1, (int)(deadline - now.tv_sec) * 1000);
        if (n > 0) {
            char byte;
            ssize_t got = read(ready, &byte, 1);
            if (got >= 0)
                return got == 1 ? READY : ENDED;
        }
        if (n < 0 && errno != EINTR)
            return LATE;
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    return LATE;
}

bool tl_autostart(const struct tl_config *config) {
    char home[PATH_MAX], program[PATH_MAX];
    int ends[2];
    if (!allowed(config, home, program) || !ready_pipe(ends))
        return false;
    pid_t pid = spawn(program, home, ends[1]);
    close(ends[1]);
    enum outcome outcome = pid > 0 ? await(ends[0]) : ENDED;
    close(ends[0]);
    if (outcome != READY)
        tl_debug("autostart: %s %s", program, outcome == LATE ? "took too long" : "failed");
    // A late starter is not waited for. The program may also reap every child by
    // itself; then ECHILD says that nothing is left to do.
    while (pid > 0 && waitpid(pid, NULL, outcome == LATE ? WNOHANG : 0) < 0 && errno == EINTR) {
    }
    return outcome == READY;
}
