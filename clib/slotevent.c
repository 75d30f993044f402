#include "slotevent.h"

#include "state.h"

void tl_slot_events_start(struct tl_slot_events *events) {
    pthread_mutex_init(&events->lock, NULL);
    pthread_cond_init(&events->ended, NULL);
    events->over = false;
}

void tl_slot_events_wait(struct tl_slot_events *events) {
    pthread_mutex_lock(&events->lock);
    while (!events->over)
        pthread_cond_wait(&events->ended, &events->lock);
    pthread_mutex_unlock(&events->lock);
}

void tl_slot_events_end(struct tl_slot_events *events) {
    pthread_mutex_lock(&events->lock);
    events->over = true;
    pthread_cond_broadcast(&events->ended);
    pthread_mutex_unlock(&events->lock);
}

CK_RV C_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID_PTR pSlot, CK_VOID_PTR pReserved) {
    struct tl_entry entry;
    CK_RV rv = tl_enter(&entry, pSlot != NULL && pReserved == NULL);
    if (rv != CKR_OK)
        return rv;
    bool block = (flags & CKF_DONT_BLOCK) == 0;
    if (block)
        tl_slot_events_wait(&entry.state->slot_events);
    tl_leave(&entry);
    return block ? CKR_CRYPTOKI_NOT_INITIALIZED : CKR_NO_EVENT;
}
