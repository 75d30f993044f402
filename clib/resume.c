#include "resume.h"

#include <string.h>

#include "connection.h"
#include "debug.h"
#include "gen/wire.h"
#include "memory.h"
#include "state.h"

void tl_ticket_table_start(struct tl_ticket_table *table) {
    memset(table, 0, sizeof *table);
    pthread_mutex_init(&table->lock, NULL);
}

// find returns the index of a slot's entry, or of a free one, or TL_TICKETS. The lock
// is held.
static size_t find(const struct tl_ticket_table *table, uint64_t slot) {
    size_t free = TL_TICKETS;
    for (size_t i = 0; i < TL_TICKETS; i++) {
        if (table->entries[i].used && table->entries[i].slot == slot)
            return i;
        if (!table->entries[i].used && free == TL_TICKETS)
            free = i;
    }
    return free;
}

void tl_ticket_keep(struct tl_ticket_table *table, uint64_t slot, struct tl_bytes ticket) {
    pthread_mutex_lock(&table->lock);
    size_t i = find(table, slot);
    if (i < TL_TICKETS && ticket.length == TL_TICKET) {
        table->entries[i].used = true;
        table->entries[i].slot = slot;
        memcpy(table->entries[i].ticket, ticket.data, TL_TICKET);
    }
    pthread_mutex_unlock(&table->lock);
}

void tl_ticket_drop(struct tl_ticket_table *table, uint64_t slot) {
    pthread_mutex_lock(&table->lock);
    size_t i = find(table, slot);
    if (i < TL_TICKETS && table->entries[i].used)
        tl_wipe(&table->entries[i], sizeof table->entries[i]);
    pthread_mutex_unlock(&table->lock);
}

// copy gives the ticket of a slot; its length is 0 where there is none.
static struct tl_bytes copy(struct tl_ticket_table *table, uint64_t slot, uint8_t ticket[TL_TICKET]) {
    struct tl_bytes bytes = {ticket, 0};
    pthread_mutex_lock(&table->lock);
    size_t i = find(table, slot);
    if (i < TL_TICKETS && table->entries[i].used) {
        memcpy(ticket, table->entries[i].ticket, TL_TICKET);
        bytes.length = TL_TICKET;
    }
    pthread_mutex_unlock(&table->lock);
    return bytes;
}

// opened tells whether the server has opened the session again.
static bool opened(const struct tl_resume_reply *reply, uint64_t handle) {
    for (size_t i = 0; i < reply->opened.count; i++)
        if (tl_u64s_at(&reply->opened, i) == handle)
            return true;
    return false;
}

// exchange makes the call for one slot and count of its sessions.
static bool exchange(struct tl_state *state, struct tl_connection *c, const struct tl_resume_request *request) {
    struct tl_header header;
    struct tl_view body;
    struct tl_resume_reply reply;
    tl_begin_frame(&c->out);
    tl_put_resume(&c->out, request);
    if (tl_connection_send(c, TL_CALL_RESUME, 0) != CKR_OK ||
        !tl_connection_receive(c, TL_CALL_RESUME, &header, &body))
        return false;
    if (header.code != CKR_OK)
        reply = (struct tl_resume_reply){0};
    else if (!tl_get_resume(&body, &reply))
        return false;
    if (!reply.logged_in && request->ticket.length > 0) {
        tl_debug("the login on slot %lu did not outlive the server", (unsigned long)request->slot);
        tl_ticket_drop(&state->tickets, request->slot);
    }
    for (size_t i = 0; i < request->sessions.count; i++)
        tl_session_resumed(&state->sessions, request->sessions.values[i],
                           opened(&reply, request->sessions.values[i]) ? c->boot : 0);
    return true;
}

// A frame holds many more; a bound keeps the look-up of each answer short.
enum { BATCH = 512 };

// resume_slot opens the sessions of one slot, a batch at a time.
static bool resume_slot(struct tl_state *state, struct tl_connection *c, uint64_t slot) {
    CK_ULONG handles[BATCH], flags[BATCH];
    uint8_t ticket[TL_TICKET];
    struct tl_resume_request request = {.slot = slot, .ticket = copy(&state->tickets, slot, ticket)};
    size_t n;
    bool ok = true;
    while (ok && (n = tl_session_stale(&state->sessions, slot, c->boot, handles, flags, BATCH)) > 0) {
        request.sessions = (struct tl_ulongs){handles, n};
        request.flags = (struct tl_ulongs){flags, n};
        ok = exchange(state, c, &request);
    }
    tl_wipe(ticket, sizeof ticket);
    return ok;
}

bool tl_resume(struct tl_state *state, struct tl_connection *c) {
    bool ok = true;
    for (const struct tl_slot *slot = tl_session_slots(&state->sessions); slot != NULL && ok; slot = slot->next)
        ok = resume_slot(state, c, slot->id);
    tl_connection_rest(c);
    return ok;
}
