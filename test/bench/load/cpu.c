#define _GNU_SOURCE
#include "cpu.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

double cpu_seconds(pid_t pid) {
    clockid_t clock;
    struct timespec now;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &now) != 0)
        return -1;
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

pid_t cpu_peer(void) {
    DIR *fds = opendir("/proc/self/fd");
    if (fds == NULL)
        return 0;
    pid_t peer = 0;
    for (struct dirent *entry; peer == 0 && (entry = readdir(fds)) != NULL;) {
        int fd = atoi(entry->d_name);
        if (fd <= STDERR_FILENO) // inherited; also "." and ".."
            continue;
        int domain = 0;
        socklen_t length = sizeof domain;
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0 || domain != AF_UNIX)
            continue;
        struct ucred cred;
        length = sizeof cred;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &length) != 0)
            continue;
        if (cred.pid > 0 && cred.pid != getpid() && cpu_seconds(cred.pid) >= 0)
            peer = cred.pid;
    }
    closedir(fds);
    return peer;
}
