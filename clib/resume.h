// A server that starts anew knows nothing of this process. What the process needs
// to go on as before is here: tickets, with which its logins come back, and the call
// that opens its sessions again under their handles (docs/wire.md, "Tickets").
#ifndef TIDELOCK_RESUME_H
#define TIDELOCK_RESUME_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"

struct tl_connection;
struct tl_state;

// Of further slots a login does not outlive the server.
enum { TL_TICKETS = 128, TL_TICKET = 32 };

struct tl_ticket_table {
    pthread_mutex_t lock; // for the length of a look-up
    struct {
        bool used;
        uint64_t slot;
        uint8_t ticket[TL_TICKET];
    } entries[TL_TICKETS];
};

void tl_ticket_table_start(struct tl_ticket_table *table);

// tl_ticket_keep keeps what a login brought, in place of what there was; a ticket of
// another length is none.
void tl_ticket_keep(struct tl_ticket_table *table, uint64_t slot, struct tl_bytes ticket);

// tl_ticket_drop forgets a slot's ticket, after a logout.
void tl_ticket_drop(struct tl_ticket_table *table, uint64_t slot);

// tl_resume makes the server behind c, which is not the one that the state knew,
// take the process back. Sessions that it does not open again leave the list. False
// when c was lost.
bool tl_resume(struct tl_state *state, struct tl_connection *c);

#endif
