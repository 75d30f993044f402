// Sessions as the library keeps them. The handle is the server's; what is kept
// beside it is what a call needs before it asks the server.
#ifndef TIDELOCK_SESSION_H
#define TIDELOCK_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "permit.h"

// The functions of an operation; the numbers are the wire's.
enum tl_function {
    TL_ENCRYPT = 1,
    TL_DECRYPT,
    TL_DIGEST,
    TL_SIGN,
    TL_VERIFY,
    TL_SIGN_RECOVER,
    TL_VERIFY_RECOVER,
    TL_FUNCTIONS,
    // Messages in parts, where the wire has them among the operations.
    TL_MESSAGE_ENCRYPT = 14,
    TL_MESSAGE_DECRYPT,
};

// tl_operation is one function's operation.
struct tl_operation {
    enum {
        TL_IDLE,
        TL_PENDING, // Init was answered by a permit; the server does not know of it
        TL_ACTIVE,  // the server has the operation
    } state;
    bool in_parts;  // Update was called
    bool permitted; // lengths may be answered from the permit without asking
    bool doubtful;  // idle here, but a reply was lost: the server may think otherwise
    struct tl_permit permit;
    uint64_t key;
    struct tl_buffer mechanism; // encoded
};

// tl_messages are the messages of one function, from C_MessageEncryptInit or its like on.
// The server keeps nothing of them but one that has begun.
struct tl_messages {
    bool active;
    bool begun;        // a message in parts
    uint64_t length;   // of the parts so far
    uint64_t tag_bits; // of the message in parts
    uint64_t mechanism;
    uint64_t key;
};

// How many handles one Find brings.
enum { TL_FIND_PAGE = 512 };

// tl_search is a C_FindObjects under way.
struct tl_search {
    bool active;
    bool more;               // the server has handles beyond this page
    uint64_t last;           // the last handle fetched
    size_t next, count;      // what of the page is still to be given
    uint64_t *page;          // TL_FIND_PAGE handles
    struct tl_buffer filter; // the encoded template
};

struct tl_session {
    struct tl_session *next; // in the bucket, or in the list of free ones
    uint64_t handle;
    uint64_t boot;  // the run of the server that has it; guarded by the table's lock
    uint64_t flags; // of C_OpenSession
    struct tl_slot *slot;
    uint32_t references; // guarded by the table's lock; the table holds one
    bool listed;

    pthread_mutex_t lock; // guards what follows; held for a whole call, its round trip included
    struct tl_operation operations[TL_FUNCTIONS];
    struct tl_search search;
    struct tl_messages messages[TL_DECRYPT + 1]; // by function
};

enum { TL_SESSION_BUCKETS = 1024 };

struct tl_session_table {
    pthread_mutex_t lock; // guards everything here, for the length of a look-up
    struct tl_session *buckets[TL_SESSION_BUCKETS];
    struct tl_session *free;
    struct tl_session_slab *slabs;
    struct tl_slot *slots;
};

void tl_session_table_start(struct tl_session_table *table);

// tl_session_table_end gives back all memory. No session may be in use.
void tl_session_table_end(struct tl_session_table *table);

// tl_session_slot finds or makes the entry of a slot. NULL when memory is short.
struct tl_slot *tl_session_slot(struct tl_session_table *table, uint64_t id);

// tl_session_slots gives the slots that are known, linked by next. They stay as long
// as the table.
const struct tl_slot *tl_session_slots(struct tl_session_table *table);

// tl_session_add lists a session that a run of the server has opened. False when
// memory is short.
bool tl_session_add(struct tl_session_table *table, uint64_t handle, uint64_t boot, uint64_t flags,
                    struct tl_slot *slot);

// tl_session_stale fills in up to room sessions of a slot that belong to another run
// of the server than boot, and returns their number.
size_t tl_session_stale(struct tl_session_table *table, uint64_t slot, uint64_t boot, CK_ULONG *handles,
                        CK_ULONG *flags, size_t room);

// tl_session_resumed says that a session now belongs to a run of the server, or with
// boot 0 that it is gone.
void tl_session_resumed(struct tl_session_table *table, uint64_t handle, uint64_t boot);

// tl_session_hold finds a session and keeps it alive until tl_session_release.
// NULL when the handle is not known.
struct tl_session *tl_session_hold(struct tl_session_table *table, uint64_t handle);
void tl_session_release(struct tl_session_table *table, struct tl_session *session);

// tl_session_remove takes a session off the list. A thread that holds it may go on.
void tl_session_remove(struct tl_session_table *table, struct tl_session *session);

// tl_session_remove_slot takes the sessions of one slot off the list.
void tl_session_remove_slot(struct tl_session_table *table, uint64_t id);

// tl_operation_forget ends an operation on this side and wipes what it kept; the
// memory stays for the next.
void tl_operation_forget(struct tl_operation *operation);

// tl_search_forget ends a search.
void tl_search_forget(struct tl_search *search);

#endif
