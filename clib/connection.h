// One connection to the server.
#ifndef TIDELOCK_CONNECTION_H
#define TIDELOCK_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "config.h"
#include "shm.h"
#include "socket.h"

// tl_application is who the process is to the server; made anew by each
// C_Initialize.
struct tl_application {
    uint8_t id[16];
    uint8_t secret[16];
};

struct tl_connection {
    struct tl_connection *next; // in the list of idle ones
    int fd;
    unsigned place; // the pool's mark
    struct tl_identity identity;
    uint64_t application; // the server's number for it
    uint64_t boot;        // the run of the server
    uint32_t max_frame;   // the longest frame that the server takes
    uint64_t request;     // the last request's number
    bool lost;

    struct tl_area *area; // NULL when all replies come over the socket
    bool share;           // the pool's mark: others are in a call too
    bool shared;          // the reply may come through the area
    uint32_t turn;        // of the last reply
    int passed;           // the area's descriptor while Hello lasts, else -1
    bool greeted;         // Hello is over

    struct tl_buffer out; // the frame that is built
    // What has been received: [start, end) is not used yet, [0, received) is not wiped.
    uint8_t *in;
    size_t size, start, end, received;
};

// tl_connection_open connects and says Hello. NULL, with errno, when there is no
// server at the socket or it refuses.
struct tl_connection *tl_connection_open(const struct tl_config *config, const struct tl_application *application);

// tl_connection_close frees c, and closes its descriptor if that is still the
// socket that c opened.
void tl_connection_close(struct tl_connection *c);

// tl_connection_send sends the frame in c->out. CKR_OK, the error that the buffer
// has, or CKR_DEVICE_ERROR with c->lost.
CK_RV tl_connection_send(struct tl_connection *c, uint16_t call, uint64_t session);

// tl_connection_receive waits for the reply. *body refers to c's memory until the
// next call. False when the connection is lost, also by a server that sends nonsense.
bool tl_connection_receive(struct tl_connection *c, uint16_t call, struct tl_header *header, struct tl_view *body);

// tl_connection_is_usable tells whether c, which has idled, may be used: its socket
// is the one it opened, and the server has not closed it.
bool tl_connection_is_usable(const struct tl_connection *c);

// tl_connection_rest makes c ready to idle: frames are wiped, and memory that a
// large one needed goes back.
void tl_connection_rest(struct tl_connection *c);

#endif
