#include "state.h"

#include <pthread.h>
#include <stddef.h>

#include "call.h"
#include "entropy.h"
#include "memory.h"

static _Atomic(struct tl_state *) current;
static struct tl_state *all; // guarded by the lifecycle lock

// ENDING stands in a state's references while the last user takes it apart.
static const uint32_t ENDING = UINT32_MAX;

// retain adds a reference to a state that has one.
static bool retain(struct tl_state *state) {
    uint32_t references = atomic_load(&state->references);
    while (references > 0 && references != ENDING)
        if (atomic_compare_exchange_weak(&state->references, &references, references + 1))
            return true;
    return false;
}

static void clear(struct tl_state *state) {
    tl_wipe(&state->application, sizeof state->application);
    tl_wipe(&state->permits, sizeof state->permits);
    tl_wipe(&state->tickets, sizeof state->tickets);
}

// release gives a reference back; the last one ends the state.
static void release(struct tl_state *state) {
    uint32_t references = atomic_load(&state->references), left;
    do
        left = references == 1 ? ENDING : references - 1;
    while (!atomic_compare_exchange_weak(&state->references, &references, left));
    if (left != ENDING)
        return;
    tl_pool_end(&state->pool);
    tl_session_table_end(&state->sessions);
    clear(state);
    atomic_store(&state->references, 0);
}

CK_RV tl_enter(struct tl_entry *entry, bool arguments) {
    struct tl_state *state = atomic_load(&current);
    if (state == NULL || !tl_process_is(&state->process) || !retain(state))
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    // C_Finalize may have come between the two steps.
    bool late = atomic_load(&current) != state;
    if (late || !arguments) {
        release(state);
        return late ? CKR_CRYPTOKI_NOT_INITIALIZED : CKR_ARGUMENTS_BAD;
    }
    *entry = (struct tl_entry){.state = state};
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &entry->cancellation);
    return CKR_OK;
}

CK_RV tl_enter_session(struct tl_entry *entry, CK_SESSION_HANDLE handle, bool arguments) {
    CK_RV rv = tl_enter(entry, arguments);
    if (rv != CKR_OK)
        return rv;
    struct tl_state *state = entry->state;
    entry->session = tl_session_hold(&state->sessions, handle);
    if (entry->session != NULL)
        return CKR_OK;
    tl_leave(entry);
    return CKR_SESSION_HANDLE_INVALID;
}

void tl_leave(struct tl_entry *entry) {
    int cancellation = entry->cancellation;
    if (entry->session != NULL)
        tl_session_release(&entry->state->sessions, entry->session);
    release(entry->state);
    pthread_setcancelstate(cancellation, NULL);
}

// abandon frees the states of a parent: no thread of this process uses them, and
// their locks may be held for ever. Only C_Initialize comes here, so that a child
// of vfork, whose memory is its parent's, does no harm by other calls.
static void abandon(void) {
    for (struct tl_state *state = all; state != NULL; state = state->next) {
        if (atomic_load(&state->references) == 0 || tl_process_is(&state->process))
            continue;
        // The session table stays as it is: a thread that is not in this process may
        // have been changing it.
        tl_pool_abandon(&state->pool);
        clear(state);
        atomic_store(&state->references, 0);
    }
}

static struct tl_state *unused(void) {
    for (struct tl_state *state = all; state != NULL; state = state->next)
        if (atomic_load(&state->references) == 0)
            return state;
    struct tl_state *state = tl_map(sizeof *state);
    if (state != NULL) {
        state->next = all;
        all = state;
    }
    return state;
}

// resume is tl_resume for the pool, which does not know of states.
static bool resume(void *state, struct tl_connection *c) { return tl_resume(state, c); }

static CK_RV start(struct tl_state *state) {
    tl_pool_start(&state->pool, &state->config, &state->application);
    state->pool.resume = resume;
    state->pool.context = state;
    tl_session_table_start(&state->sessions);
    tl_permit_table_start(&state->permits);
    tl_ticket_table_start(&state->tickets);
    tl_slot_events_start(&state->slot_events);
    if (!tl_config_load(&state->config) || !tl_entropy(&state->application, sizeof state->application))
        return CKR_GENERAL_ERROR;
    return tl_pool_open(&state->pool) ? CKR_OK : CKR_FUNCTION_FAILED;
}

static CK_RV open_locked(void) {
    struct tl_state *state = atomic_load(&current);
    if (state != NULL && tl_process_is(&state->process))
        return CKR_CRYPTOKI_ALREADY_INITIALIZED;
    abandon();
    state = unused();
    if (state == NULL)
        return CKR_HOST_MEMORY;
    state->process = tl_process_current();
    atomic_store(&state->references, 1);
    CK_RV rv = start(state);
    if (rv == CKR_OK)
        atomic_store(&current, state);
    else
        release(state);
    return rv;
}

CK_RV tl_state_open(void) {
    int cancellation;
    // A thread that is cancelled in here would keep the lock for ever.
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellation);
    CK_RV rv = CKR_HOST_MEMORY;
    if (tl_process_lock()) {
        rv = open_locked();
        tl_process_unlock();
    }
    pthread_setcancelstate(cancellation, NULL);
    return rv;
}

CK_RV tl_state_close(struct tl_state *state) {
    struct tl_state *expected = state;
    if (!atomic_compare_exchange_strong(&current, &expected, NULL))
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    tl_slot_events_end(&state->slot_events);
    // Best effort, and without waiting for a server that has gone.
    atomic_store(&state->pool.patient, false);
    (void)tl_call_plain(state, NULL, TL_CALL_GOODBYE);
    tl_pool_close(&state->pool);
    release(state); // the reference for being current
    return CKR_OK;
}
