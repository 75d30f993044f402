// Waiting for slot events, of which there are none: every slot holds its partition for as
// long as it is there. What a caller waits for is C_Finalize.
#ifndef TIDELOCK_SLOTEVENT_H
#define TIDELOCK_SLOTEVENT_H

#include <pthread.h>
#include <stdbool.h>

struct tl_slot_events {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool over; // guarded by lock
};

void tl_slot_events_start(struct tl_slot_events *events);

// tl_slot_events_wait sleeps until tl_slot_events_end.
void tl_slot_events_wait(struct tl_slot_events *events);

// tl_slot_events_end wakes all who wait, and lets nobody wait any more.
void tl_slot_events_end(struct tl_slot_events *events);

#endif
