// The connections of a process, which all its threads share.
#ifndef TIDELOCK_POOL_H
#define TIDELOCK_POOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "connection.h"

// How long a server that has gone is waited for.
#ifndef TL_RETURN_SECONDS
#define TL_RETURN_SECONDS 10
#endif

// With so many connections in a call at once, replies go through shared memory. One
// alone is faster on the socket, which wakes it on the server's own processor; a futex
// wakes it on another, which has fallen asleep.
#ifndef TL_SHARE_FROM
#define TL_SHARE_FROM 2
#endif

enum {
    TL_CONNECTIONS = 512, // at most this many
    TL_IDLE_CONNECTIONS = 64,         // kept open when nobody uses them
};

struct tl_pool {
    const struct tl_config *config;
    const struct tl_application *application;
    _Atomic uint64_t boot;      // the newest run of the server
    _Atomic uint32_t max_frame; // the longest frame that it takes
    _Atomic bool closing;
    _Atomic bool patient; // a server that has gone, and what others have, is waited for

    // resume makes a server that has started anew take the process back, by way of c.
    bool (*resume)(void *context, struct tl_connection *c);
    void *context;
    pthread_mutex_t resuming; // held over it; taken before lock, never inside

    pthread_mutex_t lock;
    pthread_cond_t returned;
    struct tl_connection *idle; // the last that came back is the first to go
    unsigned idle_count, count;
    unsigned opening; // of count, those that are not there yet

    // Every open descriptor, readable without the lock by a child that wants to
    // close its copies. identity is written first.
    struct {
        struct tl_identity identity;
        _Atomic int fd; // plus one; 0: free, -1: taken by a connection that has none
    } descriptors[TL_CONNECTIONS];
};

void tl_pool_start(struct tl_pool *pool, const struct tl_config *config, const struct tl_application *application);

// tl_pool_open makes the first connection, starting a server where autostart may.
// False, with a line for TIDELOCK_DEBUG, when no server answers.
bool tl_pool_open(struct tl_pool *pool);

// tl_pool_take returns a connection for one call. fresh asks for a new one: those
// that idle may have died with the one that was just lost. A server that has gone
// is waited for, TL_RETURN_SECONDS, and started where autostart may. Where no new one can
// be made, one that others have is waited for. NULL when there is none, or the pool is closing.
struct tl_connection *tl_pool_take(struct tl_pool *pool, bool fresh);

// tl_pool_give returns a connection, or buries it when it is lost.
void tl_pool_give(struct tl_pool *pool, struct tl_connection *c);

// tl_pool_replace buries a lost connection and returns another as tl_pool_take does with
// fresh. The new one comes first where there is room for it: with its last connection the
// process, its sessions and its login are over for the server.
struct tl_connection *tl_pool_replace(struct tl_pool *pool, struct tl_connection *lost);

// tl_pool_close makes every call that is under way or waits end soon.
void tl_pool_close(struct tl_pool *pool);

// tl_pool_end closes the idle connections. All others have come back before.
void tl_pool_end(struct tl_pool *pool);

// tl_pool_abandon closes a child's copies of its parent's descriptors, and touches
// nothing else.
void tl_pool_abandon(struct tl_pool *pool);

#endif
