#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "debug.h"

// trusted checks the peer before anything secret is sent to it.
static bool trusted(int fd, uid_t directory_owner) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return false;
    if (peer.uid == 0 || peer.uid == geteuid() || peer.uid == directory_owner)
        return true;
    tl_debug("the server runs as user %u, who does not own its directory", (unsigned)peer.uid);
    errno = EPERM;
    return false;
}

static bool connect_in(int fd, int directory, const char *path, const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    // The kernel takes 107 bytes of path. A longer one is reached through the
    // descriptor of its directory; the shorter form works without /proc.
    int length = strlen(path) < sizeof address.sun_path
                     ? snprintf(address.sun_path, sizeof address.sun_path, "%s", path)
                     : snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory, name);
    if (length < 0 || length >= (int)sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    int result;
    do
        result = connect(fd, (struct sockaddr *)&address, sizeof address);
    while (result != 0 && errno == EINTR);
    return result == 0;
}

// above_streams moves a descriptor above the standard streams, which the program may have
// closed: what it prints must not go to the server.
static int above_streams(int fd) {
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int cause = errno;
    close(fd);
    errno = cause;
    return moved;
}

static int connected(int directory, const char *path, const char *name) {
    struct stat owner;
    if (fstat(directory, &owner) != 0)
        return -1;
    int fd = above_streams(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (fd < 0)
        return -1;
    struct timeval patience = {.tv_sec = TL_PATIENCE_SECONDS};
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
        connect_in(fd, directory, path, name) && trusted(fd, owner.st_uid))
        return fd;
    int cause = errno;
    close(fd);
    errno = cause;
    return -1;
}

int tl_socket_connect(const char *path) {
    char directory_path[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path);
    if (slash == NULL || length >= sizeof directory_path) {
        errno = EINVAL;
        return -1;
    }
    memcpy(directory_path, path, length);
    memcpy(directory_path + length, length == 0 ? "/" : "", length == 0 ? 2 : 1);
    int directory = open(directory_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return -1;
    int fd = connected(directory, path, slash + 1);
    int cause = errno;
    close(directory);
    errno = cause;
    return fd;
}

struct tl_identity tl_socket_identity(int fd) {
    struct stat status;
    if (fstat(fd, &status) != 0)
        return (struct tl_identity){0};
    return (struct tl_identity){.device = status.st_dev, .inode = status.st_ino};
}

bool tl_socket_is(int fd, struct tl_identity identity) {
    struct tl_identity now = tl_socket_identity(fd);
    return now.inode != 0 && now.inode == identity.inode && now.device == identity.device;
}

static time_t seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

// again tells whether a call that a signal interrupted may be made again. The
// kernel's time limit starts anew each time, so a program with a busy timer needs
// a limit over all of them.
static bool again(time_t *deadline) {
    if (errno != EINTR)
        return false;
    time_t now = seconds();
    if (*deadline == 0)
        *deadline = now + TL_PATIENCE_SECONDS;
    return now < *deadline;
}

bool tl_socket_send(int fd, const void *data, size_t length) {
    const uint8_t *at = data;
    time_t deadline = 0;
    while (length > 0) {
        ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
        if (sent < 0) {
            if (again(&deadline))
                continue;
            return false;
        }
        at += sent;
        length -= (size_t)sent;
        deadline = 0;
    }
    return true;
}

// receive is recv that also takes a descriptor, where the caller wants one.
static ssize_t receive(int fd, void *data, size_t size, int *passed) {
    if (passed == NULL)
        return recv(fd, data, size, 0);
    union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec to = {.iov_base = data, .iov_len = size};
    struct msghdr message = {
        .msg_iov = &to, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_LEN(sizeof(int))};
    ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    const struct cmsghdr *part = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
    if (part == NULL || part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS ||
        part->cmsg_len != CMSG_LEN(sizeof(int)))
        return got;
    if (*passed >= 0)
        close(*passed);
    memcpy(passed, CMSG_DATA(part), sizeof *passed);
    return got;
}

size_t tl_socket_receive(int fd, void *data, size_t size, int *passed) {
    time_t deadline = 0;
    for (;;) {
        ssize_t got = receive(fd, data, size, passed);
        if (got >= 0)
            return (size_t)got;
        if (!again(&deadline))
            return 0;
    }
}

bool tl_socket_is_quiet(int fd) {
    uint8_t byte;
    ssize_t got;
    do
        got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}
