#include "pool.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "autostart.h"
#include "debug.h"

// What a place says where it has no descriptor.
enum { FREE = 0, TAKEN = -1 };

void tl_pool_start(struct tl_pool *pool, const struct tl_config *config, const struct tl_application *application) {
    memset(pool, 0, sizeof *pool);
    pool->config = config;
    pool->application = application;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->returned, NULL);
    pthread_mutex_init(&pool->resuming, NULL);
}

// take_place reserves room for one more connection. The lock is held.
static bool take_place(struct tl_pool *pool, unsigned *place) {
    if (pool->count == TL_CONNECTIONS)
        return false;
    unsigned i = 0;
    while (atomic_load(&pool->descriptors[i].fd) != FREE)
        i++;
    atomic_store(&pool->descriptors[i].fd, TAKEN);
    pool->count++;
    pool->opening++;
    *place = i;
    return true;
}

// free_place is called with the lock held.
static void free_place(struct tl_pool *pool, unsigned place) {
    atomic_store(&pool->descriptors[place].fd, FREE);
    pool->count--;
    // Whoever waits for a connection that others have must hear that there is none left.
    if (pool->count == pool->opening)
        pthread_cond_broadcast(&pool->returned);
    else
        pthread_cond_signal(&pool->returned);
}

// greet makes a server that has started anew take the process back, before any other
// call reaches it. False when the connection was lost over that.
static bool greet(struct tl_pool *pool, struct tl_connection *c) {
    bool ok = true;
    pthread_mutex_lock(&pool->resuming);
    if (atomic_load(&pool->boot) != c->boot) {
        // At the first connection of all there is nothing to take back.
        if (atomic_load(&pool->boot) != 0)
            ok = pool->resume(pool->context, c);
        if (ok)
            atomic_store(&pool->boot, c->boot);
    }
    pthread_mutex_unlock(&pool->resuming);
    return ok;
}

// connect_once makes a connection that is ready for calls, or NULL with errno.
static struct tl_connection *connect_once(struct tl_pool *pool) {
    struct tl_connection *c = tl_connection_open(pool->config, pool->application);
    if (c != NULL && !greet(pool, c)) {
        tl_connection_close(c);
        errno = ECONNREFUSED;
        return NULL;
    }
    return c;
}

static bool gone(int cause) { return cause == ENOENT || cause == ECONNREFUSED || cause == EPROTO; }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// others_work tells that the server is there for connections that were made before: what
// keeps a new one from it is the program's own, such as another root directory.
static bool others_work(struct tl_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    bool work = pool->idle != NULL && tl_connection_is_usable(pool->idle);
    pthread_mutex_unlock(&pool->lock);
    return work;
}

// wait_and_connect connects, and waits for a server that has gone: one that is
// restarted is back soon, and the program need not notice.
static struct tl_connection *wait_and_connect(struct tl_pool *pool) {
    double until = now() + TL_RETURN_SECONDS;
    struct tl_connection *c = connect_once(pool);
    for (long pause = 5; c == NULL && gone(errno) && atomic_load(&pool->patient) && !atomic_load(&pool->closing) &&
                         now() < until && !others_work(pool);
         pause = pause < 200 ? pause * 2 : pause) {
        if (errno != EPROTO && tl_autostart(pool->config))
            pause = 0;
        nanosleep(&(struct timespec){.tv_nsec = pause * 1000000}, NULL);
        c = connect_once(pool);
    }
    return c;
}

// open_at connects for a place that has been taken, by connect_once or wait_and_connect. The
// lock is not held.
static struct tl_connection *open_at(struct tl_pool *pool, unsigned place,
                                     struct tl_connection *(*connect)(struct tl_pool *)) {
    struct tl_connection *c = connect(pool);
    int cause = errno;
    pthread_mutex_lock(&pool->lock);
    pool->opening--;
    if (c == NULL) {
        free_place(pool, place);
    } else {
        c->place = place;
        c->share = pool->count - pool->idle_count >= TL_SHARE_FROM;
        pool->descriptors[place].identity = c->identity;
        atomic_store(&pool->descriptors[place].fd, c->fd + 1);
        // tl_pool_close has looked at this place before it was filled.
        if (atomic_load(&pool->closing))
            shutdown(c->fd, SHUT_RDWR);
        atomic_store(&pool->max_frame, c->max_frame);
    }
    pthread_mutex_unlock(&pool->lock);
    errno = cause;
    return c;
}

bool tl_pool_open(struct tl_pool *pool) {
    struct tl_connection *c = tl_pool_take(pool, true);
    if (c == NULL && (errno == ENOENT || errno == ECONNREFUSED) && tl_autostart(pool->config))
        c = tl_pool_take(pool, true);
    if (c == NULL) {
        tl_debug("no server at %s: %s", pool->config->socket, strerrordesc_np(errno));
        return false;
    }
    tl_pool_give(pool, c);
    atomic_store(&pool->patient, true);
    return true;
}

// pop takes the idle connection that was used last. The lock is held.
static struct tl_connection *pop(struct tl_pool *pool) {
    struct tl_connection *c = pool->idle;
    if (c != NULL) {
        pool->idle = c->next;
        pool->idle_count--;
    }
    return c;
}

// bury closes a connection. The lock is not held.
static void bury(struct tl_pool *pool, struct tl_connection *c) {
    unsigned place = c->place;
    // The place is freed first: a child must not close what the number names next, and
    // neither must tl_pool_close, which looks at it under the lock.
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->descriptors[place].fd, TAKEN);
    pthread_mutex_unlock(&pool->lock);
    tl_connection_close(c);
    pthread_mutex_lock(&pool->lock);
    free_place(pool, place);
    pthread_mutex_unlock(&pool->lock);
}

struct tl_connection *tl_pool_take(struct tl_pool *pool, bool fresh) {
    struct tl_connection *c = NULL;
    unsigned place;
    int refused = 0; // why no new connection could be made
    pthread_mutex_lock(&pool->lock);
    while (!atomic_load(&pool->closing)) {
        if ((c = fresh && pool->count < TL_CONNECTIONS ? NULL : pop(pool)) != NULL) {
            c->share = pool->count - pool->idle_count >= TL_SHARE_FROM;
            pthread_mutex_unlock(&pool->lock);
            if (!fresh && c->boot == atomic_load(&pool->boot) && tl_connection_is_usable(c))
                return c;
            bury(pool, c);
            pthread_mutex_lock(&pool->lock);
        } else if (refused == 0 && take_place(pool, &place)) {
            pthread_mutex_unlock(&pool->lock);
            if ((c = open_at(pool, place, wait_and_connect)) != NULL)
                return c;
            // A program without descriptors, or with another user or root directory than
            // before, has what it has.
            refused = errno;
            fresh = false;
            pthread_mutex_lock(&pool->lock);
        } else if (refused != 0 && (pool->count == pool->opening || !atomic_load(&pool->patient))) {
            pthread_mutex_unlock(&pool->lock);
            errno = refused;
            return NULL;
        } else {
            pthread_cond_wait(&pool->returned, &pool->lock);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    errno = ECANCELED;
    return NULL;
}

void tl_pool_give(struct tl_pool *pool, struct tl_connection *c) {
    if (!c->lost)
        tl_connection_rest(c);
    pthread_mutex_lock(&pool->lock);
    bool keep = !c->lost && !atomic_load(&pool->closing) && pool->idle_count < TL_IDLE_CONNECTIONS;
    if (keep) {
        c->next = pool->idle;
        pool->idle = c;
        pool->idle_count++;
        pthread_cond_signal(&pool->returned);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!keep)
        bury(pool, c);
}

struct tl_connection *tl_pool_replace(struct tl_pool *pool, struct tl_connection *lost) {
    unsigned place;
    pthread_mutex_lock(&pool->lock);
    bool room = !atomic_load(&pool->closing) && take_place(pool, &place);
    pthread_mutex_unlock(&pool->lock);
    double start = now();
    struct tl_connection *c = room ? open_at(pool, place, connect_once) : NULL;
    bool silent = now() - start > TL_RETURN_SECONDS; // it is there, and says nothing
    tl_pool_give(pool, lost);
    return c != NULL || silent ? c : tl_pool_take(pool, true);
}

void tl_pool_close(struct tl_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->closing, true);
    for (size_t i = 0; i < TL_CONNECTIONS; i++) {
        int fd = atomic_load(&pool->descriptors[i].fd) - 1;
        if (fd >= 0 && tl_socket_is(fd, pool->descriptors[i].identity))
            shutdown(fd, SHUT_RDWR);
    }
    pthread_cond_broadcast(&pool->returned);
    pthread_mutex_unlock(&pool->lock);
}

void tl_pool_end(struct tl_pool *pool) {
    for (struct tl_connection *c = pool->idle, *next; c != NULL; c = next) {
        next = c->next;
        tl_connection_close(c);
    }
    memset(pool, 0, sizeof *pool);
}

void tl_pool_abandon(struct tl_pool *pool) {
    for (size_t i = 0; i < TL_CONNECTIONS; i++) {
        int fd = atomic_load(&pool->descriptors[i].fd) - 1;
        if (fd >= 0 && tl_socket_is(fd, pool->descriptors[i].identity))
            close(fd);
    }
}
