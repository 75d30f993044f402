// The socket under a connection.
#ifndef TIDELOCK_SOCKET_H
#define TIDELOCK_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// How long a caller waits for the next byte of a server that owes one.
#ifndef TL_PATIENCE_SECONDS
#define TL_PATIENCE_SECONDS 20
#endif

// tl_socket_connect connects to the socket at an absolute path and checks who
// listens there: root, the effective user, or the owner of the socket's directory.
// It returns a descriptor, or -1 with errno; EPERM for a server of another user.
int tl_socket_connect(const char *path);

// tl_identity tells a socket from another that later got the same number.
struct tl_identity {
    dev_t device;
    ino_t inode;
};

struct tl_identity tl_socket_identity(int fd);

// tl_socket_is tells whether fd still is that socket: programs close descriptors
// that they do not know, and reuse the numbers.
bool tl_socket_is(int fd, struct tl_identity identity);

// tl_socket_send sends all of data; false when the connection is lost.
bool tl_socket_send(int fd, const void *data, size_t length);

// tl_socket_receive reads at least one byte and at most size; 0 when the
// connection is lost, or silent for TL_PATIENCE_SECONDS. A descriptor that comes along
// is put into *passed, which is -1 until then, and belongs to the caller; without
// passed it is dropped.
size_t tl_socket_receive(int fd, void *data, size_t size, int *passed);

// tl_socket_is_quiet is true while the other side has neither closed nor sent
// anything: as a connection is between two calls.
bool tl_socket_is_quiet(int fd);

#endif
