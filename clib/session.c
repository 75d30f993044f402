#include "session.h"

#include <string.h>

#include "memory.h"

enum { SLAB = 32 };

struct tl_session_slab {
    struct tl_session_slab *next;
    struct tl_session sessions[SLAB];
};

// clear gives back what a session has beside itself.
static void clear(struct tl_session *session) {
    for (size_t f = 0; f < TL_FUNCTIONS; f++) {
        tl_buffer_free(&session->operations[f].mechanism);
        session->operations[f] = (struct tl_operation){0};
    }
    tl_search_forget(&session->search);
    memset(session->messages, 0, sizeof session->messages);
}

void tl_session_table_start(struct tl_session_table *table) {
    memset(table, 0, sizeof *table);
    pthread_mutex_init(&table->lock, NULL);
}

void tl_session_table_end(struct tl_session_table *table) {
    for (struct tl_session_slab *slab = table->slabs, *next; slab != NULL; slab = next) {
        next = slab->next;
        for (size_t i = 0; i < SLAB; i++)
            clear(&slab->sessions[i]);
        tl_unmap(slab, sizeof *slab);
    }
    for (struct tl_slot *slot = table->slots, *next; slot != NULL; slot = next) {
        next = slot->next;
        tl_unmap(slot, sizeof *slot);
    }
    memset(table, 0, sizeof *table);
}

struct tl_slot *tl_session_slot(struct tl_session_table *table, uint64_t id) {
    pthread_mutex_lock(&table->lock);
    struct tl_slot *slot = table->slots;
    while (slot != NULL && slot->id != id)
        slot = slot->next;
    if (slot == NULL && (slot = tl_map(sizeof *slot)) != NULL) {
        slot->id = id;
        slot->next = table->slots;
        table->slots = slot;
    }
    pthread_mutex_unlock(&table->lock);
    return slot;
}

const struct tl_slot *tl_session_slots(struct tl_session_table *table) {
    pthread_mutex_lock(&table->lock);
    const struct tl_slot *slots = table->slots;
    pthread_mutex_unlock(&table->lock);
    return slots;
}

static struct tl_session **bucket_of(struct tl_session_table *table, uint64_t handle) {
    return &table->buckets[(handle * 0x9e3779b97f4a7c15 >> 32) % TL_SESSION_BUCKETS];
}

// take returns a free session. The lock is held.
static struct tl_session *take(struct tl_session_table *table) {
    if (table->free == NULL) {
        struct tl_session_slab *slab = tl_map(sizeof *slab);
        if (slab == NULL)
            return NULL;
        slab->next = table->slabs;
        table->slabs = slab;
        for (size_t i = 0; i < SLAB; i++) {
            pthread_mutex_init(&slab->sessions[i].lock, NULL);
            slab->sessions[i].next = table->free;
            table->free = &slab->sessions[i];
        }
    }
    struct tl_session *session = table->free;
    table->free = session->next;
    return session;
}

bool tl_session_add(struct tl_session_table *table, uint64_t handle, uint64_t boot, uint64_t flags,
                    struct tl_slot *slot) {
    pthread_mutex_lock(&table->lock);
    struct tl_session *session = take(table);
    if (session != NULL) {
        struct tl_session **bucket = bucket_of(table, handle);
        session->handle = handle;
        session->boot = boot;
        session->flags = flags;
        session->slot = slot;
        session->references = 1;
        session->listed = true;
        session->next = *bucket;
        *bucket = session;
    }
    pthread_mutex_unlock(&table->lock);
    return session != NULL;
}

struct tl_session *tl_session_hold(struct tl_session_table *table, uint64_t handle) {
    pthread_mutex_lock(&table->lock);
    struct tl_session *session = *bucket_of(table, handle);
    while (session != NULL && session->handle != handle)
        session = session->next;
    if (session != NULL)
        session->references++;
    pthread_mutex_unlock(&table->lock);
    return session;
}

// drop gives one reference back. The lock is held; with the last reference no
// other thread can reach the session.
static void drop(struct tl_session_table *table, struct tl_session *session) {
    if (--session->references > 0)
        return;
    clear(session);
    session->next = table->free;
    table->free = session;
}

void tl_session_release(struct tl_session_table *table, struct tl_session *session) {
    pthread_mutex_lock(&table->lock);
    drop(table, session);
    pthread_mutex_unlock(&table->lock);
}

// unlist takes *link out of its bucket. The lock is held.
static void unlist(struct tl_session_table *table, struct tl_session **link) {
    struct tl_session *session = *link;
    *link = session->next;
    session->listed = false;
    drop(table, session);
}

void tl_session_remove(struct tl_session_table *table, struct tl_session *session) {
    pthread_mutex_lock(&table->lock);
    if (session->listed) {
        struct tl_session **link = bucket_of(table, session->handle);
        while (*link != session)
            link = &(*link)->next;
        unlist(table, link);
    }
    pthread_mutex_unlock(&table->lock);
}

size_t tl_session_stale(struct tl_session_table *table, uint64_t slot, uint64_t boot, CK_ULONG *handles,
                        CK_ULONG *flags, size_t room) {
    size_t n = 0;
    pthread_mutex_lock(&table->lock);
    for (size_t i = 0; i < TL_SESSION_BUCKETS; i++)
        for (const struct tl_session *s = table->buckets[i]; s != NULL && n < room; s = s->next)
            if (s->slot->id == slot && s->boot != boot) {
                handles[n] = s->handle;
                flags[n++] = s->flags;
            }
    pthread_mutex_unlock(&table->lock);
    return n;
}

void tl_session_resumed(struct tl_session_table *table, uint64_t handle, uint64_t boot) {
    pthread_mutex_lock(&table->lock);
    struct tl_session **link = bucket_of(table, handle);
    while (*link != NULL && (*link)->handle != handle)
        link = &(*link)->next;
    if (*link != NULL) {
        if (boot == 0)
            unlist(table, link);
        else
            (*link)->boot = boot;
    }
    pthread_mutex_unlock(&table->lock);
}

void tl_session_remove_slot(struct tl_session_table *table, uint64_t id) {
    pthread_mutex_lock(&table->lock);
    for (size_t i = 0; i < TL_SESSION_BUCKETS; i++) {
        struct tl_session **link = &table->buckets[i];
        while (*link != NULL) {
            if ((*link)->slot->id == id)
                unlist(table, link);
            else
                link = &(*link)->next;
        }
    }
    pthread_mutex_unlock(&table->lock);
}

void tl_operation_forget(struct tl_operation *operation) {
    // An encoded mechanism holds an IV or a label, which the program may hold dear.
    tl_buffer_reset(&operation->mechanism);
    operation->state = TL_IDLE;
    operation->in_parts = operation->permitted = false;
}

void tl_search_forget(struct tl_search *search) {
    tl_unmap(search->page, TL_FIND_PAGE * sizeof *search->page);
    tl_buffer_free(&search->filter);
    memset(search, 0, sizeof *search);
}
