// The state of the library between C_Initialize and C_Finalize.
#ifndef TIDELOCK_STATE_H
#define TIDELOCK_STATE_H

#include "config.h"
#include "pool.h"
#include "permit.h"
#include "process.h"
#include "resume.h"
#include "session.h"
#include "slotevent.h"
#include "tidelock/pkcs11.h"

struct tl_state {
    struct tl_state *next; // every state ever made
    struct tl_process process;
    // Calls under way, and one for being the current state. 0: free for the next
    // C_Initialize. A state's memory stays a state's, so that a late call may look
    // at this number and find that it came too late.
    _Atomic uint32_t references;

    struct tl_config config;
    struct tl_application application;
    struct tl_pool pool;
    struct tl_session_table sessions;
    struct tl_permit_table permits;
    struct tl_ticket_table tickets;
    struct tl_slot_events slot_events;
};

// tl_readable tells whether a caller's pointer is good for as many bytes, or values, as he says.
static inline bool tl_readable(const void *data, CK_ULONG length) { return data != NULL || length == 0; }

// tl_readable_template is tl_readable for a template, which has TL_MAX_ATTRIBUTES at most.
static inline bool tl_readable_template(const CK_ATTRIBUTE *attributes, CK_ULONG count) {
    return count <= TL_MAX_ATTRIBUTES && tl_readable(attributes, count);
}

// tl_entry is a C_ function's stay in the library.
struct tl_entry {
    struct tl_state *state;
    struct tl_session *session; // NULL after tl_enter
    int cancellation;
};

// tl_enter begins a call; arguments tells whether the caller's pointers are good.
// The codes are the first rows of docs/check-order.md: CKR_CRYPTOKI_NOT_INITIALIZED
// when this process has not called C_Initialize, then CKR_ARGUMENTS_BAD. Until
// tl_leave the thread is not cancelled, because half a frame would make the
// connection useless. After a failure tl_leave must not be called.
CK_RV tl_enter(struct tl_entry *entry, bool arguments);

// tl_enter_session is tl_enter for a call of a session, which it holds, not locked:
// after the codes of tl_enter CKR_SESSION_HANDLE_INVALID.
CK_RV tl_enter_session(struct tl_entry *entry, CK_SESSION_HANDLE handle, bool arguments);

void tl_leave(struct tl_entry *entry);

// tl_state_open makes the state of this process: CKR_CRYPTOKI_ALREADY_INITIALIZED;
// CKR_GENERAL_ERROR, the environment names no usable place; CKR_FUNCTION_FAILED, no
// server answers there; CKR_HOST_MEMORY.
CK_RV tl_state_open(void);

// tl_state_close ends the state that the caller has entered. Calls under way in
// other threads end soon, with CKR_CRYPTOKI_NOT_INITIALIZED where they had no answer
// yet; the last thread to leave takes the state apart.
CK_RV tl_state_close(struct tl_state *state);

#endif
