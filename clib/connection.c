#include "connection.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "debug.h"
#include "gen/wire.h"
#include "memory.h"

enum {
    FIRST_SIZE = 4 << 10,    // most frames fit
    RESTING_SIZE = 64 << 10, // what a connection may keep while it idles
    LEAST_FRAME = 4 << 10,   // a server that takes less is of no use
    PROGRAM_NAME = 64,       // of a program's name goes to the server
};

// program_name fills in what the program is called, for people: as text, which the name of a
// file need not be.
static struct tl_bytes program_name(char name[PROGRAM_NAME]) {
    size_t length = strnlen(program_invocation_short_name, PROGRAM_NAME);
    for (size_t i = 0; i < length; i++) {
        char c = program_invocation_short_name[i];
        name[i] = (char)(c >= ' ' && c <= '~' ? c : '?');
    }
    return (struct tl_bytes){(const uint8_t *)name, length};
}

// hello returns 0, or why c is of no use: EPROTO, or EACCES for good, as for a program that
// is another user than before.
static int hello(struct tl_connection *c, uint32_t level, const struct tl_application *application) {
    char program[PROGRAM_NAME];
    struct tl_hello_request request = {
        .protocol_min = 1,
        .protocol_max = 1,
        .features = TL_SHARED_REPLIES,
        .client_level = level,
        .process = (uint64_t)getpid(),
        .program = program_name(program),
    };
    memcpy(request.application.bytes, application->id, sizeof application->id);
    memcpy(request.secret.bytes, application->secret, sizeof application->secret);

    tl_begin_frame(&c->out);
    tl_put_hello(&c->out, &request);
    struct tl_header header;
    struct tl_view body;
    bool answered = tl_connection_send(c, TL_CALL_HELLO, 0) == CKR_OK &&
                    tl_connection_receive(c, TL_CALL_HELLO, &header, &body);
    tl_wipe(&request.secret, sizeof request.secret);
    if (!answered)
        return EPROTO;
    if (header.code != CKR_OK) {
        tl_debug("the server refuses this program: code 0x%lx", (unsigned long)header.code);
        return header.code == CKR_ACTION_PROHIBITED ? EACCES : EPROTO;
    }
    struct tl_hello_reply reply;
    if (!tl_get_hello(&body, &reply) || reply.protocol != 1 || reply.max_frame < LEAST_FRAME) {
        tl_debug("the server speaks another protocol");
        return EPROTO;
    }
    c->application = reply.application;
    c->boot = reply.boot;
    if ((reply.features & TL_SHARED_REPLIES) != 0 && c->passed >= 0)
        c->area = tl_area_map(c->passed);
    c->max_frame = reply.max_frame < TL_MAX_FRAME ? reply.max_frame : TL_MAX_FRAME;
    return 0;
}

struct tl_connection *tl_connection_open(const struct tl_config *config, const struct tl_application *application) {
    struct tl_connection *c = tl_map(sizeof *c);
    if (c == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    c->fd = c->passed = -1;
    c->size = FIRST_SIZE;
    c->in = tl_map(c->size);
    c->fd = c->in == NULL ? -1 : tl_socket_connect(config->socket);
    if (c->fd >= 0) {
        c->identity = tl_socket_identity(c->fd);
        int refused = hello(c, config->level, application);
        if (c->passed >= 0)
            close(c->passed);
        c->passed = -1;
        c->greeted = true;
        if (refused == 0) {
            tl_connection_rest(c);
            return c;
        }
        errno = refused;
    }
    int cause = errno;
    tl_connection_close(c);
    errno = cause;
    return NULL;
}

void tl_connection_close(struct tl_connection *c) {
    if (c->fd >= 0 && tl_socket_is(c->fd, c->identity))
        close(c->fd);
    tl_area_unmap(c->area);
    tl_buffer_free(&c->out);
    tl_unmap(c->in, c->size);
    tl_unmap(c, sizeof *c);
}

CK_RV tl_connection_send(struct tl_connection *c, uint16_t call, uint64_t session) {
    struct tl_header header = {
        .kind = TL_KIND_REQUEST,
        .call = call,
        .request = ++c->request,
        .application = c->application,
        .session = session,
    };
    CK_RV rv = tl_end_frame(&c->out, &header);
    if (rv != CKR_OK)
        return rv;
    // What is left of an earlier reply would be taken for this one's.
    c->start = c->end = 0;
    if (c->area != NULL) {
        c->shared = c->share;
        atomic_store(&c->area->ready, c->shared);
    }
    c->lost = !tl_socket_send(c->fd, c->out.data, c->out.length);
    return c->lost ? CKR_DEVICE_ERROR : CKR_OK;
}

// resize gives c memory for a frame of size bytes and keeps what has been received.
static bool resize(struct tl_connection *c, size_t size) {
    uint8_t *memory = tl_map(size);
    if (memory == NULL)
        return false;
    memcpy(memory, c->in + c->start, c->end - c->start);
    tl_unmap(c->in, c->size);
    c->in = memory;
    c->size = size;
    c->end -= c->start;
    c->start = 0;
    c->received = c->end;
    return true;
}

// fill receives until size bytes are there.
static bool fill(struct tl_connection *c, size_t size) {
    if (c->size - c->start < size && !resize(c, size))
        return false;
    while (c->end - c->start < size) {
        size_t got = tl_socket_receive(c->fd, c->in + c->end, c->size - c->end, c->greeted ? NULL : &c->passed);
        if (got == 0)
            return false;
        c->end += got;
        if (c->received < c->end)
            c->received = c->end;
    }
    return true;
}

static bool receive(struct tl_connection *c, uint16_t call, struct tl_header *header, struct tl_view *body) {
    do {
        if (!fill(c, TL_HEADER_SIZE) || !tl_get_header(c->in + c->start, header))
            return false;
        if (header->kind == TL_KIND_REQUEST || header->call != call || header->request != c->request)
            return false;
        if (!fill(c, header->length))
            return false;
        body->data = c->in + c->start + TL_HEADER_SIZE;
        body->left = header->length - TL_HEADER_SIZE;
        body->failed = false;
        c->start += header->length;
    } while (header->kind == TL_KIND_WORKING);
    // Requests are answered one at a time: nothing may follow the reply.
    return c->start == c->end;
}

// take_working takes a working frame from the socket, which holds one.
static bool take_working(struct tl_connection *c, uint16_t call) {
    struct tl_header header;
    if (!fill(c, TL_HEADER_SIZE) || !tl_get_header(c->in + c->start, &header) || header.kind != TL_KIND_WORKING ||
        header.call != call || header.request != c->request || header.length != TL_HEADER_SIZE)
        return false;
    c->start += header.length;
    return true;
}

static time_t seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

// await sleeps until the area tells of a reply, and takes it if it is there. Whether the
// server still lives is seen by the socket.
static bool await(struct tl_connection *c, uint16_t call) {
    bool woken = false;
    time_t deadline = 0;
    while (!tl_area_wait(c->area, c->turn)) {
        bool quiet = tl_socket_is_quiet(c->fd);
        // A long reply is announced before its first byte; what came before is a
        // working frame.
        if (!quiet && atomic_load(&c->area->turn) != c->turn)
            break;
        if (!quiet && !take_working(c, call))
            return false;
        if (!quiet || deadline == 0)
            deadline = seconds() + TL_PATIENCE_SECONDS;
        else if (seconds() > deadline)
            return false;
        woken = true;
    }
    if (atomic_load(&c->area->turn) != ++c->turn)
        return false;
    if (atomic_load(&c->area->length) == 0)
        return true;
    while (woken && !tl_socket_is_quiet(c->fd) && take_working(c, call))
        ;
    c->start = c->end = 0;
    if (c->size < sizeof c->area->frame && !resize(c, sizeof c->area->frame))
        return false;
    struct tl_header header;
    c->end = tl_area_take(c->area, c->in, c->size);
    if (c->received < c->end)
        c->received = c->end;
    return c->end >= TL_HEADER_SIZE && tl_get_header(c->in, &header) && header.length == c->end;
}

bool tl_connection_receive(struct tl_connection *c, uint16_t call, struct tl_header *header, struct tl_view *body) {
    c->lost = (c->shared && !await(c, call)) || !receive(c, call, header, body);
    return !c->lost;
}

bool tl_connection_is_usable(const struct tl_connection *c) {
    return tl_socket_is(c->fd, c->identity) && tl_socket_is_quiet(c->fd);
}

void tl_connection_rest(struct tl_connection *c) {
    // Not every caller could say whether its frames held a PIN, a plaintext or a key.
    tl_wipe(c->in, c->received);
    tl_buffer_reset(&c->out);
    c->start = c->end = c->received = 0;
    if (c->size > RESTING_SIZE)
        (void)resize(c, FIRST_SIZE); // without memory it stays large
}
